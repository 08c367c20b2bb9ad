// Owns the terminal's form of a replay: what was read, whether it came out the same, and where other strategies differ.
import { NOT_METERED } from '../../strategy/native/code.js';
import type { AgainstDifference, AgainstReport, ReplayedChoice, ReplayReport } from './report.js';

/** Differences shown; all that are listed are in --json and --html. */
const SHOWN = 5;

const percent = (part: number, whole: number): string => (whole === 0 ? '-' : `${((part * 100) / whole).toFixed(2)} %`);
const number = (value: number): string => String(Number(value.toPrecision(5)));
const ms = (value: number): string => `${number(value)} ms`;

export function renderReplay(report: ReplayReport): string {
	const { identity } = report;
	const lines = [
		`recording  ${report.recording} of ${report.node}, ${report.files.length} file${report.files.length === 1 ? '' : 's'}, ${report.from ?? '-'} to ${report.to ?? '-'}`,
		`holds      ${report.decisions} decisions, ${report.outcomes} outcomes; ${report.dropped} and ${report.outcomesLost} more were lost by the recorder; hashes ${report.hashes}`,
		`integrity  ${report.blocks.verified} of ${report.blocks.read} blocks verified; chain ${report.chain.slice(0, 16)}`,
		...issueLines(report),
		...report.strategies
			.filter(({ decisions }) => decisions > 0)
			.map(
				({ label, decisions, module, sameDigest, problem }) =>
					`decided    ${label}: ${decisions} decisions, module ${module}${sameDigest || module === 'missing' ? '' : ' (admitted to another digest here: fuel may differ)'}${problem === '' ? '' : `: ${problem}`}`,
			),
		`replayed   ${identity.checked} decisions: ${identity.identical} identical (${percent(identity.identical, identity.checked)}), ${identity.different} different${identity.redacted === 0 ? '' : `, ${identity.redacted} hang on hashes that were not kept`}`,
		...Object.entries(identity.passedOver).map(([reason, count]) => `           ${count} not replayed: ${reason}`),
		...identity.differences
			.slice(0, SHOWN)
			.map(
				({ index, id, strategy, fields }) => `  DIFFERS  #${index} ${id} ${strategy}: ${fields.slice(0, 4).join('; ')}`,
			),
		...report.against.flatMap((against) => ['', ...againstLines(against)]),
		'',
		verdict(report),
	];
	return `${lines.join('\n')}\n`;
}

function issueLines({ issues }: ReplayReport): string[] {
	const shown = issues.slice(0, SHOWN).map(({ code, where, message }) => `PARTIAL    ${code} at ${where}: ${message}`);
	return issues.length > SHOWN ? [...shown, `           and ${issues.length - SHOWN} more`] : shown;
}

function verdict({ ok, tampered, identity, partial }: ReplayReport): string {
	if (tampered) return 'FAIL: the recording was changed after it was written';
	if (!ok) return `FAIL: ${identity.different} decisions did not come out as recorded`;
	if (identity.checked === 0) return 'nothing could be checked';
	return `ok: every decision that could be checked came out bit for bit${partial ? ' (the recording is partial)' : ''}`;
}

function againstLines(against: AgainstReport): string[] {
	const { label, compared, agreed, overlap, faults, fuelMean, fuelMax, state, predicted, regret } = against;
	const fuel =
		fuelMean === null || fuelMax === null ? NOT_METERED : `mean ${number(fuelMean)}, most ${number(fuelMax)}`;
	const faultsText = Object.entries(faults).map(([cause, count]) => `${cause} ${count}`);
	return [
		`against ${label}`,
		`  agrees     ${agreed} of ${compared} (${percent(agreed, compared)}); ${(overlap * 100).toFixed(1)} % of the ranked targets are the same`,
		`  predicted  ${ms(predicted.recordedMs)} a request as recorded, ${ms(predicted.otherMs)} with it (common predictor, one step, same fleet)`,
		`  regret     ${ms(regret.recordedMs)} as recorded, ${ms(regret.otherMs)} with it`,
		`  fuel       ${fuel}; faults ${faultsText.length === 0 ? 'none' : faultsText.join(', ')}${state === 'rebuilt' ? '; its state was rebuilt from the recorded outcomes' : ''}`,
		...against.targets
			.filter(({ recorded, other }) => Math.abs(recorded - other) >= 0.005)
			.slice(0, SHOWN)
			.map(
				({ target, recorded, other }) =>
					`  share      ${target}: ${(recorded * 100).toFixed(1)} % → ${(other * 100).toFixed(1)} %`,
			),
		...against.differences.slice(0, SHOWN).flatMap(differenceLines),
		...(against.differences.length + against.unlisted > SHOWN
			? [`  … ${against.differences.length + against.unlisted - SHOWN} more differences (--json, --html)`]
			: []),
	];
}

function differenceLines(difference: AgainstDifference): string[] {
	const { index, id, tokensIn, verdicts, recorded, other, margin } = difference;
	const head = `  #${index} ${id} ${tokensIn} tokens`;
	if (verdicts.recorded !== verdicts.other) return [`${head}: ${verdicts.recorded} → ${verdicts.other}`];
	return [
		`${head}: ${recorded?.target ?? '-'} → ${other?.target ?? '-'}${margin === null ? '' : `, by ${number(margin)}`}`,
		...[recorded, other].flatMap((choice) => (choice === null ? [] : [`      ${choiceText(choice)}`])),
	];
}

function choiceText({ target, score, factors, predictedMs, columns }: ReplayedChoice): string {
	const pairs = (values: Readonly<Record<string, number>>): string =>
		Object.entries(values)
			.map(([name, value]) => `${name}=${number(value)}`)
			.join(' ');
	const parts = [
		score === null ? '' : `score ${number(score)}`,
		pairs(factors),
		`predicted ${ms(predictedMs)}`,
		pairs(columns),
	];
	return `${target}: ${parts.filter((part) => part !== '').join(' | ')}`;
}
