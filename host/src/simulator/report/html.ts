// Owns the HTML report of a simulation: one self-contained file that says what was simulated, draws it, and shows every strategy's worst scenario beside its
// mean. It carries the document as JSON, without what is drawn. Leaves drawing to the charts of load reports.
import { renderChart } from '../../load/report/chart.js';
import { escapeHtml } from '../../load/report/escape.js';
import { formatMs, formatNumber, formatShare } from '../../load/report/format.js';
import { htmlRow, htmlTable } from '../../load/report/markup.js';
import { renderPage } from '../../load/report/page.js';
import { type StrategyMeans, worseFirst } from '../grid/compare.js';
import { settingName } from '../grid/plan.js';
import { distributionCharts, loadCharts, timelineCharts } from './charts.js';
import { type ReportedCell, type SimulationReport, wholeOutcome } from './document.js';
import { describeReplication, type Group, groupsOf, ranked } from './groups.js';
import { changeBy, formatActual, formatFuel, formatInterval, partialText, points } from './text.js';

/** Settings and loads whose tables are shown. */
const GROUPS_SHOWN_MAX = 48;

/** Renders a report as a page that needs nothing from the network. */
export function renderHtml(report: SimulationReport): string {
	const groups = groupsOf(report);
	const shown = shownGroup(groups);
	const seed = report.seeds[0] ?? 0;
	const worst = worstGroup(report, groups);
	const charts = [...(shown === undefined ? [] : distributionCharts(report, shown)), ...loadCharts(report, groups)].map(
		renderChart,
	);
	const timelines = shown === undefined ? [] : timelineCharts(report, shown, seed).map(renderChart);
	const main = [
		header(report),
		tiles(report),
		capacities(report),
		report.cells.length === 0
			? ''
			: `<h2>Strategies, means over ${report.cells.length} simulations</h2>${meansCard(report, report.means)}`,
		comparisons(report),
		experiments(report),
		extremes(report),
		side(report),
		thresholds(report),
		charts.length === 0 ? '' : `<h2>Plots</h2><section class="charts">${charts.join('\n')}</section>`,
		worst === undefined ? '' : worstSection(report, worst, shown, seed),
		timelines.length === 0 ? '' : `<h2>Over time</h2><section class="charts">${timelines.join('\n')}</section>`,
		groupTables(report, groups),
		failures(report),
		simulated(report),
		footer(report),
	];
	return renderPage(`Simulation: ${report.scenario.name}`, main.filter((part) => part !== '').join('\n'), slim(report));
}

/** The highest load of the first setting: where strategies differ most. */
function shownGroup(groups: readonly Group[]): Group | undefined {
	const [first] = groups;
	return groups.filter(({ setting }) => setting === first?.setting).toSorted((a, b) => b.load - a.load)[0];
}

/** The group of the worst scenario of all comparisons; undefined where there is but one. */
function worstGroup(
	report: SimulationReport,
	groups: readonly Group[],
): { group: Group; seed: number; strategy: string } | undefined {
	const [worst] = report.comparisons
		.flatMap(({ strategy, worst: pair }) => (pair === null ? [] : [{ strategy, pair }]))
		.toSorted((a, b) => worseFirst(a.pair, b.pair));
	if (worst === undefined || groups.length < 2) return undefined;
	const { replication } = worst.pair;
	const group = groups.find(({ cells }) =>
		cells.some((cell) => settingName(cell) === settingName(replication) && cell.load === replication.load),
	);
	return group === undefined ? undefined : { group, seed: replication.seed, strategy: worst.strategy };
}

/** With its plots, but for those that the page has anyhow: of the group `shown` with `seed`. */
function worstSection(
	report: SimulationReport,
	worst: { group: Group; seed: number; strategy: string },
	shown: Group | undefined,
	seed: number,
): string {
	const isShown = worst.group === shown;
	const charts = [
		...(isShown ? [] : distributionCharts(report, worst.group).slice(0, 1)),
		...(isShown && worst.seed === seed ? [] : timelineCharts(report, worst.group, worst.seed).slice(0, 1)),
	];
	const title = `Worst scenario, ${worst.group.name}: ${worst.strategy} against ${report.baseline}`;
	return `<h2>${escapeHtml(title)}</h2>${meansCard(report, worst.group.means)}<section class="charts" style="margin-top:14px">${charts.map(renderChart).join('\n')}</section>`;
}

