// Tests of the e-process on bad outcomes: exact expectation, false alarms under moving rates and clustered failures, power, saving and resuming.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import type { RateWindow } from './bet-process.js';
import { binomialUpper } from './binomial.js';
import { RateProcess } from './rate-process.js';

function evidenceOf(window: RateWindow, ratio: number): number {
	const process = new RateProcess({ oddsRatios: [ratio] });
	process.observe(window);
	return process.evidence;
}

function binomial(n: number, k: number, p: number): number {
	let ways = 1;
	for (let i = 0; i < k; i++) ways = (ways * (n - i)) / (i + 1);
	return ways * p ** k * (1 - p) ** (n - k);
}

/** E[e-value of one window] when the arms have these probabilities. */
function expectation(candidate: number, control: number, p: number, q: number, ratio: number): number {
	let sum = 0;
	for (let candidateBad = 0; candidateBad <= candidate; candidateBad++)
		for (let controlBad = 0; controlBad <= control; controlBad++)
			sum +=
				binomial(candidate, candidateBad, p) *
				binomial(control, controlBad, q) *
				evidenceOf({ candidate, candidateBad, control, controlBad }, ratio);
	return sum;
}

test('evidence of a window equals the likelihood ratio computed apart (SciPy 1.17)', (t) => {
	const cases = [
		[50, 6, 950, 20, 2, 18.25026127211269],
		[10, 0, 90, 9, 4, 0.1112467510290993],
		[3, 3, 3, 0, 8, 8.819982773471144],
		[200, 30, 1800, 90, 1.5, 590.537920279332],
	] as const;
	for (const [candidate, candidateBad, control, controlBad, ratio, expected] of cases) {
		const seen = evidenceOf({ candidate, candidateBad, control, controlBad }, ratio);
		t.true(Math.abs(seen / expected - 1) < 1e-9, `${seen} against ${expected}`);
	}
	t.is(evidenceOf({ candidate: 0, candidateBad: 0, control: 100, controlBad: 30 }, 2), 1);
	t.is(evidenceOf({ candidate: 5, candidateBad: 3, control: 0, controlBad: 0 }, 2), 1);
});

test('its mean is 1 when both arms are alike, below 1 when the candidate is better, above when worse', (t) => {
	for (const ratio of [1.5, 8]) {
		for (const p of [0.05, 0.3, 0.9]) {
			t.true(Math.abs(expectation(4, 7, p, p, ratio) - 1) < 1e-12);
			t.true(expectation(4, 7, p / 2, p, ratio) < 1);
		}
		t.true(expectation(4, 7, 0.5, 0.1, ratio) > 1);
	}
});

test('more bad outcomes of the candidate are more evidence, more of the control less', (t) => {
	const count = fc.integer({ min: 1, max: 40 });
	fc.assert(
		fc.property(count, count, count, count, (candidate, control, a, b) => {
			const window = { candidate, candidateBad: a % candidate, control, controlBad: b % control };
			const here = evidenceOf(window, 3);
			const slack = 1 + 1e-9;
			return (
				evidenceOf({ ...window, candidateBad: window.candidateBad + 1 }, 3) * slack >= here &&
				evidenceOf({ ...window, controlBad: window.controlBad + 1 }, 3) <= here * slack
			);
		}),
		{ seed: 2 },
	);
	t.pass();
});

test('looked at after every window, alike arms raise a false alarm as seldom as alpha, though incidents come and go', (t) => {
	const random = new SeededRandom(31);
	const runs = 1500;
	let alarms = 0;
	for (let run = 0; run < runs; run++) {
		const process = new RateProcess({ alpha: 0.1 });
		for (let window = 0; window < 60 && !process.alarm; window++) {
			// An incident hits both arms: what counts is only who was unlucky.
			const rate = random.nextFloat() < 0.1 ? 0.6 : 0.02;
			process.observe(drawWindow(random, 8, 72, rate, rate));
		}
		if (process.alarm) alarms++;
	}
	t.log(`seed 31: ${alarms} of ${runs}`);
	t.true(binomialUpper(alarms, runs) <= 0.1, `${alarms}`);
	t.true(alarms / runs >= 0.01, `${alarms}: evidence that never comes is no evidence`);
});

