// Owns one calibration: measurements in, a latency and its errors out. Errors are told on what was fitted and on rows held back from the fit; the
// latency itself is fitted to all.
import { MeshError } from '@infermesh/proto';
import { textTable } from '../../load/report/text-table.js';
import { mean } from '../../statistics/moments.js';
import { quantile } from '../../statistics/quantile.js';
import { calibrateErrors } from './errors.js';
import { type FittedLatency, fitPolynomial, fitTable, modelOf, predictDecode, predictPrefill } from './fit.js';
import type { DecodeMeasurement, Measurements, PrefillMeasurement } from './measurements.js';

export interface CalibrateOptions {
	readonly kind: FittedLatency['kind'];
	/** Tokens of a step of the engine that was measured: longer prompts took several. */
	readonly stepTokens: number;
	/** What of a time to first token is no step: the front end. The simulator adds that of the profile by itself. */
	readonly ingestMs: number;
}

/** Absolute errors relative to what was measured. */
export interface FitError {
	readonly rows: number;
	readonly mean: number;
	readonly p90: number;
	readonly p99: number;
}

export interface Calibration {
	readonly latency: FittedLatency;
	readonly stepTokens: number;
	readonly ingestMs: number;
	readonly prefill: Errors;
	readonly decode: Errors;
	readonly notes: readonly string[];
}

interface Errors {
	readonly fitted: FitError;
	/** Of a fit without every fifth row, on those rows; null with few rows. */
	readonly heldOut: FitError | null;
}

const ROWS_MIN = 4;
const HELD_OUT_EVERY = 5;
const HELD_OUT_ROWS_MIN = 20;

/** Throws IM_CALIBRATE_TOO_FEW and, for a time to first token below `ingestMs`, IM_CALIBRATE_INPUT. */
export function calibrate(measurements: Measurements, options: CalibrateOptions): Calibration {
	const { decodes, ignored } = measurements;
	const prefills = withoutIngest(measurements.prefills, options.ingestMs);
	enough('prefills (input_tokens, ttft_ms)', prefills.length, new Set(prefills.map(({ tokens }) => tokens)).size);
	enough(
		'decodes (context_tokens, batch, itl_ms)',
		decodes.length,
		new Set(decodes.map((it) => `${it.batch} ${it.contextTokens}`)).size,
	);
	const latency = fit(prefills, decodes, options);
	const without = fit(prefills.filter(kept), decodes.filter(kept), options);
	return {
		latency,
		stepTokens: options.stepTokens,
		ingestMs: options.ingestMs,
		prefill: errorsOf(prefills, (it, spec) => predictPrefill(modelOf(spec), it, options.stepTokens), latency, without),
		decode: errorsOf(decodes, (it, spec) => predictDecode(modelOf(spec), it), latency, without),
		notes: [
			...(ignored.length === 0 ? [] : [`columns that mean nothing here: ${ignored.join(', ')}`]),
			...constantNotes(prefills, decodes),
		],
	};
}

function withoutIngest(prefills: readonly PrefillMeasurement[], ingestMs: number): PrefillMeasurement[] {
	return prefills.map(({ tokens, cachedTokens, us }) => {
		const rest = us - ingestMs * 1000;
		if (rest > 0) return { tokens, cachedTokens, us: rest };
		const message = `a time to first token of ${us / 1000} ms is not above the ${ingestMs} ms of the front end`;
		const hint = 'If the engine alone was measured, say --ingest-ms 0.';
		throw new MeshError(calibrateErrors, 'IM_CALIBRATE_INPUT', message, { where: 'ttft_ms', hint });
	});
}

function fit(
	prefills: readonly PrefillMeasurement[],
	decodes: readonly DecodeMeasurement[],
	options: CalibrateOptions,
): FittedLatency {
	return (options.kind === 'table' ? fitTable : fitPolynomial)(prefills, decodes, options.stepTokens);
}

function kept(_: unknown, index: number): boolean {
	return index % HELD_OUT_EVERY !== HELD_OUT_EVERY - 1;
}

