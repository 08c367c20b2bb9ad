// Tests of the betting confidence sequence: against an independent computation, closed forms, coverage under peeking, and saving and resuming.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { type BettingOptions, BettingSequence } from './betting.js';
import { binomialUpper } from './binomial.js';

const UNIT = { lower: 0, upper: 1 } as const;

/** The generator of C's old `rand`, so that another language can draw the same values. */
function congruential(count: number, seed: number): number[] {
	const values: number[] = [];
	let state = seed;
	for (let i = 0; i < count; i++) {
		state = Number((BigInt(state) * 1_103_515_245n + 12_345n) % 2_147_483_648n);
		values.push(state / 2_147_483_648);
	}
	return values;
}

function intervalOf(
	values: readonly number[],
	options: Partial<BettingOptions> = {},
): { lower: number; upper: number } {
	const sequence = new BettingSequence({ range: UNIT, ...options });
	for (const value of values) sequence.observe(value);
	return sequence.interval;
}

test('intervals equal those computed apart, by whole products over the history (NumPy 2.4)', (t) => {
	const values = congruential(200, 1).map((value) => value * 0.6 + 0.1);
	const expected = [
		{ count: 10, paper: [0.174, 0.666], bold: [0.2, 0.606], oneSided: 0.15 },
		{ count: 50, paper: [0.356, 0.516], bold: [0.356, 0.498], oneSided: 0.346 },
		{ count: 200, paper: [0.372, 0.44], bold: [0.372, 0.442], oneSided: 0.368 },
	] as const;
	for (const { count, paper, bold, oneSided } of expected) {
		const seen = values.slice(0, count);
		t.deepEqual(intervalOf(seen), { lower: paper[0], upper: paper[1] });
		t.deepEqual(intervalOf(seen, { truncation: 0.75 }), { lower: bold[0], upper: bold[1] });
		t.deepEqual(intervalOf(seen, { alpha: 0.01, sides: 'lower' }), { lower: oneSided, upper: 1 });
	}
	const coins = congruential(300, 7).map((value) => (value < 0.2 ? 1 : 0));
	const at = (count: number) => intervalOf(coins.slice(0, count), { cells: 1000 });
	t.deepEqual(at(20), { lower: 0, upper: 0.445 });
	t.deepEqual(at(100), { lower: 0.069, upper: 0.303 });
	t.deepEqual(at(300), { lower: 0.117, upper: 0.28 });
});

test('a run of ones has the closed form of bets at their limit', (t) => {
	// While λ > c/m the capital after n ones is (1 + c (1 − m) / m)^n, so m is excluded when it reaches 2/α.
	for (const count of [4, 6, 9]) {
		const factor = 40 ** (1 / count);
		const exact = 0.5 / (factor - 1 + 0.5);
		const { lower } = intervalOf(Array.from({ length: count }, () => 1));
		t.true(lower <= exact && exact - lower <= 1 / 500, `${count}: ${lower} against ${exact}`);
	}
});

test('peeking at every value, the true mean is missed as often as alpha allows and not much less often', (t) => {
	const seed = 5;
	t.log(`seed ${seed}`);
	const random = new SeededRandom(seed);
	const draws: Readonly<Record<string, () => number>> = {
		'coin of 0.5': () => (random.nextFloat() < 0.5 ? 1 : 0),
		'coin of 0.1': () => (random.nextFloat() < 0.1 ? 1 : 0),
		'three values': () => [0, 0.5, 1][Math.floor(random.nextFloat() * 3)] as number,
	};
	const means: Readonly<Record<string, number>> = { 'coin of 0.5': 0.5, 'coin of 0.1': 0.1, 'three values': 0.5 };
	for (const [name, draw] of Object.entries(draws)) {
		const runs = 1500;
		let misses = 0;
		for (let run = 0; run < runs; run++) {
			const sequence = new BettingSequence({ range: UNIT, alpha: 0.1, cells: 20 });
			for (let i = 0; i < 300; i++) sequence.observe(draw());
			const { lower, upper } = sequence.interval;
			// A bound on the mean itself has excluded it: bounds are the last excluded edges, and the mean lies on an edge.
			if (lower >= (means[name] as number) || upper <= (means[name] as number)) misses++;
		}
		t.log(`${name}: ${misses} of ${runs} missed`);
		t.true(misses / runs <= 0.1 && binomialUpper(misses, runs) <= 0.115, `${name}: ${misses}`);
		t.true(misses / runs >= 0.025, `${name}: ${misses} is too seldom for alpha 0.1: a constant is wrong`);
	}
});

test('under drift that stays at or below 0 a lower bound above 0 is as seldom as half of alpha', (t) => {
	const random = new SeededRandom(11);
	let wrong = 0;
	const runs = 1000;
	for (let run = 0; run < runs; run++) {
		const sequence = new BettingSequence({ range: { lower: -1, upper: 1 }, alpha: 0.1, cells: 20 });
		for (let i = 0; i < 200; i++) {
			const drift = i % 50 < 25 ? 0 : -0.2;
			sequence.observe(random.nextFloat() < 0.5 + drift / 2 ? 1 : -1);
		}
		if (sequence.interval.lower >= 0) wrong++;
	}
	t.log(`${wrong} of ${runs}`);
	t.true(binomialUpper(wrong, runs) <= 0.06, `${wrong}`);
});

