// Owns reading rows of the Mooncake traces (JSONL: timestamp in ms, input_length, output_length, hash_ids of 512-token blocks).
// Leaves line cutting, de-quantisation and ordering to its neighbours.
import { MeshError } from '@infermesh/proto';
import type { Defects } from './defects.js';
import { traceErrors } from './errors.js';
import { jsonErrorOffset } from './json-error.js';
import type { Line } from './lines.js';
import { TOKENS_MAX, type TraceRequest } from './types.js';

/** Tokens in a full block of `hash_ids`; the last block of a row is partial: len(hash_ids) = ceil(input_length / 512). */
export const MOONCAKE_BLOCK_TOKENS = 512;

/** Whether a first line looks like a row of a Mooncake trace. */
export function isMooncakeRow(text: string): boolean {
	return /^\s*\{/.test(text) && text.includes('"input_length"') && text.includes('"timestamp"');
}

/** Makes a reader of rows. The first row is time zero; rows without `hash_ids` have no blocks. */
export function mooncakeReader(name: string, defects: Defects): (line: Line) => TraceRequest {
	let originMs: number | undefined;
	return (line) => {
		const row = parseRow(line, name);
		const timestampMs = numberField(row, 'timestamp', Number.MAX_SAFE_INTEGER, line, name);
		originMs ??= timestampMs;
		const atMs = defects.time(timestampMs - originMs, () => placeOf('timestamp', line, name));
		const inputTokens = defects.prompt(numberField(row, 'input_length', TOKENS_MAX, line, name), () =>
			placeOf('input_length', line, name),
		);
		const outputTokens = Math.max(1, numberField(row, 'output_length', TOKENS_MAX, line, name));
		const blocks = row['hash_ids'];
		if (blocks === undefined) return { atMs, inputTokens, outputTokens };
		checkBlocks(blocks, inputTokens, line, name);
		return { atMs, inputTokens, outputTokens, blocks };
	};
}

function parseRow(line: Line, name: string): Record<string, unknown> {
	let row: unknown;
	try {
		row = JSON.parse(line.text);
	} catch (cause) {
		const column = jsonErrorOffset(line.text) + 1;
		throw new MeshError(traceErrors, 'IM_TRACE_SYNTAX', 'the row is not valid JSON', {
			where: `${name}:${line.number}:${column}`,
			cause,
		});
	}
	if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Record<string, unknown>;
	throw new MeshError(traceErrors, 'IM_TRACE_SYNTAX', 'the row is not a JSON object', {
		where: `${name}:${line.number}:1`,
	});
}

function numberField(row: Record<string, unknown>, field: string, max: number, line: Line, name: string): number {
	const value = row[field];
	const whole = field === 'timestamp' ? Number.isFinite(value) : Number.isInteger(value);
	if (typeof value === 'number' && whole && value >= 0 && value <= max) return value;
	const found = value === undefined ? 'it is missing' : `found ${(JSON.stringify(value) ?? 'nothing').slice(0, 40)}`;
	throw fieldError(`${field} must be a number from 0 to ${max}; ${found}`, field, line, name);
}

function checkBlocks(blocks: unknown, inputTokens: number, line: Line, name: string): asserts blocks is number[] {
	if (!Array.isArray(blocks) || !blocks.every((id) => Number.isSafeInteger(id) && id >= 0))
		throw fieldError('hash_ids must be an array of whole numbers from 0', 'hash_ids', line, name);
	const expected = Math.ceil(inputTokens / MOONCAKE_BLOCK_TOKENS);
	if (blocks.length === expected) return;
	const message = `input_length ${inputTokens} needs ${expected} hash_ids of ${MOONCAKE_BLOCK_TOKENS} tokens, found ${blocks.length}`;
	throw fieldError(message, 'hash_ids', line, name);
}

function fieldError(message: string, field: string, line: Line, name: string): MeshError {
	return new MeshError(traceErrors, 'IM_TRACE_FIELD', message, { where: placeOf(field, line, name) });
}

function placeOf(field: string, line: Line, name: string): string {
	const column = Math.max(0, line.text.indexOf(`"${field}"`)) + 1;
	return `${name}:${line.number}:${column}`;
}
