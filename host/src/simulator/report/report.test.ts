// What reports show of made-up runs: partial results marked, failures told, names as text, the worst beside the mean, pooled curves that are distributions.
import test from 'ava';
import * as fc from 'fast-check';
import { parseSimulationThresholds } from '../grid/metrics.js';
import { cellsOf, replicationsOf } from '../grid/plan.js';
import type { CellRecord } from '../grid/run.js';
import { madeUpOutcome, smallScenario } from '../grid/testing.js';
import { pooled } from './charts.js';
import { jsonDocument, type SimulationReport, simulationReport } from './document.js';
import { renderHtml } from './html.js';
import { progressLine } from './progress.js';
import { changeBy, renderText } from './text.js';

const LABELS = ['control', '<b>new</b>'];

/** A report of some strategies over two loads and two seeds; `end` says how each cell ended. */
function report(
	end: (cell: CellRecord) => CellRecord = (cell) => cell,
	interrupted = false,
	labels: readonly string[] = LABELS,
	thresholds = '',
): SimulationReport {
	const scenario = smallScenario('grid: { loads: { values: [1, 2] }, seeds: 2 }');
	const cells = cellsOf(
		scenario,
		replicationsOf(scenario, (_, load) => load, labels.length),
		labels.length,
	);
	const records = cells.map((cell): CellRecord => {
		const slow = cell.replication.load === 2 ? 400 : 100;
		const outcome =
			cell.strategy === 0 ? madeUpOutcome(0.9, slow) : madeUpOutcome(cell.replication.load === 2 ? 0.7 : 1, slow / 2);
		return end({ ...cell, state: 'done', outcome });
	});
	const strategy = (label: string) => ({
		label,
		config: {},
		module: { label: `${label}@1`, digest: 'abc' },
		prepared: { describeTrap: () => undefined },
	});
	return simulationReport({
		simulator: '9.9.9',
		scenario,
		workloadDigest: 'f'.repeat(64),
		strategies: labels.map(strategy) as unknown as Parameters<typeof simulationReport>[0]['strategies'],
		seeds: [1, 2],
		until: null,
		capacities: [],
		grid: { records, interrupted },
		repeatable: null,
		thresholds: thresholds === '' ? [] : parseSimulationThresholds(thresholds),
		notes: ['a note'],
	});
}

test('the text names what was run, every table, and the worst scenario', (t) => {
	const text = renderText(report());
	t.regex(
		text,
		/^small: 2 engines, made up, 100 requests\n2 strategies, seeds 1, 2; 8 of 8 simulations; simulator 9\.9\.9, trace ffffffffffff\nnote: a note\n/,
	);
	for (const title of ['load 1', 'load 2', 'all 8 simulations']) t.regex(text, new RegExp(`^${title}$`, 'm'));
	t.regex(text, /^<b>new<\/b> +2\/0\/2 +-5\.00 pp/m, 'two loads won, two lost');
	t.deepEqual([0.5, 1, 2.132].map(changeBy), ['-50.0 %', '0.0 %', '+113.2 %'], 'a change has its sign');
	const tables = [...text.matchAll(/^strategy +TTFT mean.*\n(\S+) .*\n(\S+) /gm)].map(([, first, second]) => [
		first,
		second,
	]);
	t.is(tables.length, 3);
	for (const order of tables) t.deepEqual(order, ['<b>new</b>', 'control'], 'the best is first, baseline or not');
	t.regex(text, /-20\.00 pp, TTFT x0\.50 +load 2, seed [12]/);
	t.notRegex(text, /PARTIAL|FAILED/);
});

