// Owns the latency model of measured points: a line through prefills, a surface through decodes, linear between points and beyond the last two.
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import type { LatencyModel, StepShape } from './latency.js';

/** Prefill by new tokens; decode by context tokens of the batch (rows) and its sequences (columns); microseconds. Points rise strictly. */
export interface LatencyTable {
	readonly prefill: { readonly tokens: readonly number[]; readonly us: readonly number[] };
	readonly decode: {
		readonly contextTokens: readonly number[];
		readonly batch: readonly number[];
		readonly us: readonly (readonly number[])[];
	};
}

/**
 * As Dynamo's mocker has it: prefill by tokens alone, decode by what is read and the batch. A step with both costs both. One point alone stands for every
 * size. Throws IM_ENGINE_OPTIONS_INVALID when points do not rise or numbers are missing.
 */
export class TableLatency implements LatencyModel {
	readonly #table: LatencyTable;

	constructor(table: LatencyTable) {
		const { prefill, decode } = table;
		rising('prefill.tokens', prefill.tokens);
		rising('decode.contextTokens', decode.contextTokens);
		rising('decode.batch', decode.batch);
		durations('prefill.us', prefill.us, prefill.tokens.length);
		if (decode.us.length !== decode.contextTokens.length)
			throw invalid('decode.us', `has ${decode.us.length} rows for ${decode.contextTokens.length} contexts`);
		for (const row of decode.us) durations('decode.us', row, decode.batch.length);
		this.#table = table;
	}

	stepUs(shape: Readonly<StepShape>): number {
		const { prefill, decode } = this.#table;
		let us = 0;
		if (shape.prefillSequences > 0) us += along(prefill.tokens, prefill.us, shape.prefillTokens);
		if (shape.decodeSequences > 0) {
			const { contextTokens, batch } = decode;
			const at = segment(contextTokens, shape.decodeContextTokens);
			const low = along(batch, decode.us[at] as readonly number[], shape.decodeSequences);
			if (contextTokens.length === 1) us += low;
			else {
				const high = along(batch, decode.us[at + 1] as readonly number[], shape.decodeSequences);
				const [from, to] = [contextTokens[at] as number, contextTokens[at + 1] as number];
				us += low + ((high - low) * (shape.decodeContextTokens - from)) / (to - from);
			}
		}
		return Math.max(0, us);
	}
}

/** First of the two points between which, or nearest to which, `x` lies. */
function segment(points: readonly number[], x: number): number {
	let low = 0;
	let high = points.length - 2;
	while (low < high) {
		const middle = (low + high + 1) >> 1;
		if ((points[middle] as number) <= x) low = middle;
		else high = middle - 1;
	}
	return Math.max(0, low);
}

function along(points: readonly number[], values: readonly number[], x: number): number {
	if (points.length === 1) return values[0] as number;
	const at = segment(points, x);
	const [from, to] = [points[at] as number, points[at + 1] as number];
	const [low, high] = [values[at] as number, values[at + 1] as number];
	return low + ((high - low) * (x - from)) / (to - from);
}

function rising(where: string, points: readonly number[]): void {
	if (points.length === 0) throw invalid(where, 'has no point');
	for (let at = 0; at < points.length; at++) {
		const point = points[at] as number;
		if (!Number.isFinite(point) || point < 0) throw invalid(where, `has ${point}, which is no size`);
		if (at > 0 && point <= (points[at - 1] as number)) throw invalid(where, `does not rise at ${point}`);
	}
}

function durations(where: string, values: readonly number[], count: number): void {
	if (values.length !== count) throw invalid(where, `has ${values.length} durations for ${count} points`);
	for (const value of values)
		if (!Number.isFinite(value) || value < 0) throw invalid(where, `has ${value}, which is no duration`);
}

function invalid(where: string, what: string): MeshError {
	return new MeshError(engineErrors, 'IM_ENGINE_OPTIONS_INVALID', `${where} ${what}`, { where });
}
