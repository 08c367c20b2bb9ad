// Tests of trials: accounting of blocks, verdicts, saving and resuming, the forecast, what follows from a verdict, and the report.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { binomialUpper } from '../../statistics/binomial.js';
import { standardNormal } from '../../statistics/normal.js';
import type { ExperimentDesign } from './design.js';
import { forecastExperiment, forecastInSlices } from './forecast.js';
import { nextStep } from './promotion.js';
import { type ArmFigures, reportOf } from './report.js';
import { SafetyTrial } from './safety-trial.js';
import { armOfBlock } from './schedule.js';
import { type ClosedBlock, SwitchbackTrial } from './switchback-trial.js';
import { blockOf, designFor } from './testing.js';

/** Runs until the verdict; attainments of a block are around the given ones. */
function run(
	design: ExperimentDesign,
	attainments: { baseline: number; candidate: number },
	sd = 0.02,
	seed = 1,
): SwitchbackTrial {
	const random = new SeededRandom(seed);
	const trial = new SwitchbackTrial(design);
	for (let block = 0; block < 2 * design.pairsMax && trial.verdict === 'undecided'; block++) {
		const noise = sd * standardNormal(random);
		const around = (value: number): number => Math.min(1, Math.max(0, value + noise));
		trial.add(
			blockOf(design, block, { baseline: around(attainments.baseline), candidate: around(attainments.candidate) }),
		);
	}
	return trial;
}

test('a planted improvement wins, a planted regression loses, none is equivalent, and a short budget ends without', (t) => {
	const better = run(designFor(), { baseline: 0.8, candidate: 0.9 });
	t.is(better.verdict, 'win');
	t.true(better.interval.lower > 0.005 && better.interval.upper >= 0.1 - 0.02);
	t.is(run(designFor(), { baseline: 0.9, candidate: 0.8 }).verdict, 'loss');
	t.is(run(designFor({ margin: 0.03 }), { baseline: 0.8, candidate: 0.8 }).verdict, 'equivalent');
	const short = run(designFor({ pairsMax: 3 }), { baseline: 0.8, candidate: 0.8 });
	t.is(short.verdict, 'budget');
	t.is(short.pairsSeen, 3);
});

test('alike arms, peeked at after every block, get a win or loss as seldom as alpha', (t) => {
	const design = designFor({ alpha: 0.1, pairsMax: 60, margin: 0 });
	let wrong = 0;
	const runs = 400;
	for (let seed = 0; seed < runs; seed++) {
		// The order is drawn anew for each experiment.
		const trial = run({ ...design, seed }, { baseline: 0.8, candidate: 0.8 }, 0.08, 1000 + seed);
		if (trial.verdict === 'win' || trial.verdict === 'loss') wrong++;
	}
	t.log(`${wrong} of ${runs}`);
	t.true(binomialUpper(wrong, runs) <= 0.12, `${wrong}`);
});

test('requests count for the arm that had the block, burn-ins are thrown away and counted', (t) => {
	const design = designFor();
	const trial = new SwitchbackTrial(design);
	const candidateAt = armOfBlock(design.seed, 0) === 'candidate' ? 0 : 1;
	for (const block of [0, 1])
		trial.add({ block, requests: 100, good: block === candidateAt ? 90 : 70, burnIn: 7, ttftP99Ms: 1 });
	const [pair] = trial.pairs;
	t.deepEqual([pair?.candidate, pair?.baseline, pair?.requests], [0.9, 0.7, 200]);
	t.true(Math.abs((pair?.difference ?? 0) - 0.2) < 1e-12);
	t.is(trial.burnIn, 14);
});

test('incomplete blocks are dropped with their pair and counted by reason, and spend the budget', (t) => {
	const design = designFor({ pairsMax: 4 });
	const trial = new SwitchbackTrial(design);
	const half = { baseline: 0.5, candidate: 0.5 };
	trial.add(blockOf(design, 0, half, { incomplete: 'gap' }));
	trial.add(blockOf(design, 1, half));
	trial.add(blockOf(design, 2, half, { requests: 29, good: 29 }));
	trial.add(blockOf(design, 3, half, { incomplete: 'stopped' }));
	trial.add(blockOf(design, 4, half));
	trial.add(blockOf(design, 5, half));
	t.deepEqual(trial.dropped, { blocks: { gap: 1, few_requests: 1, stopped: 1 }, pairs: 2 });
	t.deepEqual([trial.pairs.length, trial.pairsSeen, trial.verdict], [1, 3, 'undecided']);
	trial.add(blockOf(design, 7, half));
	t.is(trial.add(blockOf(design, 6, half)), 'budget', 'blocks may close in any order');
	t.is(trial.pairs.length, 2);
});

