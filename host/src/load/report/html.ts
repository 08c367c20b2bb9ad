// Owns the HTML report of a load run: one self-contained file that also carries its result as JSON. Leaves drawing to chart.ts.
import type { Distribution, GroupResult, LoadResult } from '../result.js';
import { type Chart, renderChart } from './chart.js';
import { loadCharts } from './charts.js';
import { escapeHtml } from './escape.js';
import { formatMs, formatNumber, formatShare } from './format.js';
import { htmlRow as row, htmlTable as table } from './markup.js';
import { renderPage } from './page.js';
import { formatActual } from './text.js';

/** Renders a result as a page that needs nothing from the network. All names from the result are escaped. */
export function renderHtml(result: LoadResult): string {
	const title = `Load report: ${result.model} at ${result.url}`;
	const main = `${header(result)}
${tiles(result)}
${thresholds(result)}
<section class="charts">${loadCharts(result)
		.map((chart: Chart) => renderChart(chart))
		.join('\n')}</section>
<h2>Latency</h2><div class="card">${latencyTable(result)}</div>
${groups(result)}
${failures(result)}
<footer>Latencies count from the time a request was due, so a stalled server shows in all requests it delayed. Failed requests add no latency. ${escapeHtml(result.schema)}</footer>`;
	return renderPage(title, main, result);
}

function header(result: LoadResult): string {
	const loop = result.mode === 'open' ? 'open loop' : 'closed loop';
	const speed =
		result.workload.speed === 1 || result.mode === 'closed' ? '' : ` at ${formatNumber(result.workload.speed)}x`;
	const facts = [
		result.url,
		result.model,
		result.streaming ? 'streamed' : 'not streamed',
		loop,
		`${result.workload.name}${speed}`,
	];
	const notes = result.workload.notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`);
	const partial = result.partial
		? '<p class="banner"><b>Partial result.</b> The run was stopped before its end.</p>'
		: '';
	const when = `${result.startedAt.slice(0, 19).replace('T', ' ')} UTC, ${formatMs(result.elapsedMs)}`;
	return `<h1>Load report</h1><p class="sub">${facts.map(escapeHtml).join(' · ')}</p><p class="sub">${escapeHtml(when)}</p>${partial}${notes.join('')}`;
}

interface Tile {
	readonly value: string;
	readonly caption: string;
	readonly tone?: 'good' | 'bad';
}

function tiles(result: LoadResult): string {
	const { latency, requests, goodput } = result;
	const all: Tile[] = [
		{ value: formatNumber(requests.completed), caption: `of ${formatNumber(requests.offered)} requests completed` },
		{
			value: formatShare(result.failRate),
			caption: `failed or dropped (${formatNumber(requests.failed + requests.dropped)})`,
			tone: result.failRate > 0 ? 'bad' : 'good',
		},
		{ value: formatNumber(result.requestsPerSecond), caption: 'requests a second' },
		{ value: formatNumber(result.outputTokensPerSecond), caption: 'output tokens a second' },
		...latencyTile('TTFT', latency.ttftMs),
		...latencyTile('TPOT', latency.tpotMs),
		...latencyTile('E2E', latency.e2eMs),
	];
	if (goodput !== null) all.push({ value: formatShare(goodput.share), caption: `goodput: ${goodput.slo}` });
	const render = (tile: Tile): string =>
		`<div class="tile ${tile.tone ?? ''}"><b>${escapeHtml(tile.value)}</b><span>${escapeHtml(tile.caption)}</span></div>`;
	return `<section class="tiles">${all.map(render).join('')}</section>`;
}

function latencyTile(name: string, distribution: Distribution | null): Tile[] {
	if (distribution === null) return [];
	return [{ value: formatMs(distribution.p50), caption: `${name} p50, p99 ${formatMs(distribution.p99)}` }];
}

function thresholds(result: LoadResult): string {
	if (result.thresholds.length === 0) return '';
	const rows = result.thresholds.map(
		(it) =>
			`<tr><td><span class="${it.passed ? 'pass' : 'fail'}">${it.passed ? 'pass' : 'FAIL'}</span></td><td>${escapeHtml(it.source)}</td><td>${escapeHtml(formatActual(it.source, it.actual))}</td></tr>`,
	);
	return `<h2>Thresholds</h2><div class="card"><table class="list"><tr><th>verdict</th><th>threshold</th><th>measured</th></tr>${rows.join('')}</table></div><h2>Plots</h2>`;
}

const STATISTICS = ['mean', 'min', 'p50', 'p90', 'p95', 'p99', 'p99.9', 'max'] as const;

function latencyTable(result: LoadResult): string {
	const rows: [string, Distribution | null][] = [
		['Time to first token (TTFT)', result.latency.ttftMs],
		['Time per output token (TPOT)', result.latency.tpotMs],
		['Inter-token latency (ITL)', result.latency.itlMs],
		['End to end (E2E)', result.latency.e2eMs],
		['Send lag of the generator', result.sendLagMs],
	];
	const body = rows
		.filter(([, distribution]) => distribution !== null)
		.map(([name, distribution]) =>
			row([
				name,
				formatNumber(distribution?.count ?? 0),
				...STATISTICS.map((statistic) => formatMs(distribution?.[statistic])),
			]),
		);
	return table(['', 'count', ...STATISTICS], body);
}

function groups(result: LoadResult): string {
	const section = (title: string, rows: readonly GroupResult[]): string => {
		if (rows.length === 0) return '';
		const body = rows.map((group) =>
			row([
				group.name,
				formatNumber(group.requests),
				formatNumber(group.failed),
				formatNumber(group.outputTokens),
				...[group.ttftMs?.p50, group.ttftMs?.p99, group.e2eMs?.p50, group.e2eMs?.p99].map(formatMs),
			]),
		);
		const head = ['', 'requests', 'failed', 'tokens', 'TTFT p50', 'TTFT p99', 'E2E p50', 'E2E p99'];
		return `<div><h2>${title}</h2><div class="card">${table(head, body)}</div></div>`;
	};
	return `<div class="columns">${section('By target', result.targets)}${section('By strategy', result.strategies)}</div>`;
}

function failures(result: LoadResult): string {
	if (result.failures.length === 0) return '';
	const body = result.failures.map((failure) => row([failure.kind, failure.detail, formatNumber(failure.count)]));
	return `<h2>Failures</h2><div class="card">${table(['cause', 'detail', 'count'], body, 'list')}</div>`;
}