test('a failed cell is told with its message, and the report is partial', (t) => {
	const failed = report((record) =>
		record.strategy === 1 && record.replication.seed === 2
			? {
					replication: record.replication,
					strategy: 1,
					spec: record.spec,
					state: 'failed',
					code: 'IM_SIMULATE_CELL',
					message: 'out of <luck>',
				}
			: record,
	);
	t.like(failed, { partial: true, interrupted: false, passed: false });
	t.regex(renderText(failed), /^FAILED {2}<b>new<\/b>, load 1, seed 2: out of <luck>$/m);
	t.regex(renderHtml(failed), /Partial result\.[\s\S]*6 of 8 simulations[\s\S]*out of &lt;luck&gt;/);
	t.is(failed.comparisons[0]?.replications, 2, 'what is there is paired');
});

test('an interrupted run is marked as such', (t) => {
	const stopped = report(
		(record) =>
			record.replication.load === 2
				? { replication: record.replication, strategy: record.strategy, spec: record.spec, state: 'interrupted' }
				: record,
		true,
	);
	t.regex(renderText(stopped), /^PARTIAL: stopped before its end/m);
	t.regex(renderHtml(stopped), /the run was stopped/);
	t.notRegex(renderText(stopped), /^load 2$/m, 'there is no table of nothing');
});

test('a simulation that could only be run in part is marked, and does not pass', (t) => {
	const part = report((record) =>
		record.state === 'done' && record.strategy === 1
			? { ...record, outcome: { ...record.outcome, partial: 'books do not agree' } }
			: record,
	);
	t.like(part, { partial: true, passed: false });
	t.regex(
		renderText(part),
		/^PARTIAL {2}<b>new<\/b>, load 1, seed 1: books do not agree: 100 of 100 requests finished, TTFT mean /m,
	);
	t.is(part.means[1], null, 'and is compared with nothing');
	t.is(part.comparisons[0]?.replications, 0);
});

test('a native library is not metered: table, page and document say so, and no threshold on its fuel holds', (t) => {
	const unmetered = (record: CellRecord): CellRecord => {
		if (record.state !== 'done' || record.strategy === 0) return record;
		const costs = record.outcome.costs.map((cost) => ({ ...cost, fuelMean: null, fuelMax: null }));
		return { ...record, outcome: { ...record.outcome, costs } };
	};
	const thresholds = 'fuel.mean>=0,fuel.max<=0,goodput>=0%';
	const native = report(unmetered, false, ['control', 'library'], thresholds);
	t.like(native.means[0], { fuelMean: 10, fuelMax: 20 });
	t.like(native.means[1], { fuelMean: null, fuelMax: null });
	t.deepEqual(
		native.thresholds.map(({ passed, actual }) => [passed, actual !== null]),
		[
			[false, false],
			[false, false],
			[true, true],
		],
	);
	const text = renderText(native);
	t.regex(text, /^library .* not metered /m);
	t.regex(text, /^control .* 10 /m);
	t.regex(text, /^FAIL {2}library: fuel\.mean>=0 {2}\(not metered\)$/m);
	const rows = [...renderHtml(native).matchAll(/<tr><td>library<\/td>.*?<\/tr>/g)].filter(([row]) =>
		row.includes('<td>not metered</td>'),
	);
	t.true(rows.length >= 2, 'in the means, and in what decisions cost beside');
	const none = report((record) => ({ ...record, state: 'interrupted' }), false, LABELS, 'fuel.mean>=0');
	t.regex(renderText(none), /fuel\.mean>=0 {2}\(not measured\)$/m, 'where nothing ran, nothing is known');
});

test('the legend tells lines of one colour apart: dashed there as in the plot', (t) => {
	const labels = Array.from({ length: 12 }, (_, index) => `made${index}`);
	const html = renderHtml(report((record) => record, false, labels));
	t.true(html.includes('<span class="key s0">made0</span>'));
	t.true(html.includes('<span class="key s0 dashed">made10</span>'));
	t.true(html.includes('class="line s0 dashed"'));
});

test('a page has every plot once, the worst scenario’s too', (t) => {
	const titles = [...renderHtml(report()).matchAll(/<figcaption><b>([^<]*)<\/b>/g)].map(([, title]) => title);
	t.true(titles.length > 3);
	t.deepEqual(titles, [...new Set(titles)]);
});