test('matched cells: what both cells of a pair share cancels, and a pair of cells counts only whole', (t) => {
	const design = designFor({
		kind: 'matched-cells',
		cellPairs: [
			['x', 'y'],
			['u', 'v'],
		],
	});
	const trial = new SwitchbackTrial(design);
	// A trend over time far larger than the effect, and cells that differ.
	const level: Readonly<Record<string, number>> = { x: 0.5, y: 0.6, u: 0.3, v: 0.4 };
	const add = (block: number, cell: string, more: Partial<ClosedBlock> = {}) => {
		const base = (level[cell] as number) + (block % 2) * 0.2;
		return trial.add(blockOf(design, block, { baseline: base, candidate: base + 0.03 }, { cell, ...more }));
	};
	for (const block of [0, 1]) for (const cell of ['x', 'y', 'u', 'v']) add(block, cell);
	t.true(Math.abs((trial.pairs[0]?.difference ?? 0) - 0.03) < 1e-12);
	for (const block of [2, 3])
		for (const cell of ['x', 'y', 'u', 'v']) add(block, cell, cell === 'v' ? { incomplete: 'gap' } : {});
	t.is(trial.pairs.length, 2);
	t.is(trial.pairs[1]?.requests, 4000, 'only x and y');
	t.true(Math.abs((trial.pairs[1]?.difference ?? 0) - 0.03) < 1e-12);
	t.throws(() => add(4, ''), { instanceOf: RangeError });
});

test('a block that came before, or is none of the experiment, is a bug', (t) => {
	const design = designFor({ pairsMax: 2 });
	const trial = new SwitchbackTrial(design);
	const half = { baseline: 0.5, candidate: 0.5 };
	trial.add(blockOf(design, 0, half));
	for (const block of [
		blockOf(design, 0, half),
		blockOf(design, 4, half),
		blockOf(design, 1, half, { cell: 'x' }),
		blockOf(design, 1, half, { good: 1001 }),
	])
		t.throws(() => trial.add(block), { instanceOf: RangeError });
});

test('a trial saved after any block and read back from JSON goes on bit for bit', (t) => {
	const design = designFor({ pairsMax: 30, margin: 0.001 });
	const random = new SeededRandom(3);
	const through = new SwitchbackTrial(design);
	let broken = new SwitchbackTrial(design);
	for (let block = 0; block < 60; block++) {
		const near = 0.7 + 0.1 * standardNormal(random);
		const attainments = { baseline: Math.min(1, Math.max(0, near)), candidate: Math.min(1, Math.max(0, near + 0.02)) };
		const closed = blockOf(design, block, attainments, block % 11 === 0 ? { incomplete: 'gap' } : {});
		t.is(broken.add(closed), through.add(closed));
		broken = SwitchbackTrial.resume(design, JSON.parse(JSON.stringify(broken.state())));
	}
	t.deepEqual(broken.state(), through.state());
	t.deepEqual(broken.winRate, through.winRate);
	t.not(through.verdict, 'undecided');
	const state = through.state();
	const other = { ...design, margin: 0.002 };
	t.throws(() => SwitchbackTrial.resume(other, state), { code: 'IM_EXPERIMENT_STATE' });
	t.throws(() => SwitchbackTrial.resume(design, { ...state, pairs: [] }), { code: 'IM_EXPERIMENT_STATE' });
	t.throws(() => SwitchbackTrial.resume(design, { ...state, version: 2 as never }), { code: 'IM_EXPERIMENT_STATE' });
});

test('a canary ends with harm or without, never with a size', (t) => {
	const design = designFor({ kind: 'canary', requestsMin: 200, durationMsMin: 5000 });
	const calm = new SafetyTrial(design);
	for (let second = 1; second <= 6; second++) {
		const verdict = calm.add({ candidate: 50, candidateBad: 1, control: 950, controlBad: 19 }, second * 1000);
		t.is(verdict, second < 5 ? 'undecided' : 'no-harm', 'both the requests and the time are needed');
	}
	const bad = new SafetyTrial(design);
	let windows = 0;
	while (bad.verdict === 'undecided') bad.add({ candidate: 5, candidateBad: 2, control: 95, controlBad: 2 }, ++windows);
	t.is(bad.verdict, 'harm');
	t.true(bad.evidence >= 1000 && bad.anytimeP <= 0.001);
	const resumed = SafetyTrial.resume(design, JSON.parse(JSON.stringify(bad.state())));
	t.deepEqual(resumed.state(), bad.state());
	t.is(resumed.add({ candidate: 1000, candidateBad: 0, control: 0, controlBad: 0 }, 1e9), 'harm', 'it stays');
	t.throws(() => SafetyTrial.resume({ ...design, seed: 9 }, bad.state()), { code: 'IM_EXPERIMENT_STATE' });
});

test('what follows from a verdict is the rule’s, and a guardrail goes before all', (t) => {
	const trip = { rule: 'traps', atMs: 1, reason: '1 traps' } as const;
	const actions = (rule: 'win' | 'not-worse' | 'never') =>
		(['undecided', 'win', 'equivalent', 'loss', 'harm', 'no-harm', 'budget'] as const).map(
			(verdict) => nextStep(rule, verdict, undefined).action,
		);
	t.deepEqual(actions('win'), ['continue', 'promote', 'end', 'rollback', 'rollback', 'end', 'end']);
	t.deepEqual(actions('not-worse'), ['continue', 'promote', 'promote', 'rollback', 'rollback', 'end', 'end']);
	t.deepEqual(actions('never'), ['continue', 'end', 'end', 'rollback', 'rollback', 'end', 'end']);
	t.is(nextStep('win', 'win', trip).action, 'rollback');
});

