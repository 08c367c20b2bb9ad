// Grids run for real, on threads, with shipped strategies: the same whatever the number of threads, failures of single cells told and survived, an interrupt that
// keeps what is done, experiments and capacities.
import test from 'ava';
import { isMeshError } from '../../load/testing.js';
import { systemClock } from '../../main/clock.js';
import type { SimulationReport } from '../report/document.js';
import type { RunProgress } from './session.js';
import { simulateGrid } from './simulate-grid.js';
import { smallScenario } from './testing.js';

interface Run {
	readonly threads?: number;
	readonly until?: string;
	readonly thresholds?: readonly string[];
	readonly signal?: AbortSignal;
	readonly onProgress?: (progress: RunProgress) => void;
}

const strategies = 'strategies: [{ name: baseline_rr }]';

function run(grid: string, options: Run = {}): Promise<SimulationReport> {
	return simulateGrid(smallScenario(`grid: { ${strategies}, ${grid} }`), {
		threads: 1,
		simulator: 'test',
		clock: systemClock,
		signal: new AbortController().signal,
		progressPeriodMs: 1,
		...options,
	});
}

test.serial(
	'results do not depend on the number of threads; strategies of a replication meet the same workload',
	async (t) => {
		const grid = 'loads: { values: [1, 3] }, seeds: 2';
		const [one, two] = await Promise.all([run(grid, { threads: 1 }), run(grid, { threads: 2 })]);
		const digests = ({ cells }: SimulationReport): (string | undefined)[] =>
			cells.map(({ outcome }) => outcome?.digest);
		t.is(one.cells.length, 8);
		t.deepEqual(digests(one), digests(two));
		t.is(new Set(digests(one)).size, 8, 'load, seed and strategy all matter');
		t.like(one, { partial: false, passed: true, baseline: 'least_queue' });
		t.true(one.cells.every(({ outcome }) => outcome?.summary.requests === 60));
	},
);

test.serial('a cell that cannot be run is told, and the rest goes on', async (t) => {
	// Content is known in blocks of 64 tokens, which blocks of 48 do not divide.
	const report = await run('variants: { good: {}, bad: { fleet: { block_tokens: 48 } } }');
	const bad = report.cells.filter(({ variant }) => variant === 'bad');
	t.true(bad.every(({ state, error }) => state === 'failed' && error?.message.includes('IM_SIMULATION_BLOCKS')));
	t.true(report.cells.filter(({ variant }) => variant === 'good').every(({ state }) => state === 'done'));
	t.like(report, { partial: true, interrupted: false, passed: false });
	t.is(report.comparisons[0]?.replications, 1);
});

test.serial('when no cell can be run, the first failure is the answer', async (t) => {
	const error = await t.throwsAsync(run('variants: { bad: { fleet: { block_tokens: 48 } } }'));
	t.true(isMeshError(error, 'IM_SIMULATE_ALL_FAILED'));
	t.regex(error?.message ?? '', /IM_SIMULATION_BLOCKS/);
});

test.serial('an interrupt keeps what is done, marks the rest, and stops soon', async (t) => {
	const stop = new AbortController();
	const report = await run('seeds: 1000', {
		signal: stop.signal,
		onProgress: ({ done }) => {
			if (done >= 4) stop.abort();
		},
	});
	const done = report.cells.filter(({ state }) => state === 'done').length;
	t.true(done > 0 && done < report.cells.length, `${done} of ${report.cells.length}`);
	t.true(report.cells.every(({ state }) => state === 'done' || state === 'interrupted'));
	t.like(report, { partial: true, interrupted: true, passed: false });
	t.true((report.comparisons[0]?.replications ?? 0) > 0, 'what is there is paired');
});

