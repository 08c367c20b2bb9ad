// Owns the HTML report of an experiment: one self-contained file with its plots, which also carries the report as JSON. Every figure stands with what it promises.
import { renderChart } from '../load/report/chart.js';
import { escapeHtml } from '../load/report/escape.js';
import { formatMs, formatNumber, formatShare } from '../load/report/format.js';
import { htmlRow, htmlTable } from '../load/report/markup.js';
import { renderPage } from '../load/report/page.js';
import type { Interval } from '../statistics/interval.js';
import { type ArmName, arms } from './cohorts/cohort.js';
import type { ExperimentDesign } from './design/design.js';
import type { SwitchbackFigures } from './design/report.js';
import { chartsOf } from './report-charts.js';
import type { ExperimentDocument } from './views.js';

/** All text from the document is escaped. */
export function renderExperimentHtml(document: ExperimentDocument): string {
	const { design, model } = document;
	const title = `Experiment ${document.id}: ${design.candidate} against ${design.baseline} on ${model}`;
	const main = `<h1>${escapeHtml(title)}</h1>
<p class="sub">${escapeHtml(`${design.kind} · ${document.state} · verdict ${document.verdict}`)}</p>
${ending(document)}${document.notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`).join('')}
${tiles(document)}
<section class="charts">${chartsOf(document)
		.map((chart) => renderChart(chart))
		.join('\n')}</section>
