// Owns the HTML form of a replay: one file that needs nothing from the network and carries the report as JSON. All names are escaped: they come from files.
import { escapeHtml } from '../../load/report/escape.js';
import { formatMs } from '../../load/report/format.js';
import { renderPage } from '../../load/report/page.js';
import type { AgainstDifference, AgainstReport, ReplayedChoice, ReplayReport } from './report.js';

const ROWS_MAX = 500;
const number = (value: number): string => String(Number(value.toPrecision(5)));
const signedMs = (ms: number): string => `${ms > 0 ? '+' : ms < 0 ? '−' : ''}${formatMs(Math.abs(ms))}`;
const percent = (part: number, whole: number): string => (whole === 0 ? '-' : `${((part * 100) / whole).toFixed(2)} %`);

export function renderReplayHtml(report: ReplayReport): string {
	const { identity } = report;
	const facts = [
		report.recording,
		report.node,
		`${report.from ?? '-'} to ${report.to ?? '-'}`,
		`hashes ${report.hashes}`,
	];
	const main = `<h1>Replay</h1><p class="sub">${facts.map(escapeHtml).join(' · ')}</p>
${report.tampered ? '<p class="banner"><b>Tampered.</b> The rolling hash breaks: the recording was changed after it was written.</p>' : ''}
${report.issues
	.slice(0, 20)
	.map(
		({ code, where, message }) =>
			`<p class="banner"><b>Partial.</b> ${escapeHtml(`${code} at ${where}: ${message}`)}</p>`,
	)
	.join('')}
<section class="tiles">
${tile(String(report.decisions), 'decisions')}
${tile(percent(identity.identical, identity.checked), `of ${identity.checked} replayed identical`, report.ok)}
${tile(String(identity.different), 'different', identity.different === 0)}
${tile(String(identity.redacted), 'hang on hashes that were not kept')}
${tile(String(report.dropped), 'dropped by the recorder')}
${tile(String(report.outcomesLost), 'outcomes lost by the recorder')}
${tile(`${report.blocks.verified}/${report.blocks.read}`, 'blocks verified')}
</section>
${identityTable(report)}
${report.against.map(againstSection).join('\n')}
<footer>Chain ${escapeHtml(report.chain)}. Comparisons are one step on the fleet as it was recorded: they say where a strategy would have gone, not what queues it would have made. ${escapeHtml(report.schema)}</footer>`;
	return renderPage(`Replay of ${report.recording}`, main, report);
}

function tile(value: string, caption: string, good?: boolean): string {
	const tone = good === undefined ? '' : good ? 'good' : 'bad';
	return `<div class="tile ${tone}"><b>${escapeHtml(value)}</b><span>${escapeHtml(caption)}</span></div>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const cells = (tag: string, row: readonly string[]): string => row.map((cell) => `<${tag}>${cell}</${tag}>`).join('');
	return `<div class="card"><table><tr>${cells('th', head.map(escapeHtml))}</tr>${rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('')}</table></div>`;
}

function identityTable({ identity }: ReplayReport): string {
	const passed = Object.entries(identity.passedOver).map(([reason, count]) => `${count} ${reason}`);
	const note = passed.length === 0 ? '' : `<p class="note">Not replayed: ${escapeHtml(passed.join(', '))}</p>`;
	if (identity.differences.length === 0) return note;
	const rows = identity.differences
		.slice(0, ROWS_MAX)
		.map(({ index, id, strategy, fields }) => [String(index), id, strategy, fields.join('; ')].map(escapeHtml));
	return `${note}<h2>Decisions that did not come out as recorded</h2>${table(['#', 'decision', 'strategy', 'fields'], rows)}`;
}

function againstSection(against: AgainstReport): string {
	const { label, compared, agreed, overlap, predicted, regret, faults } = against;
	const shares = against.targets.map(({ target, recorded, other }) => [
		escapeHtml(target),
		percent(recorded, 1),
		percent(other, 1),
	]);
	const rows = against.differences.slice(0, ROWS_MAX).map(differenceRow);
	const faultsText = Object.entries(faults).map(([cause, count]) => `${cause} ${count}`);
	return `<h2>Against ${escapeHtml(label)}</h2><section class="tiles">
${tile(percent(agreed, compared), `of ${compared} decisions agree`)}
${tile(percent(overlap, 1), 'of ranked targets the same')}
${tile(signedMs(predicted.otherMs - predicted.recordedMs), 'predicted difference a request', predicted.otherMs <= predicted.recordedMs)}
${tile(formatMs(regret.otherMs), `regret under the common predictor; ${formatMs(regret.recordedMs)} as recorded`)}
${tile(faultsText.length === 0 ? 'none' : faultsText.join(', '), 'faults', faultsText.length === 0)}
</section>${table(['target', 'share as recorded', 'share with it'], shares)}
${rows.length === 0 ? '' : `<h2>Decisions that differ${against.unlisted > 0 ? ` (${against.unlisted} more not listed)` : ''}</h2>${table(['#', 'decision', 'tokens', 'as recorded', 'with it', 'preferred by'], rows)}`}`;
}

function differenceRow({ index, id, tokensIn, recorded, other, margin, verdicts }: AgainstDifference): string[] {
	const choice = (of: ReplayedChoice | null, verdict: string): string =>
		`<div style="text-align:left;white-space:normal;min-width:260px">${escapeHtml(of === null || verdict !== 'route' ? verdict : choiceText(of))}</div>`;
	return [
		String(index),
		escapeHtml(id),
		String(tokensIn),
		choice(recorded, verdicts.recorded),
		choice(other, verdicts.other),
		margin === null ? '' : number(margin),
	];
}

function choiceText({ target, score, factors, columns, predictedMs }: ReplayedChoice): string {
	const all = { ...(score === null ? {} : { score }), ...factors, ...columns };
	const pairs = Object.entries(all).map(([name, value]) => `${name} ${number(value)}`);
	return `${target}: predicted ${formatMs(predictedMs)}, ${pairs.join(', ')}`;
}