test('failures that come in clusters raise no more alarms when the assignment is drawn by request', (t) => {
	const random = new SeededRandom(32);
	const runs = 1000;
	let alarms = 0;
	for (let run = 0; run < runs; run++) {
		const process = new RateProcess({ alpha: 0.1 });
		for (let window = 0; window < 40 && !process.alarm; window++) {
			const failing = random.nextFloat() < 0.2 ? 40 : 0;
			const counts = { candidate: 0, candidateBad: 0, control: 0, controlBad: 0 };
			for (let request = 0; request < 80; request++) {
				const bad = request < failing ? 1 : 0;
				if (random.nextFloat() < 0.1) {
					counts.candidate++;
					counts.candidateBad += bad;
				} else {
					counts.control++;
					counts.controlBad += bad;
				}
			}
			process.observe(counts);
		}
		if (process.alarm) alarms++;
	}
	t.log(`seed 32: ${alarms} of ${runs}`);
	t.true(binomialUpper(alarms, runs) <= 0.1, `${alarms}`);
});

test('at the alpha of a canary a harmful candidate is seen within some hundred of its requests', (t) => {
	const random = new SeededRandom(33);
	const needed: number[] = [];
	for (let run = 0; run < 100; run++) {
		const process = new RateProcess();
		while (!process.alarm && process.windows < 500) process.observe(drawWindow(random, 5, 95, 0.1, 0.02));
		t.true(process.alarm);
		t.true(process.anytimeP <= 0.001);
		needed.push(process.totals.candidate);
	}
	const mean = needed.reduce((sum, one) => sum + one, 0) / needed.length;
	t.log(`seed 33: ${mean} requests of the candidate on average`);
	t.true(mean < 400, `${mean}`);
});

test('a process saved and read back from JSON goes on bit for bit; an alarm stays', (t) => {
	const random = new SeededRandom(34);
	const through = new RateProcess({ alpha: 0.01 });
	let broken = new RateProcess({ alpha: 0.01 });
	for (let window = 0; window < 80; window++) {
		// First worse than the control, then far better.
		const counts = drawWindow(random, 20, 80, window < 20 ? 0.3 : 0, window < 20 ? 0.05 : 0.3);
		through.observe(counts);
		broken = RateProcess.resume(JSON.parse(JSON.stringify(broken.state())));
		broken.observe(counts);
	}
	t.deepEqual(broken.state(), through.state());
	t.is(broken.evidence, through.evidence);
	t.true(through.alarm);
	t.true(through.evidence < 1, 'the evidence itself has gone again');
});

test('counts that cannot be are bugs; a damaged state is refused by name', (t) => {
	const process = new RateProcess();
	const zero = { candidate: 0, candidateBad: 0, control: 0, controlBad: 0 };
	for (const window of [
		{ ...zero, candidateBad: 1 },
		{ ...zero, control: 3, controlBad: -1 },
		{ ...zero, control: 0.5 },
		{ ...zero, control: 1e9 },
	])
		t.throws(() => process.observe(window), { instanceOf: RangeError });
	t.throws(() => new RateProcess({ oddsRatios: [1] }), { instanceOf: RangeError });
	t.throws(() => new RateProcess({ alpha: 1 }), { instanceOf: RangeError });
	const good = process.state();
	for (const state of [
		{ ...good, version: 9 },
		{ ...good, logs: [1] },
		{ ...good, logs: [0, 0, 0, null] },
		{ ...good, windows: -1 },
		{ ...good, candidateBad: 1 },
		{ ...good, logEvidenceMax: -1 },
	])
		t.throws(() => RateProcess.resume(state as never), { code: 'IM_STATISTICS_STATE' });
});

function drawWindow(random: SeededRandom, candidate: number, control: number, p: number, q: number): RateWindow {
	const draw = (count: number, rate: number): number => {
		let bad = 0;
		for (let i = 0; i < count; i++) if (random.nextFloat() < rate) bad++;
		return bad;
	};
	return { candidate, candidateBad: draw(candidate, p), control, controlBad: draw(control, q) };
}
