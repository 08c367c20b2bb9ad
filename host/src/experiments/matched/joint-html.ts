// Owns the HTML report over all cells of a matched comparison: one self-contained file, which carries the reports of the cells as JSON. Every figure stands with what it promises.
import { type Chart, renderChart } from '../../load/report/chart.js';
import { escapeHtml } from '../../load/report/escape.js';
import { formatMs, formatNumber, formatShare } from '../../load/report/format.js';
import { htmlRow, htmlTable } from '../../load/report/markup.js';
import { renderPage } from '../../load/report/page.js';
import { arms } from '../cohorts/cohort.js';
import { blockCharts, sequenceChart } from '../report-charts.js';
import { goodRequest, points, size, switchbackTiles } from '../report-html.js';
import type { ExperimentDocument } from '../views.js';
import type { JointDocument } from './joint.js';

/** All text from the document is escaped. */
export function renderJointHtml(document: JointDocument): string {
	const { id, design, model, state, verdict, next, notes, switchback, cells } = document;
	const title = `Matched cells ${id}: ${design.candidate} against ${design.baseline} on ${model}`;
	const charts = [
		...(switchback.pairs.length === 0 ? [] : [sequenceChart({ design, switchback }, [])]),
		...cells.flatMap(cellCharts),
	];
	const main = `<h1>${escapeHtml(title)}</h1>
<p class="sub">${escapeHtml(`matched cells · ${state} · verdict ${verdict}`)}</p>
<p class="${next.action === 'rollback' ? 'banner' : verdict === 'win' ? 'banner good' : 'note'}">${escapeHtml(next.reason)}</p>
${notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`).join('')}
${switchbackTiles(switchback, design)}
<section class="charts">${charts.map((chart) => renderChart(chart)).join('\n')}</section>
<h2>Figures and what they promise</h2><div class="card">${figures(document)}</div>
<h2>Cells, each by itself</h2><div class="card">${htmlTable(
		['cell', 'requests', 'baseline good', 'candidate good', 'pairs judged', 'difference', 'outcome'],
		cells.map(cellRow),
	)}</div>
<h2>Registered before the start</h2><div class="card"><table class="list facts">${registered(document)}</table></div>
<footer>${escapeHtml(document.schema)} · design ${escapeHtml(document.designDigest)}</footer>`;
	return renderPage(title, main, document);
}

/** What one cell lived through: with the other arm on the other side at the same time. */
function cellCharts(document: ExperimentDocument): Chart[] {
	const [attainment] = document.points.length === 0 ? [] : blockCharts(document);
	return attainment === undefined ? [] : [{ ...attainment, title: `${document.design.cell}: ${attainment.title}` }];
}

function figures({ switchback }: JointDocument): string {
	const { attainmentDifference: effect, winRate, permutation, ttftP99Ratio, pairs } = switchback;
	const shown = (text: string): string => (pairs.length === 0 ? 'no pair was judged' : text);
	const { mean, interval } = effect.value;
	const rows = [
		htmlRow([
			'Attainment, candidate − baseline',
			shown(`${points(mean)} (${points(interval.lower)} … ${points(interval.upper)})`),
			effect.guarantee,
		]),
		htmlRow(['Win rate', shown(formatShare(winRate.value.value)), winRate.guarantee]),
		htmlRow(['Permutation test', shown(`p = ${permutation.value.p.toPrecision(3)}`), permutation.guarantee]),
		...(ttftP99Ratio === undefined
			? []
			: [htmlRow(['TTFT p99, ratio', ttftP99Ratio.value.value.toFixed(3), ttftP99Ratio.guarantee])]),
	];
	return htmlTable(['figure', 'value', 'guarantee'], rows, 'list prose');
}

function cellRow({ design, points: closed, switchback, end }: ExperimentDocument): string {
	const counted = closed.filter(({ dropped }) => dropped === undefined);
	const good = arms.map((arm) => {
		const own = counted.filter((one) => one.arm === arm);
		const requests = own.reduce((sum, one) => sum + one.requests, 0);
		return requests === 0 ? '-' : formatShare(own.reduce((sum, one) => sum + one.good, 0) / requests);
	});
	return htmlRow([
		design.cell ?? '',
		formatNumber(counted.reduce((sum, one) => sum + one.requests, 0)),
		...good,
		String(switchback?.pairs.length ?? 0),
		switchback === undefined || switchback.pairs.length === 0
			? '-'
			: points(switchback.attainmentDifference.value.mean),
		end === null ? 'running' : `${end.how}: ${end.reason}`,
	]);
}

function registered({ design, digests }: JointDocument): string {
	return [
		['pairs of cells', design.cellPairs.map(([a, b]) => `${a} with ${b}`).join(', ')],
		['baseline', `${design.baseline} (${digests.baseline.slice(0, 12)})`],
		['candidate', `${design.candidate} (${digests.candidate.slice(0, 12)})`],
		['good request', goodRequest(design)],
		['alpha, margin, clip', `${design.alpha}, ${size(design.margin)}, ±${size(design.clip)}`],
		['blocks', `${formatMs(design.blockMs)}, burn-in ${formatMs(design.burnInMs)}, at most ${design.pairsMax} pairs`],
		['seed', String(design.seed)],
	]
		.map((fact) => htmlRow(fact))
		.join('');
}
