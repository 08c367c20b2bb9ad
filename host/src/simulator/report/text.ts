// Owns the report of a simulation for a terminal: what was run, a table of strategies for every load and setting (or of all together where there are many),
// the comparison with the baseline, and its worst scenario. Plain text, no colour.
import { formatMs, formatNumber, formatShare } from '../../load/report/format.js';
import { textTable as table } from '../../load/report/text-table.js';
import type { Interval } from '../../statistics/interval.js';
import { NOT_METERED } from '../../strategy/native/code.js';
import type { StrategyMeans } from '../grid/compare.js';
import { SIMULATION_METRICS } from '../grid/metrics.js';
import { settingName } from '../grid/plan.js';
import { type ReportedCell, type ReportedThreshold, type SimulationReport, wholeOutcome } from './document.js';
import { describeReplication, groupsOf, ranked } from './groups.js';

/** Tables of single loads and settings; with more, only means over all are shown. */
const TABLES_MAX = 8;
const ERRORS_SHOWN_MAX = 5;

/** Renders a report as text, with a final newline. */
export function renderText(report: SimulationReport): string {
	const sections = [
		heading(report),
		failures(report),
		capacities(report),
		...tables(report),
		comparisons(report),
		experiments(report),
		traps(report),
		thresholds(report),
	];
	return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

function heading(report: SimulationReport): string {
	const { scenario, workload, strategies, cells } = report;
	const engines = scenario.fleet.reduce((sum, group) => sum + group.count, 0);
	const done = cells.filter((cell) => wholeOutcome(cell) !== undefined).length;
	const runs = cells.length === 0 ? '' : `; ${done} of ${cells.length} simulations`;
	return [
		`${scenario.name}: ${engines} engines, ${workload.name}, ${formatNumber(workload.requests)} requests`,
		`${strategies.length} strategies, seeds ${seedList(report.seeds)}${runs}; simulator ${report.simulator}, trace ${workload.digest.slice(0, 12)}`,
		...workload.notes.map((note) => `note: ${note}`),
		...(report.interrupted ? ['PARTIAL: stopped before its end; what is here is paired as far as it goes'] : []),
	].join('\n');
}

function failures({ cells }: SimulationReport): string {
	const failed = cells.filter(({ state }) => state === 'failed');
	const partial = cells.filter(({ outcome }) => outcome?.partial !== undefined);
	const lines = [
		...failed.map((cell) => `FAILED  ${cell.strategy}, ${describeReplication(cell)}: ${cell.error?.message ?? ''}`),
		...partial.map((cell) => `PARTIAL  ${cell.strategy}, ${describeReplication(cell)}: ${partialText(cell) ?? ''}`),
	];
	const more = lines.length - ERRORS_SHOWN_MAX;
	return [...lines.slice(0, ERRORS_SHOWN_MAX), ...(more > 0 ? [`… and ${more} more`] : [])].join('\n');
}

/** Why a simulation ended before its end, and how it stood; undefined when it did not. */
export function partialText({ outcome }: ReportedCell): string | undefined {
	if (outcome?.partial === undefined) return undefined;
	const { finished, requests, ttft } = outcome.summary;
	return `${outcome.partial}: ${formatNumber(finished)} of ${formatNumber(requests)} requests finished, TTFT mean ${formatMs(ttft.mean)}`;
}

function capacities({ capacities: found, until }: SimulationReport): string {
	if (found.length === 0) return '';
	const rows = found.map((it) => [
		it.strategy,
		settingName(it),
		it.speed === 0 ? 'none' : it.speed.toPrecision(4),
		it.broken === null ? '-' : it.broken.toPrecision(4),
		it.speed === 0 ? '-' : formatNumber(it.requestsPerSecond),
		String(it.tried),
		it.error ?? '',
	]);
	const title = `capacity: highest speed with ${until ?? ''}`;
	return `${title}\n${table(['strategy', 'setting', 'speed', 'broken at', 'requests/s', 'tried', ''], rows)}`;
}

function tables(report: SimulationReport): string[] {
	const groups = groupsOf(report).filter(({ means }) => means.some((it) => it !== null));
	const overall = `all ${report.cells.length} simulations\n${strategyTable(report, report.means, true)}`;
	if (report.cells.length === 0) return [];
	if (groups.length === 1) return [strategyTable(report, report.means, true)];
	if (groups.length > TABLES_MAX) return [overall];
	return [...groups.map((group) => `${group.name}\n${strategyTable(report, group.means, false)}`), overall];
}

/** `wins`: with the win rate, which is over all replications. */
function strategyTable(report: SimulationReport, means: readonly (StrategyMeans | null)[], wins: boolean): string {
	const slos = Object.keys(report.scenario.grid.slos);
	const head = [
		'strategy',
		'TTFT mean',
		'p50',
		'p99',
		'TPOT p99',
		'hit',
		'goodput',
		...slos.map((name) => `(${name})`),
		'imbalance',
		'fuel',
		'fallbacks',
		...(wins ? ['win'] : []),
	];
	const rows = Array.from(ranked(means), (index) => {
		const { label = '' } = report.strategies[index] ?? {};
		const mean = means[index];
		if (mean === null || mean === undefined) return [label, ...head.slice(1).map(() => '-')];
		const comparison = report.comparisons.find(({ strategy }) => strategy === label);
		return [
			label,
			formatMs(mean.ttftMeanMs),
			formatMs(mean.ttftP50Ms),
			formatMs(mean.ttftP99Ms),
			formatMs(mean.tpotP99Ms),
			formatShare(mean.hitRatio),
			formatShare(mean.goodput),
			...slos.map((name) => formatShare(mean.goodputs[name] ?? 0)),
			mean.imbalance.toFixed(2),
			formatFuel(mean.fuelMean),
			formatNumber(mean.fallbacks),
			...(wins ? [index === 0 ? 'baseline' : comparison === undefined ? '-' : formatShare(comparison.winRate)] : []),
		];
	});
	return table(head, rows);
}

function comparisons({ comparisons: all, baseline }: SimulationReport): string {
	const paired = all.filter(({ replications }) => replications > 0).toSorted((a, b) => a.ttftRatio - b.ttftRatio);
	if (paired.length === 0) return '';
	const rows = paired.map((it) => [
		it.strategy,
		`${it.wins}/${it.ties}/${it.losses}`,
		points(it.margin),
		formatInterval(it.marginOverSeeds) ?? '-',
		changeBy(it.ttftRatio),
		it.worst === null ? '-' : `${points(it.worst.goodput)}, TTFT x${it.worst.ttftRatio.toFixed(2)}`,
		it.worst === null ? '-' : describeReplication(it.worst.replication),
	]);
	return [
		`against ${baseline}: win, tie, loss in goodput by more than 0.5 pp, over the replications of this grid`,
		table(['strategy', 'w/t/l', 'margin', 'over seeds (95 %)', 'TTFT mean', 'worst', 'worst scenario'], rows),
	].join('\n');
}

/** What each arm of a shared fleet saw; the row of the baseline above is the baseline alone. */
function experiments({ experiments: all, scenario, baseline }: SimulationReport): string {
	if (all.length === 0) return '';
	const rows = all.map(({ strategy, arms: [control, treatment] }) => [
		strategy,
		formatMs(control?.ttftMeanMs),
		formatMs(treatment?.ttftMeanMs),
		formatShare(control?.goodput ?? 0),
		formatShare(treatment?.goodput ?? 0),
		points((treatment?.goodput ?? 0) - (control?.goodput ?? 0)),
	]);
	return [
		`${baseline} (0) and each strategy (1) shared one fleet, assigned by ${scenario.assignment.kind}: each helps or harms the other, so differences are no effect`,
		table(['strategy', 'TTFT mean 0', 'TTFT mean 1', 'goodput 0', 'goodput 1', 'difference'], rows),
	].join('\n');
}

/** Undefined where there is none, or few seeds say nothing yet. */
export function formatInterval(interval: Interval | null): string | undefined {
	if (interval === null || interval.lower <= -1 || interval.upper >= 1) return undefined;
	return `${points(interval.lower)} … ${points(interval.upper)}`;
}

/** A ratio to the baseline as a signed change. */
export function changeBy(ratio: number): string {
	return `${ratio > 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(1)} %`;
}

/** A difference of shares in percentage points. */
export function points(difference: number): string {
	const value = difference * 100;
	return `${value > 0 ? '+' : ''}${value.toFixed(2)} pp`;
}

function traps({ strategies, means }: SimulationReport): string {
	return strategies
		.flatMap(({ label }, index) => {
			const trap = means[index]?.trap ?? null;
			return trap === null ? [] : [`TRAP  ${label}: ${trap.split('\n')[0] ?? ''}`];
		})
		.join('\n');
}

function thresholds(report: SimulationReport): string {
	return report.thresholds
		.map((it) => `${it.passed ? 'pass' : 'FAIL'}  ${it.strategy}: ${it.source}  (${formatActual(report, it)})`)
		.join('\n');
}

/** Whole units; in words where none are counted. */
export function formatFuel(fuel: number | null): string {
	return fuel === null ? NOT_METERED : formatNumber(Math.round(fuel));
}

export function formatActual(
	{ strategies, means }: SimulationReport,
	{ strategy, source, actual }: ReportedThreshold,
): string {
	const ran = (means[strategies.findIndex(({ label }) => label === strategy)] ?? null) !== null;
	if (actual === null) return ran ? NOT_METERED : 'not measured';
	const kind = SIMULATION_METRICS.get(/^[\w.]*\w/.exec(source)?.[0] ?? '');
	if (kind === 'time') return formatMs(actual);
	return kind === 'share' ? formatShare(actual) : formatNumber(actual);
}

function seedList(seeds: readonly number[]): string {
	return seeds.length > 6 ? `${seeds.slice(0, 5).join(', ')} … (${seeds.length})` : seeds.join(', ');
}