<h2>Figures and what they promise</h2><div class="card"><table class="list prose"><tr><th>figure</th><th>value</th><th>guarantee</th></tr>${figures(document)}</table></div>
<h2>Both arms</h2><div class="card">${armTable(document)}</div>
<h2>Registered before the start</h2><div class="card"><table class="list facts">${registered(document)}</table></div>
<footer>${escapeHtml(document.schema)} · design ${escapeHtml(document.designDigest)}</footer>`;
	return renderPage(title, main, document);
}

function ending({ end }: ExperimentDocument): string {
	if (end === null) return '';
	const took =
		end.restoredAtMs === undefined ? '' : `, in force everywhere after ${formatMs(end.restoredAtMs - end.atMs)}`;
	const text = `${end.how}: ${end.reason} (by ${end.by}, ${new Date(end.atMs).toISOString()}${took})`;
	const tone = { rollback: 'banner', promote: 'banner good' }[end.how as string] ?? 'note';
	return `<p class="${tone}">${escapeHtml(text)}</p>`;
}

export const size = (share: number): string => `${(share * 100).toFixed(2)} points`;
export const points = (share: number): string => `${share > 0 ? '+' : ''}${size(share)}`;
/** A latency; 0 is that of no request. */
const latency = (value: number, show: (value: number) => string): string => (value === 0 ? '-' : show(value));
const micros = (us: number): string => latency(us, (value) => `${value.toFixed(0)} µs`);
const range = ({ lower, upper }: Interval, show: (value: number) => string): string =>
	`${show(lower)} … ${show(upper)}`;

/** What makes a request good, in words. */
export function goodRequest({ objectives: { ttftMs, ttftPerTokenMs, tpotMs } }: ExperimentDesign): string {
	const more = ttftPerTokenMs === 0 ? '' : ` + ${ttftPerTokenMs} ms a prompt token`;
	return `TTFT ≤ ${formatMs(ttftMs)}${more}, TPOT ≤ ${formatMs(tpotMs)}`;
}

const tile = (value: string, caption: string, tone = ''): string =>
	`<div class="tile ${tone}"><b>${escapeHtml(value)}</b><span>${escapeHtml(caption)}</span></div>`;

function tiles({ switchback, safety, design }: ExperimentDocument): string {
	if (switchback !== undefined) return switchbackTiles(switchback, design);
	const { evidence } = safety?.harm.value ?? { evidence: 1 };
	return `<section class="tiles">${tile(formatNumber(evidence), `evidence of harm; the alarm is at ${formatNumber(1 / design.alpha)}`, evidence >= 1 / design.alpha ? 'bad' : 'good')}</section>`;
}

export function switchbackTiles(switchback: SwitchbackFigures, design: ExperimentDesign): string {
	const { attainmentDifference, winRate, pairs, dropped } = switchback;
	const judged = tile(String(pairs.length), `pairs judged, of ${design.pairsMax} at most; ${dropped.pairs} dropped`);
	// Without a pair there is nothing to show, and a 0 would look like a finding.
	if (pairs.length === 0) return `<section class="tiles">${judged}</section>`;
	const { mean, interval } = attainmentDifference.value;
	const tone = interval.lower > 0 ? 'good' : interval.upper < 0 ? 'bad' : '';
	return `<section class="tiles">${[
		tile(points(mean), `attainment; ${range(interval, points)}`, tone),
		tile(formatShare(winRate.value.value), `win rate; ${range(winRate.value.interval, formatShare)}`),
		judged,
	].join('')}</section>`;
}

function figures(document: ExperimentDocument): string {
	const { switchback, safety, decisionLatencyUs, decisionTimeouts, hedgeWaste, regretMs, guardrails } = document;
	const row = (name: string, guarantee: string, value: string): string => htmlRow([name, value, guarantee]);
	const both = <T>(values: Readonly<Record<ArmName, T>>, show: (value: T) => string): string =>
		`${show(values.baseline)} → ${show(values.candidate)}`;
	const rows: string[] = [];
	if (switchback !== undefined) {
		const { attainmentDifference: difference, winRate, permutation, ttftP99Ratio } = switchback;
		const { wins, ties, losses } = winRate.value;
		const shown = (text: string): string => (switchback.pairs.length === 0 ? 'no pair was judged' : text);
		rows.push(
			row(
				'Attainment, candidate − baseline',
				difference.guarantee,
				shown(`${points(difference.value.mean)} (${range(difference.value.interval, points)})`),
			),
			row(
				'Win rate',
				winRate.guarantee,
				shown(`${formatShare(winRate.value.value)} (${wins} wins, ${ties} ties, ${losses} losses)`),
			),
			row('Permutation test', permutation.guarantee, shown(`p = ${permutation.value.p.toPrecision(3)}`)),
		);
		if (ttftP99Ratio !== undefined)
			rows.push(
				row(
					'TTFT p99, ratio',
					ttftP99Ratio.guarantee,
					`${ttftP99Ratio.value.value.toFixed(3)} (${range(ttftP99Ratio.value.interval, (value) => value.toFixed(3))})`,
				),
			);
	}
	if (safety !== undefined)
		rows.push(
			row(
				'Evidence of harm',
				safety.harm.guarantee,
				`${formatNumber(safety.harm.value.evidence)}, anytime p ${safety.harm.value.anytimeP.toPrecision(3)}`,
			),
		);
	rows.push(
		row(
			'Decision latency p50 / p99',
			decisionLatencyUs.guarantee,
			both(decisionLatencyUs.value, ({ p50, p99 }) => `${micros(p50)} / ${micros(p99)}`),
		),
		row(
			'Decision timeouts',
			decisionTimeouts.guarantee,
			both(decisionTimeouts.value, ({ count }) => String(count)),
		),
		row(
			'Hedge waste',
			hedgeWaste.guarantee,
			both(hedgeWaste.value, ({ share }) => formatShare(share)),
		),
	);
	rows.push(
		regretMs === undefined
			? row(
					'Regret',
					'Not defined on a live mesh: what the other targets would have done is not seen. `infermesh simulate` forks runs to measure it.',
					'-',
				)
			: row('Regret', regretMs.guarantee, both(regretMs.value, formatMs)),
		row(
			'Guardrails',
			guardrails.guarantee,
			guardrails.value.trip === undefined
				? 'none broken'
				: `${guardrails.value.trip.rule}: ${guardrails.value.trip.reason}`,
		),
	);
	return rows.join('');
}

function armTable({ design, points: closed, ttftMs, decisionLatencyUs }: ExperimentDocument): string {
	const rows = arms.map((arm) => {
		const counted = closed.filter((point) => point.arm === arm && point.dropped === undefined);
		const requests = counted.reduce((sum, one) => sum + one.requests, 0);
		const good = counted.reduce((sum, one) => sum + one.good, 0);
		const cells = [
			arm,
			formatNumber(requests),
			design.kind === 'canary'
				? `${requests - good} bad`
				: requests === 0
					? '-'
					: `${formatShare(good / requests)} good`,
			...(ttftMs === undefined ? [] : [latency(ttftMs[arm].p50, formatMs), latency(ttftMs[arm].p99, formatMs)]),
			micros(decisionLatencyUs.value[arm].p99),
		];
		return htmlRow(cells);
	});
	const latencies = ttftMs === undefined ? [] : ['TTFT p50', 'TTFT p99'];
	return htmlTable(['', 'requests judged', 'outcome', ...latencies, 'decision p99'], rows);
}

function registered({ design, digests, forecast }: ExperimentDocument): string {
	const facts: readonly (readonly [string, string])[] = [
		['baseline', `${design.baseline} (${digests.baseline.slice(0, 12)})`],
		['candidate', `${design.candidate} (${digests.candidate.slice(0, 12)})`],
		['good request', goodRequest(design)],
		['alpha, margin, clip', `${design.alpha}, ${size(design.margin)}, ±${size(design.clip)}`],
		...(design.kind === 'switchback' || design.kind === 'matched-cells'
			? ([
					[
						'blocks',
						`${formatMs(design.blockMs)}, burn-in ${formatMs(design.burnInMs)}, at most ${design.pairsMax} pairs`,
					],
				] as const)
			: ([
					[
						'split',
						`${formatShare(design.share)} by ${design.splitBy}${design.unit === 'block' ? `, drawn anew every ${formatMs(design.blockMs)}` : ''}`,
					],
				] as const)),
		['seed', String(design.seed)],
		['promotion', design.promote],
		['forecast', forecast?.text ?? 'none: no traffic was seen'],
	];
	return facts.map((fact) => htmlRow(fact)).join('');
}