function header(report: SimulationReport): string {
	const { scenario, workload } = report;
	const engines = scenario.fleet.map((group) => `${group.count} × ${group.profile}`).join(', ');
	const facts = [scenario.name, engines, workload.name, `${formatNumber(workload.requests)} requests`];
	const notes = workload.notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`);
	const done = report.cells.filter((cell) => wholeOutcome(cell) !== undefined).length;
	const partial = report.partial
		? `<p class="banner"><b>Partial result.</b> ${done} of ${report.cells.length} simulations ran to their end${report.interrupted ? '; the run was stopped' : ''}. What is here is paired as far as it goes.</p>`
		: '';
	return `<h1>Simulation report</h1><p class="sub">${facts.map(escapeHtml).join(' · ')}</p><p class="sub">${escapeHtml(scenario.description)}</p>${partial}${notes.join('')}`;
}

function tiles(report: SimulationReport): string {
	if (report.cells.length === 0) return '';
	const best = bestOf(report);
	const requests = report.cells.reduce((sum, { outcome }) => sum + (outcome?.summary.requests ?? 0), 0);
	const failed = report.cells.filter(({ state }) => state === 'failed').length;
	const all: [string, string, string?][] = [
		[String(report.strategies.length), `strategies, baseline ${report.baseline}`],
		[formatNumber(report.cells.length), 'simulations'],
		[formatNumber(requests), 'requests simulated'],
		...(best === undefined
			? []
			: [[best.label, `lowest mean TTFT: ${formatMs(best.ttftMs)}`, 'good'] as [string, string, string]]),
		...(failed === 0 ? [] : [[String(failed), 'simulations failed', 'bad'] as [string, string, string]]),
	];
	return `<section class="tiles">${all
		.map(
			([value, caption, tone]) =>
				`<div class="tile ${tone ?? ''}"><b>${escapeHtml(value)}</b><span>${escapeHtml(caption)}</span></div>`,
		)
		.join('')}</section>`;
}

function bestOf(report: SimulationReport): { label: string; ttftMs: number } | undefined {
	return report.strategies
		.flatMap(({ label }, index) => {
			const mean = report.means[index];
			return mean === null || mean === undefined ? [] : [{ label, ttftMs: mean.ttftMeanMs }];
		})
		.toSorted((a, b) => a.ttftMs - b.ttftMs)[0];
}

function meansCard(report: SimulationReport, means: readonly (StrategyMeans | null)[]): string {
	const slos = Object.keys(report.scenario.grid.slos);
	const head = [
		'',
		'TTFT mean',
		'p50',
		'p99',
		'TPOT p99',
		'E2E mean',
		'cache hits',
		'goodput',
		...slos.map((name) => `goodput (${name})`),
		'imbalance',
		'failed',
		'fuel',
		'fallbacks',
	];
	const rows = Array.from(ranked(means), (index) => {
		const { label = '' } = report.strategies[index] ?? {};
		const mean = means[index];
		if (mean === null || mean === undefined) return htmlRow([label, ...head.slice(1).map(() => '–')]);
		return htmlRow([
			label,
			...[mean.ttftMeanMs, mean.ttftP50Ms, mean.ttftP99Ms, mean.tpotP99Ms, mean.e2eMeanMs].map(formatMs),
			formatShare(mean.hitRatio),
			formatShare(mean.goodput),
			...slos.map((name) => formatShare(mean.goodputs[name] ?? 0)),
			mean.imbalance.toFixed(2),
			formatShare(mean.failRatio),
			formatFuel(mean.fuelMean),
			formatNumber(mean.fallbacks),
		]);
	});
	return `<div class="card">${htmlTable(head, rows)}</div>`;
}

function comparisons(report: SimulationReport): string {
	const paired = report.comparisons
		.filter(({ replications }) => replications > 0)
		.toSorted((a, b) => a.ttftRatio - b.ttftRatio);
	if (paired.length === 0) return '';
	const rows = paired.map((it) =>
		htmlRow([
			it.strategy,
			String(it.replications),
			formatShare(it.winRate),
			`${it.wins} / ${it.ties} / ${it.losses}`,
			points(it.margin),
			formatInterval(it.marginOverSeeds) ?? '–',
			changeBy(it.ttftRatio),
		]),
	);
	const head = [
		'',
		'replications',
		'win rate',
		'win / tie / loss',
		'margin in goodput',
		'margin over seeds, 95 %',
		'mean TTFT',
	];
	const text = `Paired with ${report.baseline}: the same requests at the same times. A win is more than 0.5 percentage points of goodput. The replications are all there are in this grid, so the win rate carries no interval; the interval of the margin is over the seeds, with the rest of the grid held fixed.`;
	return `<h2>Against ${escapeHtml(report.baseline)}</h2><div class="card">${htmlTable(head, rows)}</div><p class="sub">${escapeHtml(text)}</p>`;
}

function experiments({ experiments: all, scenario, baseline }: SimulationReport): string {
	if (all.length === 0) return '';
	const rows = all.map(({ strategy, arms: [control, treatment] }) =>
		htmlRow([
			strategy,
			...[control?.ttftMeanMs, treatment?.ttftMeanMs].map(formatMs),
			...[control?.goodput, treatment?.goodput].map((share) => formatShare(share ?? 0)),
			points((treatment?.goodput ?? 0) - (control?.goodput ?? 0)),
		]),
	);
	const head = ['', 'mean TTFT, arm 0', 'arm 1', 'goodput, arm 0', 'arm 1', 'difference'];
	const text = `${baseline} (arm 0) and each strategy (arm 1) shared one fleet, assigned by ${scenario.assignment.kind}. Each helps or harms the other through queues and caches, so a difference between arms is not the effect of a strategy.`;
	return `<h2>Arms of one fleet</h2><div class="card">${htmlTable(head, rows)}</div><p class="sub">${escapeHtml(text)}</p>`;
}

/** Every strategy's mean beside its worst scenario. */
function extremes(report: SimulationReport): string {
	const rows = report.strategies.flatMap(({ label }, index) => {
		const mean = report.means[index];
		const done = report.cells.flatMap((cell) => {
			const outcome = cell.strategy === label ? wholeOutcome(cell) : undefined;
			return outcome === undefined ? [] : [{ ...cell, outcome }];
		});
		const low = done.toSorted((a, b) => a.outcome.summary.goodput - b.outcome.summary.goodput)[0];
		const slow = done.toSorted((a, b) => b.outcome.summary.ttft.mean - a.outcome.summary.ttft.mean)[0];
		if (mean === null || mean === undefined || low === undefined || slow === undefined) return [];
		return htmlRow([
			label,
			formatShare(mean.goodput),
			formatShare(low.outcome.summary.goodput),
			describeReplication(low),
			formatMs(mean.ttftMeanMs),
			formatMs(slow.outcome.summary.ttft.mean),
			describeReplication(slow),
		]);
	});
	if (report.cells.length <= report.strategies.length || rows.length === 0) return '';
	const head = ['', 'goodput, mean', 'worst', 'in', 'mean TTFT, mean', 'worst', 'in'];
	return `<h2>The worst beside the mean</h2><div class="card">${htmlTable(head, rows)}</div>`;
}

/** What decisions cost beside the latencies: means over simulations. */
function side(report: SimulationReport): string {
	if (report.cells.length === 0) return '';
	const head = [
		'',
		'regret a decision',
		'held, mean',
		'preemptions',
		'retries',
		'hedges',
		'hedge waste',
		'fetches',
		'fuel, most',
	];
	const rows = report.strategies.map(({ label }, index) => {
		const mean = report.means[index];
		if (mean === null || mean === undefined) return htmlRow([label, ...head.slice(1).map(() => '–')]);
		return htmlRow([
			label,
			formatMs(mean.regretMs),
			formatMs(mean.heldMeanMs),
			...[mean.preemptions, mean.retries, mean.hedges].map(formatNumber),
			formatShare(mean.hedgeWaste),
			formatNumber(mean.fetches),
			formatFuel(mean.fuelMax),
		]);
	});
	const text =
		'Regret is the cost of the chosen target less the least, under one predictor for all strategies: a strategy that predicts otherwise may be right to differ.';
	return `<h2>Beside the latencies</h2><div class="card">${htmlTable(head, rows)}</div><p class="sub">${escapeHtml(text)}</p>`;
}

function capacities(report: SimulationReport): string {
	if (report.capacities.length === 0) return '';
	const rows = report.capacities.map((it) =>
		htmlRow([
			it.strategy,
			settingName(it),
			it.speed === 0 ? 'none' : it.speed.toPrecision(4),
			it.broken === null ? '–' : it.broken.toPrecision(4),
			formatNumber(it.requestsPerSecond),
			String(it.tried),
			it.error ?? '',
		]),
	);
	const head = ['', 'setting', 'speed', 'broken at', 'requests/s', 'speeds tried', ''];
	return `<h2>Capacity: highest speed with ${escapeHtml(report.until ?? report.scenario.grid.loads.until)}</h2><div class="card">${htmlTable(head, rows)}</div>`;
}

function thresholds(report: SimulationReport): string {
	if (report.thresholds.length === 0) return '';
	const rows = report.thresholds.map(
		(it) =>
			`<tr><td><span class="${it.passed ? 'pass' : 'fail'}">${it.passed ? 'pass' : 'FAIL'}</span></td><td>${escapeHtml(`${it.strategy}: ${it.source}`)}</td><td>${escapeHtml(formatActual(report, it))}</td></tr>`,
	);
	return `<h2>Thresholds</h2><div class="card">${htmlTable(['verdict', 'threshold', 'measured'], rows, 'list')}</div>`;
}

function groupTables(report: SimulationReport, groups: readonly Group[]): string {
	if (groups.length < 2) return '';
	const tables = groups
		.slice(0, GROUPS_SHOWN_MAX)
		.map((group) => `<h2>${escapeHtml(group.name)}</h2>${meansCard(report, group.means)}`);
	const more = groups.length - tables.length;
	return `${tables.join('')}${more > 0 ? `<p class="sub">… and ${more} more, in the JSON document.</p>` : ''}`;
}

function failures(report: SimulationReport): string {
	const told = (cell: ReportedCell): string | undefined => cell.error?.message ?? partialText(cell);
	const rows = report.cells.flatMap((cell) => {
		const message = told(cell);
		return message === undefined ? [] : [htmlRow([cell.strategy, describeReplication(cell), message])];
	});
	const traps = report.strategies.flatMap(({ label }, index) => {
		const trap = report.means[index]?.trap ?? null;
		return trap === null ? [] : [htmlRow([label, 'trap', trap])];
	});
	if (rows.length + traps.length === 0) return '';
	return `<h2>Failures</h2><div class="card">${htmlTable(['strategy', 'where', 'what'], [...rows, ...traps], 'list')}</div>`;
}

/** What was simulated, in full. */
function simulated(report: SimulationReport): string {
	const strategies = report.strategies.map((it) =>
		htmlRow([it.label, it.strategy, it.digest, JSON.stringify(it.config)]),
	);
	return `<h2>What was simulated</h2><div class="card">${htmlTable(['', 'strategy', 'digest', 'configuration'], strategies)}</div><details class="card" style="margin-top:14px"><summary>the whole scenario, defaults filled in</summary><pre>${escapeHtml(JSON.stringify(report.scenario, null, 2))}</pre></details>`;
}

function footer(report: SimulationReport): string {
	return `<footer>Simulator ${escapeHtml(report.simulator)}; trace ${escapeHtml(report.workload.digest)}; seeds ${report.seeds.join(', ')}. Latencies count from arrival at the router; requests that never finish count as not good. A simulation is a model: it says which strategy is better under what it models, and nothing about what it leaves out. ${escapeHtml(report.schema)}</footer>`;
}

/** The document without what is drawn: curves and timelines would make a large page larger. */
function slim(report: SimulationReport): unknown {
	return {
		...report,
		cells: report.cells.map(({ outcome, ...cell }) => {
			if (outcome === undefined) return cell;
			const { timelines: _timelines, curves: _curves, ...rest } = outcome;
			return { ...cell, outcome: rest };
		}),
	};
}