function enough(what: string, rows: number, distinct: number): void {
	if (rows >= ROWS_MIN && distinct >= 3) return;
	const message = `${rows} ${what}, ${distinct} of them different; at least ${ROWS_MIN} and 3 are needed`;
	throw new MeshError(calibrateErrors, 'IM_CALIBRATE_TOO_FEW', message);
}

function errorsOf<M extends { readonly us: number }>(
	rows: readonly M[],
	predict: (row: M, spec: FittedLatency) => number,
	latency: FittedLatency,
	without: FittedLatency,
): Errors {
	const relative = (row: M, spec: FittedLatency): number => Math.abs(predict(row, spec) - row.us) / row.us;
	const held = rows.length < HELD_OUT_ROWS_MIN ? [] : rows.filter((row, index) => !kept(row, index));
	return {
		fitted: summary(rows.map((row) => relative(row, latency))),
		heldOut: held.length === 0 ? null : summary(held.map((row) => relative(row, without))),
	};
}

function summary(errors: readonly number[]): FitError {
	return { rows: errors.length, mean: mean(errors), p90: quantile(errors, 0.9), p99: quantile(errors, 0.99) };
}

/** What was never varied is not told apart from the constant. */
function constantNotes(prefills: readonly PrefillMeasurement[], decodes: readonly DecodeMeasurement[]): string[] {
	const same = (values: readonly number[]): boolean => new Set(values).size === 1;
	return [
		...(same(prefills.map(({ tokens }) => tokens))
			? ['all prompts have one length: what a token costs is not told']
			: []),
		...(same(decodes.map(({ batch }) => batch))
			? ['all decodes have one batch: what a sequence costs is not told']
			: []),
		...(same(decodes.map(({ contextTokens }) => contextTokens))
			? ['all decodes have one context: what it costs is not told']
			: []),
	];
}

/** The errors as text. */
export function renderCalibration({ prefill, decode, notes }: Calibration): string {
	const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
	const row = (name: string, error: FitError | null): string[] =>
		error === null
			? [name, '0', '-', '-', '-']
			: [name, String(error.rows), ...[error.mean, error.p90, error.p99].map(percent)];
	const table = textTable(
		['error, relative', 'rows', 'mean', 'p90', 'p99'],
		[
			row('prefill, fitted', prefill.fitted),
			row('prefill, held out', prefill.heldOut),
			row('decode, fitted', decode.fitted),
			row('decode, held out', decode.heldOut),
		],
	);
	return `${[table, ...notes.map((note) => `note: ${note}`)].join('\n')}\n`;
}

/** A file that a scenario takes as `latency: { file: … }`. */
export function calibrationYaml({ latency, prefill, decode, stepTokens, ingestMs }: Calibration): string {
	const list = (values: readonly number[]): string => `[${values.join(', ')}]`;
	const error = ({ fitted, heldOut }: Errors): string => `${((heldOut ?? fitted).mean * 100).toFixed(1)} %`;
	const head = [
		'# Written by `infermesh simulate calibrate`; a scenario takes it as `latency: { file: THIS }`. Microseconds.',
		`# Mean error: prefill ${error(prefill)}, decode ${error(decode)}. Steps of ${stepTokens} tokens; ${ingestMs} ms of front end taken off.`,
		'latency:',
		`  kind: ${latency.kind}`,
	];
	const body =
		latency.kind === 'polynomial'
			? [`  prefill: ${list(latency.prefill)}`, `  decode: ${list(latency.decode)}`]
			: [
					'  prefill:',
					`    tokens: ${list(latency.prefill.tokens)}`,
					`    us: ${list(latency.prefill.us)}`,
					'  decode:',
					`    context_tokens: ${list(latency.decode.contextTokens)}`,
					`    batch: ${list(latency.decode.batch)}`,
					'    us:',
					...latency.decode.us.map((row) => `      - ${list(row)}`),
				];
	return `${[...head, ...body].join('\n')}\n`;
}
