// Owns the report of a load run for a terminal. Plain text, no colour, at most about 110 columns.
import { LOAD_METRICS } from '../metrics.js';
import type { Distribution, GroupResult, LoadResult } from '../result.js';
import { formatMs, formatNumber, formatShare } from './format.js';
import { textTable as table } from './text-table.js';

/** Renders a result as text, with a final newline. */
export function renderText(result: LoadResult): string {
	const sections = [
		heading(result),
		summary(result),
		latencyTable(result),
		failures(result),
		groups('target', result.targets),
		groups('strategy', result.strategies),
		switches(result),
		thresholds(result),
	];
	return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

function heading(result: LoadResult): string {
	const loop = result.mode === 'open' ? 'open loop' : 'closed loop';
	const speed =
		result.workload.speed === 1 || result.mode === 'closed' ? '' : ` at ${formatNumber(result.workload.speed)}x`;
	return [
		`${result.url}  ${result.model}  ${result.streaming ? 'streamed' : 'not streamed'}, ${loop}`,
		`${result.workload.name}${speed}`,
		...result.workload.notes.map((note) => `note: ${note}`),
		...(result.partial ? ['PARTIAL: the run was stopped before its end'] : []),
	].join('\n');
}

function summary(result: LoadResult): string {
	const { requests, goodput } = result;
	const aborted = requests.aborted === 0 ? '' : `, ${formatNumber(requests.aborted)} aborted`;
	const rows = [
		`requests  ${formatNumber(requests.completed)} completed of ${formatNumber(requests.offered)} offered, ` +
			`${formatNumber(requests.failed)} failed, ${formatNumber(requests.dropped)} dropped${aborted}; failure rate ${formatShare(result.failRate)}`,
		`rate      ${formatNumber(result.requestsPerSecond)} requests/s, ${formatNumber(result.outputTokensPerSecond)} output tokens/s over ${formatMs(result.elapsedMs)}`,
	];
	if (goodput !== null)
		rows.push(
			`goodput   ${formatShare(goodput.share)} within ${goodput.slo} (${formatNumber(goodput.requestsPerSecond)} requests/s)`,
		);
	return rows.join('\n');
}

const STATISTICS = ['mean', 'p50', 'p90', 'p95', 'p99', 'p99.9', 'max'] as const;

function latencyTable(result: LoadResult): string {
	const rows: [string, Distribution | null][] = [
		['TTFT', result.latency.ttftMs],
		['TPOT', result.latency.tpotMs],
		['ITL', result.latency.itlMs],
		['E2E', result.latency.e2eMs],
		['send lag', result.sendLagMs],
	];
	const cells: string[][] = [];
	for (const [name, distribution] of rows) {
		if (distribution === null) continue;
		cells.push([name, ...STATISTICS.map((statistic) => formatMs(distribution[statistic]))]);
	}
	return cells.length === 0 ? '' : table(['latency', ...STATISTICS], cells);
}

function failures(result: LoadResult): string {
	if (result.failures.length === 0) return '';
	return table(
		['failures', 'count'],
		result.failures.map((failure) => [`${failure.kind}: ${failure.detail}`, formatNumber(failure.count)]),
	);
}

function groups(title: string, rows: readonly GroupResult[]): string {
	if (rows.length === 0) return '';
	return table(
		[title, 'requests', 'failed', 'tokens', 'TTFT p50', 'TTFT p99', 'E2E p50', 'E2E p99'],
		rows.map((group) => [
			group.name,
			formatNumber(group.requests),
			formatNumber(group.failed),
			formatNumber(group.outputTokens),
			...[group.ttftMs?.p50, group.ttftMs?.p99, group.e2eMs?.p50, group.e2eMs?.p99].map(formatMs),
		]),
	);
}

function switches(result: LoadResult): string {
	return result.switches.map((it) => `switch at ${formatMs(it.atMs)}: ${it.from} -> ${it.to}`).join('\n');
}

function thresholds(result: LoadResult): string {
	return result.thresholds
		.map((it) => `${it.passed ? 'pass' : 'FAIL'}  ${it.source}  (${formatActual(it.source, it.actual)})`)
		.join('\n');
}

/** The measured value of a threshold in the manner of its metric. */
export function formatActual(source: string, actual: number | null): string {
	if (actual === null) return 'not measured';
	const kind = LOAD_METRICS.get(/^[\w.]*\w/.exec(source)?.[0] ?? '');
	if (kind === 'time') return formatMs(actual);
	return kind === 'share' ? formatShare(actual) : formatNumber(actual);
}
