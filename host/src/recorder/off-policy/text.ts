// Owns the terminal's form of an off-policy report: what was asked, what supports it, and each estimate with its interval or the reasons for none.
import type { Estimate, OffPolicyResult, Support } from '../../statistics/off-policy.js';
import { type OffPolicyOutcome, type OffPolicyReport, offPolicyOutcomes } from './evaluate.js';
import { skipReasons } from './gathering.js';

const titles: Readonly<Record<OffPolicyOutcome, string>> = {
	attainment: 'requests within their objectives, %',
	ttftMs: 'mean time to first token, ms',
};
/** Attainment is told in per cent. */
const scales: Readonly<Record<OffPolicyOutcome, number>> = { attainment: 100, ttftMs: 1 };

export function renderOffPolicy(report: OffPolicyReport): string {
	const skipped = skipReasons.flatMap((reason) =>
		report.skipped[reason] === 0 ? [] : [`${report.skipped[reason]} ${reason.replaceAll('_', ' ')}`],
	);
	const lines = [
		`recording  ${report.recording}, ${report.files.length} file${report.files.length === 1 ? '' : 's'}${report.tampered ? ', TAMPERED WITH' : report.partial ? ', PARTIAL' : ''}`,
		`asked      ${report.against.label} (${report.against.digest.slice(0, 16)}) on ${report.decisions} decisions${skipped.length === 0 ? '' : `; left out: ${skipped.join(', ')}`}`,
		`objectives ${report.slo}`,
		`meaning    ${report.label}`,
		...offPolicyOutcomes.flatMap((name) => resultLines(titles[name], report.outcomes[name], scales[name])),
	];
	return `${lines.join('\n')}\n`;
}

function resultLines(title: string, result: OffPolicyResult, scale: number): string[] {
	if (result.kind === 'refused')
		return ['', `${title}: REFUSED`, ...result.reasons.map((reason) => `  ${reason}`), supportLine(result.support)];
	const row = (name: string, { value, interval }: Estimate): string =>
		`  ${name.padEnd(14)} ${show(value * scale)}  [${show(interval.lower * scale)}, ${show(interval.upper * scale)}]`;
	return [
		'',
		`${title} (intervals at ${result.level * 100} %)`,
		row('recorded', result.recorded),
		row('IPS', result.ips),
		row('SNIPS', result.snips),
		...(result.doublyRobust === undefined ? [] : [row('doubly robust', result.doublyRobust)]),
		supportLine(result.support),
	];
}

function supportLine({ decisions, effectiveSampleSize, weightMax, weightMean, unsupported }: Support): string {
	return `  support        ${decisions} decisions, effective sample size ${effectiveSampleSize.toFixed(0)}, largest weight ${weightMax.toFixed(1)}, mean weight ${weightMean.toFixed(2)}, ${(unsupported * 100).toFixed(1)} % of choices never recorded`;
}

function show(value: number): string {
	return value.toFixed(Math.abs(value) >= 100 ? 1 : 2).padStart(8);
}