test.serial('an interrupt in the middle of the only simulations keeps what there is of one, marked', async (t) => {
	const stop = new AbortController();
	const text = `grid: { ${strategies} }`;
	const small = smallScenario(text);
	const { generator } = small.workload;
	const long = { ...small, workload: { ...small.workload, generator: { ...generator, requests: 60_000 } } };
	const report = await simulateGrid(long, {
		threads: 1,
		simulator: 'test',
		clock: systemClock,
		signal: stop.signal,
		progressPeriodMs: 1,
		onProgress: ({ progressed }) => {
			if (progressed > 0) stop.abort();
		},
	});
	t.like(report, { partial: true, interrupted: true, passed: false, means: [null, null] });
	const [first] = report.cells;
	t.is(first?.outcome?.partial, 'stopped before its end');
	const { finished = 0, requests = 0 } = first?.outcome?.summary ?? {};
	t.true(finished > 0 && finished < requests, `${finished} of ${requests}`);
});

test.serial('stopped before anything is finished there is nothing to report', async (t) => {
	t.true(isMeshError(await t.throwsAsync(run('seeds: 1', { signal: AbortSignal.abort() })), 'IM_SIMULATE_INTERRUPTED'));
});

test.serial('thresholds are judged for every strategy but the baseline', async (t) => {
	const good = await run('seeds: 1', { thresholds: ['ttft.mean<1000s', 'fallbacks<=0'] });
	t.true(good.passed);
	t.deepEqual([...new Set(good.thresholds.map(({ strategy }) => strategy))], ['baseline_rr']);
	const bad = await run('seeds: 1', { thresholds: ['ttft.mean<1us'] });
	t.like(bad, { passed: false, partial: false });
	t.true(isMeshError(await t.throwsAsync(run('seeds: 1', { thresholds: ['ttft.meen<1s'] })), 'IM_THRESHOLD_METRIC'));
});

test.serial('capacity: the speed with the condition, beside one without', async (t) => {
	const report = await run('seeds: 1', { until: 'ttft.mean<100ms' });
	t.is(report.cells.length, 0);
	t.is(report.capacities.length, 2);
	for (const { speed, broken, requestsPerSecond, error } of report.capacities) {
		t.is(error, null);
		t.true(speed > 1 && broken !== null && broken / speed <= 1.02, `${speed} ${broken}`);
		t.true(requestsPerSecond > speed, 'the workload has some 20 requests a second at speed 1');
	}
	t.true(isMeshError(await t.throwsAsync(run('seeds: 1', { until: 'hit>5%' })), 'IM_SIMULATE_UNTIL'));
});

test.serial('loads can be shares of the capacity of the baseline', async (t) => {
	const report = await run("loads: { values: [0.5, 0.9], of: capacity, until: 'ttft.mean<100ms' }");
	const capacity = report.capacities[0]?.speed ?? 0;
	t.true(capacity > 1);
	for (const { load, speed } of report.cells) t.is(speed, load * capacity);
	const none = run("loads: { values: [0.5], of: capacity, until: 'ttft.mean<1us' }");
	t.true(isMeshError(await t.throwsAsync(none), 'IM_SIMULATE_NO_CAPACITY'));
});

test.serial('an experiment inside the simulator: the baseline alone, then both strategies in one fleet', async (t) => {
	const report = await simulateGrid(smallScenario(`assignment: { kind: request }\ngrid: { ${strategies} }`), {
		threads: 1,
		simulator: 'test',
		clock: systemClock,
		signal: new AbortController().signal,
	});
	const arms = report.cells.map(({ outcome }) => outcome?.summary.arms.map(({ requests }) => requests > 0));
	t.deepEqual(arms, [[true], [true, true]]);
	t.deepEqual(report.comparisons, [], 'a shared fleet says nothing of one strategy alone');
	t.is(
		report.experiments[0]?.arms.reduce((sum, { requests }) => sum + requests, 0),
		60,
	);
});

test.serial('further objectives cost no run, and the first by another name gives the same goodput', async (t) => {
	const report = await run('slos: { same: {}, none: { ttft_ms: 0 } }');
	for (const { outcome } of report.cells) {
		t.is(outcome?.goodputs['same'], outcome?.summary.goodput);
		t.is(outcome?.goodputs['none'], 0);
	}
});