test('the forecast is in hours of blocks: larger effects sooner, and what the budget allows', (t) => {
	const design = designFor();
	const large = forecastExperiment(design, 0.2, { sd: 0.05 }, 50);
	const small = forecastExperiment(design, 0.05, { sd: 0.05 }, 50);
	t.true(large.hoursP50 < small.hoursP50 && small.hoursP50 < small.hoursP90 + 1e-9);
	t.is(large.hoursP50, (large.pairsP50 * 2 * 180) / 3600);
	t.regex(small.text, /An effect of 5\.0 points is decided within [\d.]+ h in half of all runs/);
	t.is(forecastExperiment(designFor({ pairsMax: 2 }), 0.01, { sd: 0.05 }, 20).shares.undecided, 1);
});

const figures: ArmFigures = {
	requests: 200,
	decisions: 200,
	decisionTimeouts: 1,
	traps: 0,
	decisionP50Us: 4,
	decisionP99Us: 20,
	hedged: 10,
	hedgesWon: 5,
	tokensWasted: 30,
	tokensComputed: 1000,
};

test('a report gives every figure with its guarantee', (t) => {
	const design = designFor();
	const trial = run(design, { baseline: 0.8, candidate: 0.9 });
	const input = {
		design,
		notes: ['n'],
		trial,
		arms: { baseline: figures, candidate: figures },
		trip: undefined,
		muted: [],
	};
	const report = reportOf(input);
	t.is(report.next.action, 'promote');
	const { switchback } = report;
	if (switchback === undefined) return t.fail('no figures');
	t.deepEqual(switchback.attainmentDifference.value.interval, trial.interval);
	t.is(switchback.winRate.value.wins, trial.pairs.length);
	t.true(switchback.permutation.value.p <= 0.05);
	t.true(Math.abs((switchback.ttftP99Ratio?.value.value ?? 0) - 0.5) < 1e-9);
	t.deepEqual(report.hedgeWaste.value.candidate, { share: 0.03, hedged: 0.05, won: 0.5 });
	t.deepEqual(report.decisionTimeouts.value.baseline, { count: 1, share: 0.005 });
	t.is(report.regretMs, undefined);
	const figuresSeen = [
		switchback.attainmentDifference,
		switchback.winRate,
		report.guardrails,
		report.decisionLatencyUs,
	];
	for (const { guarantee } of figuresSeen) t.true(guarantee.length > 40);
	t.deepEqual(reportOf(input), JSON.parse(JSON.stringify(reportOf(input))), 'plain data, repeatable');
	const withRegret = reportOf({
		...input,
		arms: { baseline: { ...figures, regretMs: 3 }, candidate: { ...figures, regretMs: 1 } },
	});
	t.deepEqual(withRegret.regretMs?.value, { baseline: 3, candidate: 1 });
	const canary = designFor({ kind: 'canary' });
	const safety = reportOf({ ...input, design: canary, trial: new SafetyTrial(canary) });
	t.is(safety.switchback, undefined);
	t.is(safety.safety?.harm.value.evidence, 1);
	return undefined;
});

test('a report of a trial without pairs has no figure that divides by nothing', (t) => {
	const design = designFor();
	const empty = { ...figures, requests: 0, decisions: 0, hedged: 0, tokensComputed: 0 };
	const report = reportOf({
		design,
		notes: [],
		trial: new SwitchbackTrial(design),
		arms: { baseline: empty, candidate: empty },
		trip: undefined,
		muted: [],
	});
	t.deepEqual(report.switchback?.attainmentDifference.value.interval, { lower: -0.25, upper: 0.25 });
	t.is(report.switchback?.ttftP99Ratio, undefined);
	t.false(JSON.stringify(report).includes('null'), 'no NaN');
});

test('a forecast in slices is the same, and leaves no other work of the thread waiting for long', async (t) => {
	const design = designFor({ pairsMax: 480 });
	// Undecided to the end of its budget: the dearest there is.
	const differences = { sd: 0.4 };
	const slicesMs: number[] = [];
	let last = process.threadCpuUsage();
	const sliced = await forecastInSlices(design, 0.001, differences, async () => {
		const { user, system } = process.threadCpuUsage(last);
		slicesMs.push((user + system) / 1000);
		await new Promise((resolve) => void setImmediate(resolve));
		last = process.threadCpuUsage();
	});
	t.deepEqual(sliced, forecastExperiment(design, 0.001, differences));
	const longest = Math.max(...slicesMs);
	t.log(`${slicesMs.length} slices, the longest ${longest.toFixed(1)} ms of processor time`);
	t.true(slicesMs.length > 40);
	t.true(longest < 20);
});