test('the width shrinks as 1/√n, and a smaller alpha or one side changes it as it must', (t) => {
	const random = new SeededRandom(3);
	const values = Array.from({ length: 4000 }, () => 0.4 + 0.2 * random.nextFloat());
	const width = (count: number, more: Partial<BettingOptions> = {}) => {
		const { lower, upper } = intervalOf(values.slice(0, count), { cells: 4000, ...more });
		return upper - lower;
	};
	const ratio = width(4000) / width(1000);
	t.true(ratio > 0.4 && ratio < 0.65, `${ratio}`);
	// sd 0.0577: a fixed-time normal interval has half-width 0.0018 at 4,000; one valid at all times is 1.5 to 3 times as wide.
	t.true(width(4000) > 2 * 0.0018 * 1.3 && width(4000) < 2 * 0.0018 * 3, `${width(4000)}`);
	t.true(width(1000, { alpha: 0.001 }) > width(1000, { alpha: 0.05 }));
	const two = intervalOf(values, { cells: 4000 });
	const one = intervalOf(values, { cells: 4000, sides: 'lower' });
	t.true(one.lower >= two.lower);
	t.is(one.upper, 1);
	t.is(intervalOf(values, { cells: 4000, sides: 'upper' }).lower, 0);
});

test('for any values: the interval never grows, mirrors with its values, and scales with its range', (t) => {
	const values = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 60 });
	fc.assert(
		fc.property(values, (seen) => {
			const sequence = new BettingSequence({ range: UNIT });
			const mirrored = new BettingSequence({ range: UNIT });
			const scaled = new BettingSequence({ range: { lower: -8, upper: 8 } });
			let before = sequence.interval;
			for (const value of seen) {
				sequence.observe(value);
				mirrored.observe(1 - value);
				scaled.observe(-8 + 16 * value);
				const now = sequence.interval;
				if (now.lower < before.lower || now.upper > before.upper) return false;
				before = now;
			}
			const close = (a: number, b: number): boolean => Math.abs(a - b) <= 1 / 500 + 1e-9;
			const other = mirrored.interval;
			const wide = scaled.interval;
			return (
				close(before.lower, 1 - other.upper) &&
				close(before.upper, 1 - other.lower) &&
				close(before.lower, (wide.lower + 8) / 16) &&
				close(before.upper, (wide.upper + 8) / 16)
			);
		}),
		{ seed: 1, numRuns: 60 },
	);
	t.pass();
});

test('a sequence saved at any point and read back from JSON goes on bit for bit', (t) => {
	const random = new SeededRandom(21);
	const values = Array.from({ length: 120 }, () => random.nextFloat() * 2.4 - 1.2);
	const through = new BettingSequence({ range: { lower: -1, upper: 1 }, truncation: 0.75, cells: 300 });
	let broken = new BettingSequence({ range: { lower: -1, upper: 1 }, truncation: 0.75, cells: 300 });
	let length = 0;
	values.forEach((value, index) => {
		through.observe(value);
		broken.observe(value);
		if (index % 7 !== 0) return;
		const saved = JSON.stringify(broken.state());
		length ||= saved.length;
		t.true(Math.abs(saved.length - length) < 100, 'of fixed size, but for the digits of its counts');
		broken = BettingSequence.resume(JSON.parse(saved));
	});
	t.deepEqual(broken.state(), through.state());
	t.deepEqual(broken.interval, through.interval);
	t.true(through.clipped > 0 && broken.clipped === through.clipped);
});

test('a damaged state is refused by name, wrong options and values are bugs', (t) => {
	const sequence = new BettingSequence({ range: UNIT });
	sequence.observe(0.5);
	const good = sequence.state();
	const bad = [
		{ ...good, version: 2 },
		{ ...good, count: -1 },
		{ ...good, count: 1.5 },
		{ ...good, lowerCell: 501 },
		{ ...good, sum: Number.NaN },
		{ ...good, squares: -1 },
		{ ...good, rising: good.rising.slice(8) },
		{ ...good, falling: Buffer.alloc(501 * 8, 0xff).toString('base64') },
		{ ...good, options: { ...good.options, alpha: 2 } },
	];
	for (const state of bad)
		t.throws(
			() => BettingSequence.resume(state as never),
			{ code: 'IM_STATISTICS_STATE' },
			JSON.stringify(state).slice(0, 80),
		);
	t.throws(() => sequence.observe(Number.NaN), { instanceOf: RangeError });
	for (const options of [{ alpha: 0 }, { truncation: 1 }, { cells: 1 }, { range: { lower: 1, upper: 1 } }])
		t.throws(() => new BettingSequence({ range: UNIT, ...options }), { instanceOf: RangeError });
});
