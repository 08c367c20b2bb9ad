// Owns fitting the two latencies that have coefficients: the polynomial, and the table, whose points are coefficients of hat functions. Errors are weighed
// relative to what was measured, since that is how a fit is judged; nothing may be negative, since no work takes less than no time. A prompt
// longer than a step is computed in several, as the simulated engine does it.
import { emptyStepShape, type LatencyModel, type StepShape } from '../../engine/model/latency.js';
import { PolynomialLatency } from '../../engine/model/polynomial.js';
import { TableLatency } from '../../engine/model/table.js';
import { quantile } from '../../statistics/quantile.js';
import type { LatencySpec } from '../spec.js';
import type { DecodeMeasurement, PrefillMeasurement } from './measurements.js';
import { nonNegativeLeastSquares } from './nnls.js';

export type FittedLatency = Exclude<LatencySpec, { readonly kind: 'roofline' }>;
export type PolynomialSpec = Extract<LatencySpec, { readonly kind: 'polynomial' }>;

const PREFILL_POINTS_MAX = 10;
const DECODE_POINTS_MAX = 6;
/** What the polynomial counts for beside the measurements at each point of a table: enough where nothing was measured, next to nothing where something was. */
const PRIOR_WEIGHT = 0.02;

/** Σn² of a prompt: twice its attention pairs, cached tokens attended to included. */
function squares({ tokens, cachedTokens }: PrefillMeasurement): number {
	return tokens * tokens + 2 * tokens * cachedTokens;
}

export function fitPolynomial(
	prefills: readonly PrefillMeasurement[],
	decodes: readonly DecodeMeasurement[],
	stepTokens: number,
): PolynomialSpec {
	const steps = (it: PrefillMeasurement): number => Math.ceil(it.tokens / stepTokens);
	const prefill = relative(prefills, (it) => [steps(it), it.tokens, squares(it)]);
	const decode = relative(decodes, (it) => [1, it.contextTokens, it.batch]);
	return { kind: 'polynomial', prefill: triple(prefill), decode: triple(decode) };
}

/** Points at quantiles of what was measured; where little was, the polynomial fills in. */
export function fitTable(
	prefills: readonly PrefillMeasurement[],
	decodes: readonly DecodeMeasurement[],
	stepTokens: number,
): FittedLatency {
	const base = new PolynomialLatency(fitPolynomial(prefills, decodes, stepTokens));
	const tokens = points(
		prefills.flatMap((it) => chunks(it.tokens, stepTokens)),
		PREFILL_POINTS_MAX,
	);
	const prefillUs = withPrior(
		prefills,
		(it) =>
			sumOf(
				chunks(it.tokens, stepTokens).map((chunk) => hats(tokens, chunk)),
				tokens.length,
			),
		tokens.map((at) => base.stepUs(prefillShape(at, 0))),
	);
	const contextTokens = points(
		decodes.map((it) => it.contextTokens),
		DECODE_POINTS_MAX,
	);
	const batch = points(
		decodes.map((it) => it.batch),
		DECODE_POINTS_MAX,
	);
	const decodeUs = withPrior(
		decodes,
		(it) => outer(hats(contextTokens, it.contextTokens), hats(batch, it.batch)),
		contextTokens.flatMap((context) => batch.map((size) => base.stepUs(decodeShape(context, size)))),
	);
	return {
		kind: 'table',
		prefill: { tokens, us: prefillUs },
		decode: {
			contextTokens,
			batch,
			us: contextTokens.map((_, row) => decodeUs.slice(row * batch.length, (row + 1) * batch.length)),
		},
	};
}

export function modelOf(spec: FittedLatency): LatencyModel {
	return spec.kind === 'polynomial' ? new PolynomialLatency(spec) : new TableLatency(spec);
}

/** What the model says a prompt takes alone, step by step, as the simulated engine computes it. */
export function predictPrefill(
	model: LatencyModel,
	{ tokens, cachedTokens }: PrefillMeasurement,
	stepTokens: number,
): number {
	let done = cachedTokens;
	let us = 0;
	for (const chunk of chunks(tokens, stepTokens)) {
		us += model.stepUs(prefillShape(chunk, done));
		done += chunk;
	}
	return us;
}

export function predictDecode(model: LatencyModel, { contextTokens, batch }: DecodeMeasurement): number {
	return model.stepUs(decodeShape(contextTokens, batch));
}

function prefillShape(tokens: number, before: number): StepShape {
	const shape = emptyStepShape(0);
	shape.prefillSequences = 1;
	shape.prefillTokens = tokens;
	shape.prefillAttentionPairs = tokens * (before + tokens / 2);
	return shape;
}

function decodeShape(contextTokens: number, batch: number): StepShape {
	const shape = emptyStepShape(0);
	shape.decodeSequences = batch;
	shape.decodeContextTokens = contextTokens;
	return shape;
}

