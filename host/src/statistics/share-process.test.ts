// Tests of the e-process on shares of bad outcomes: exact expectation, false alarms where sessions fail as one for as long as they live, power, saving and resuming.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { seedOfBlock } from '../experiments/design/schedule.js';
import { inCanary } from '../strategy/runtime/plan.js';
import type { RateWindow } from './bet-process.js';
import { binomialLower, binomialUpper } from './binomial.js';
import { RateProcess } from './rate-process.js';
import { ShareProcess } from './share-process.js';

test('the mean evidence of a block is 1 exactly, whatever the sizes of groups, and below where the candidate has fewer', (t) => {
	// Bad outcomes of five groups, of which every assignment is tried.
	const bad = [1, 7, 0, 3, 40];
	for (const share of [0.05, 0.3, 0.5]) {
		let alike = 0;
		let fewer = 0;
		for (let assignment = 0; assignment < 2 ** bad.length; assignment++) {
			const isCandidate = bad.map((_, group) => (assignment >> group) % 2 === 1);
			const chance = isCandidate.reduce((product, one) => product * (one ? share : 1 - share), 1);
			const sum = (wanted: boolean) =>
				bad.reduce((all, count, at) => all + (isCandidate[at] === wanted ? count : 0), 0);
			const evidence = (candidateBad: number): number => {
				const process = new ShareProcess({ share });
				process.observe({ candidate: 100, candidateBad, control: 100, controlBad: sum(false) });
				return process.evidence;
			};
			alike += chance * evidence(sum(true));
			fewer += chance * evidence(Math.floor(sum(true) / 2));
		}
		t.true(Math.abs(alike - 1) < 1e-12, `${alike}`);
		t.true(fewer < 1, `${fewer}`);
	}
	const process = new ShareProcess({ share: 0.1 });
	process.observe({ candidate: 100, candidateBad: 0, control: 900, controlBad: 0 });
	t.is(process.evidence, 1, 'a block without a bad outcome says nothing');
});

interface Session {
	readonly low: number;
	readonly high: number;
	readonly fails: boolean;
	readonly endsAfter: number;
	readonly requests: number;
}

/** One experiment of `blocks` blocks over sessions that live for several of them; half of those that fail do so to the end. What each block brought, by arm, under both ways to draw. */
function simulate(random: SeededRandom, blocks: number, share: number, harm: number) {
	const seed = random.nextU32();
	const anew: RateWindow[] = [];
	const once: RateWindow[] = [];
	let sessions: Session[] = [];
	for (let block = 0; block < blocks; block++) {
		sessions = sessions.filter(({ endsAfter }) => endsAfter > block);
		while (sessions.length < 40)
			sessions.push({
				low: random.nextU32(),
				high: random.nextU32(),
				fails: random.nextFloat() < 0.08,
				endsAfter: block + 1 + Math.floor(random.nextFloat() * 12),
				requests: 1 + Math.floor(random.nextFloat() ** 3 * 60),
			});
		for (const [into, key] of [
			[anew, seedOfBlock(seed, block)],
			[once, seed],
		] as const) {
			const counts = { candidate: 0, candidateBad: 0, control: 0, controlBad: 0 };
			for (const { low, high, fails, requests } of sessions) {
				const features = { sessionLow: low, sessionHigh: high, seedLow: 0, tenant: 0 };
				const arm = inCanary({ versionId: 1, percent: share * 100, by: 'session', seed: key }, features)
					? 'candidate'
					: 'control';
				counts[arm] += requests;
				const isBad = fails || (arm === 'candidate' && random.nextFloat() < harm);
				if (isBad) counts[`${arm}Bad`] += requests;
			}
			into.push(counts);
		}
	}
	return { anew, once };
}

for (const share of [0.05, 0.5])
	test(`over 1,000 experiments of sessions that fail as one, false alarms stay below alpha (share ${share})`, (t) => {
		const random = new SeededRandom(41, Math.round(share * 100));
		const runs = 1000;
		const alpha = 0.05;
		let alarms = 0;
		let naive = 0;
		for (let run = 0; run < runs; run++) {
			const { anew, once } = simulate(random, 40, share, 0);
			const blocks = new ShareProcess({ alpha, share });
			for (const block of anew) blocks.observe(block);
			const requests = new RateProcess({ alpha });
			for (const block of once) requests.observe(block);
			if (blocks.alarm) alarms++;
			if (requests.alarm) naive++;
		}
		t.log(`share ${share}: ${alarms} of ${runs} by block, ${naive} with requests for independent, alpha ${alpha}`);
		t.true(binomialUpper(alarms, runs) <= alpha + 0.02, `${alarms}`);
		t.true(alarms > 0, 'evidence that never comes is no evidence');
		t.true(binomialLower(naive, runs) > alpha + 0.1, 'what this is for');
	});

test('a candidate that fails sessions is found', (t) => {
	const random = new SeededRandom(42);
	for (const [share, blocksMax] of [
		[0.05, 60],
		[0.5, 40],
	] as const) {
		let blocks = 0;
		let found = 0;
		for (let run = 0; run < 100; run++) {
			const process = new ShareProcess({ alpha: 0.01, share });
			const { anew } = simulate(random, blocksMax, share, 0.5);
			const at = anew.findIndex((block) => (process.observe(block), process.alarm));
			if (at >= 0) found++;
			blocks += at >= 0 ? at + 1 : blocksMax;
		}
		t.log(`share ${share}: ${found} of 100 found, after ${blocks / 100} blocks on average`);
		t.true(found >= 95, `${found}`);
	}
});

test('it is resumed bit for bit, and damage is refused by name', (t) => {
	const process = new ShareProcess({ alpha: 0.01, share: 0.2 });
	const block = { candidate: 20, candidateBad: 4, control: 80, controlBad: 6 };
	process.observe(block);
	const resumed = ShareProcess.resume(JSON.parse(JSON.stringify(process.state())));
	for (const one of [process, resumed]) one.observe({ ...block, candidateBad: 9 });
	t.deepEqual(resumed.state(), process.state());
	const good = process.state();
	for (const wrong of [
		{ ...good, version: 2 as never },
		{ ...good, logs: [1] },
		{ ...good, candidateBad: good.candidate + 1 },
		{ ...good, logEvidenceMax: -1 },
		{ ...good, options: { ...good.options, share: 1 } },
		{ ...good, options: { ...good.options, stakes: [1] } },
	])
		t.throws(() => ShareProcess.resume(wrong), { code: 'IM_STATISTICS_STATE' });
	t.throws(() => process.observe({ ...block, candidateBad: 21 }), { instanceOf: RangeError });
});