test('the worst scenario is the one with most goodput lost, whoever lost it; among equals, with most time', (t) => {
	const labels = ['control', 'first', 'second'];
	const titleWhere = (made: (strategy: number, load: number) => [goodput: number, ttftMs: number]): string => {
		const page = renderHtml(
			report(
				(record) =>
					record.state === 'done'
						? { ...record, outcome: madeUpOutcome(...made(record.strategy, record.replication.load)) }
						: record,
				false,
				labels,
			),
		);
		return /<h2>Worst scenario, ([^<]*)<\/h2>/.exec(page)?.[1] ?? 'none';
	};
	// Nobody loses goodput: the second strategy is three times slower at load 2, the first twice at load 1.
	const slow = (strategy: number, load: number): number => (strategy === load ? 100 * (1 + load) : 100);
	t.is(
		titleWhere((strategy, load) => [1, slow(strategy, load)]),
		'load 2: second against control',
	);
	// A little goodput weighs more than any time.
	t.is(
		titleWhere((strategy, load) => [strategy === 1 && load === 1 ? 0.99 : 1, slow(strategy, load)]),
		'load 1: first against control',
	);
	// Where nobody loses anything, that of the least gain.
	t.is(
		titleWhere((strategy, load) => (strategy === 0 ? [0.5, 100] : [strategy === 2 && load === 1 ? 0.6 : 0.9, 50])),
		'load 1: second against control',
	);
});

test('the page shows names as text, and carries its data without what is drawn', (t) => {
	const html = renderHtml(report());
	t.notRegex(html, /<b>new<\/b>/);
	t.regex(html, /&lt;b&gt;new&lt;\/b&gt;/);
	const kept = /<script type="application\/json" id="result">(.*?)<\/script>/s.exec(html)?.[1] ?? '';
	const data = JSON.parse(kept) as SimulationReport;
	t.is(data.cells.length, 8);
	t.true(data.cells.every(({ outcome }) => outcome !== undefined && !('curves' in outcome)));
	t.true(
		(jsonDocument(report()) as SimulationReport).cells.every(
			({ outcome }) => outcome !== undefined && 'curves' in outcome,
		),
	);
});

test('curves pooled over seeds are one distribution: rising, ending at 1', (t) => {
	const curve = fc
		.array(fc.double({ min: 0.01, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 80 })
		.map((values) =>
			values.toSorted((a, b) => a - b).map((ms, index): [number, number] => [ms, (index + 1) / values.length]),
		);
	fc.assert(
		fc.property(fc.array(curve, { minLength: 1, maxLength: 5 }), (curves) => {
			const all = pooled(curves);
			const last = all.at(-1);
			return (
				all.length <= 65 &&
				last !== undefined &&
				Math.abs(last[1] - 1) < 1e-9 &&
				last[0] === Math.max(...curves.map((points) => points.at(-1)?.[0] ?? 0)) &&
				all.every(
					([ms, fraction], index) =>
						index === 0 || (ms >= (all[index - 1]?.[0] ?? 0) && fraction >= (all[index - 1]?.[1] ?? 0)),
				)
			);
		}),
		{ seed: 11, numRuns: 200 },
	);
	t.pass();
});

test('the progress line has a bar and the time left, and says when it does not know', (t) => {
	const state = { phase: 'simulating', done: 3, failed: 1, total: 8, progressed: 4, elapsedMs: 6000 };
	t.is(progressLine(state), 'simulating [############............]  50 %  3 of 8 simulations  1 failed  6.00 s left');
	t.regex(progressLine({ ...state, done: 0, failed: 0, progressed: 0 }), /0 of 8 simulations {2}time left unknown$/);
	t.is(progressLine({ ...state, failed: 0, total: 0 }), 'simulating  3 simulations  6.00 s');
});