function chunks(tokens: number, stepTokens: number): number[] {
	const whole = Math.floor(tokens / stepTokens);
	const rest = tokens - whole * stepTokens;
	return [...Array.from({ length: whole }, () => stepTokens), ...(rest > 0 ? [rest] : [])];
}

/** Rounds in which rows that are far off are weighed down. */
const ROBUST_ROUNDS = 8;
/** Relative errors up to this many times the median count in full (Huber, 1964); the floor keeps a fit without noise from chasing its rounding. */
const HUBER_MEDIANS = 3;
const HUBER_FLOOR = 1e-3;

function relative<M extends { readonly us: number }>(
	measured: readonly M[],
	features: (it: M) => readonly number[],
): number[] {
	return robust(measured, features, [], [], 3);
}

/** As `relative`, with a row a point that pulls it towards `prior`. */
function withPrior<M extends { readonly us: number }>(
	measured: readonly M[],
	features: (it: M) => readonly number[],
	prior: readonly number[],
): number[] {
	const pulls = prior.map((us, at) => prior.map((_, column) => (column === at ? PRIOR_WEIGHT / Math.max(1, us) : 0)));
	const targets = prior.map((us) => PRIOR_WEIGHT * Math.min(1, us));
	// A point of 0 µs is no duration: the least a clock of microseconds can tell.
	return robust(measured, features, pulls, targets, prior.length).map((us) => Math.max(1, round(us)));
}

/**
 * Least squares of the relative error, repeated with less weight for rows that are far off: a client that was late for one token sees times that are a
 * fraction of the true ones, and relative to themselves such rows would outweigh all others.
 */
function robust<M extends { readonly us: number }>(
	measured: readonly M[],
	features: (it: M) => readonly number[],
	pulls: readonly (readonly number[])[],
	targets: readonly number[],
	columns: number,
): number[] {
	const rows = measured.map(features);
	const typical = quantile(
		measured.map(({ us }) => us),
		0.05,
		1,
	);
	const scales = measured.map(({ us }) => Math.max(us, typical));
	let weights = measured.map(() => 1);
	let solved: number[] = [];
	for (let round = 0; round < ROBUST_ROUNDS; round++) {
		const weighted = rows.map((row, i) => row.map((value) => (value * (weights[i] ?? 1)) / (scales[i] ?? 1)));
		const b = measured.map(({ us }, i) => (us * (weights[i] ?? 1)) / (scales[i] ?? 1));
		solved = nonNegativeLeastSquares([...weighted, ...pulls], [...b, ...targets], columns);
		const errors = rows.map((row, i) => {
			const predicted = row.reduce((sum, value, j) => sum + value * (solved[j] ?? 0), 0);
			return Math.abs(predicted - (measured[i]?.us ?? 0)) / (scales[i] ?? 1);
		});
		const limit = Math.max(HUBER_FLOOR, HUBER_MEDIANS * quantile(errors, 0.5, 0));
		weights = errors.map((error) => (error <= limit ? 1 : Math.sqrt(limit / error)));
	}
	return solved;
}

/** Quantiles of the values, rising strictly, the least and the largest among them. */
function points(values: readonly number[], most: number): number[] {
	const sorted = [...new Set(values)].toSorted((a, b) => a - b);
	if (sorted.length <= most) return sorted;
	const chosen = Array.from(
		{ length: most },
		(_, index) => sorted[Math.round((index * (sorted.length - 1)) / (most - 1))] ?? 0,
	);
	return [...new Set(chosen)];
}

/** Weights of the points in a linear interpolation at `x`, continued beyond the last two as the table is. */
function hats(at: readonly number[], x: number): number[] {
	const weights = at.map(() => 0);
	if (at.length === 1) return [1];
	const found = at.findIndex((point, index) => index > 0 && x < point);
	const high = found < 0 ? at.length - 1 : found;
	const [from, to] = [at[high - 1] as number, at[high] as number];
	weights[high] = (x - from) / (to - from);
	weights[high - 1] = 1 - weights[high];
	return weights;
}

function outer(rows: readonly number[], columns: readonly number[]): number[] {
	return rows.flatMap((row) => columns.map((column) => row * column));
}

function sumOf(vectors: readonly (readonly number[])[], length: number): number[] {
	return Array.from({ length }, (_, index) => vectors.reduce((sum, vector) => sum + (vector[index] ?? 0), 0));
}

function triple(values: readonly number[]): [number, number, number] {
	return [round(values[0] ?? 0), round(values[1] ?? 0), round(values[2] ?? 0)];
}

/** Six digits: far below any measurement's error. */
function round(value: number): number {
	return Number(value.toPrecision(6));
}
