// Owns reading measurements: rows of CSV (a header, then numbers; cells may be empty) or JSONL (one object a line), told apart by the first line. A row holds a
// prefill (`input_tokens`, `ttft_ms`, and `cached_tokens` where some were), a decode (`context_tokens` of the whole batch, `batch`, `itl_ms`), or both.
import { MeshError } from '@infermesh/proto';
import { didYouMean } from '@infermesh/sdk';
import { jsonErrorOffset } from '../../load/trace/json-error.js';
import { type Line, readLines } from '../../load/trace/lines.js';
import { calibrateErrors } from './errors.js';

/** A prompt computed alone. */
export interface PrefillMeasurement {
	/** Tokens computed: those of the prompt that were not cached, at least 1. */
	readonly tokens: number;
	readonly cachedTokens: number;
	readonly us: number;
}

/** One step of a batch. */
export interface DecodeMeasurement {
	/** Over all sequences. */
	readonly contextTokens: number;
	readonly batch: number;
	readonly us: number;
}

export interface Measurements {
	readonly prefills: readonly PrefillMeasurement[];
	readonly decodes: readonly DecodeMeasurement[];
	/** Columns that mean nothing here. */
	readonly ignored: readonly string[];
}

const FIELDS = ['input_tokens', 'cached_tokens', 'ttft_ms', 'context_tokens', 'batch', 'itl_ms'] as const;
type Field = (typeof FIELDS)[number];
const ROWS_MAX = 1_000_000;
const LINE_CHARS_MAX = 65_536;
const VALUE_MAX = 1e12;

interface Row {
	readonly values: ReadonlyMap<string, number>;
	readonly at: (field: string) => string;
}

/** Reads one file; `name` is what errors call it. Throws IM_CALIBRATE_INPUT with line and column, and IM_CALIBRATE_NO_FEATURES. */
export async function readMeasurements(name: string, chunks: AsyncIterable<Uint8Array>): Promise<Measurements> {
	const prefills: PrefillMeasurement[] = [];
	const decodes: DecodeMeasurement[] = [];
	const ignored = new Set<string>();
	let parse: ((line: Line) => Row) | undefined;
	let rows = 0;
	for await (const line of readLines(chunks, name, LINE_CHARS_MAX)) {
		if (line.text.trim() === '') continue;
		if (parse === undefined) {
			if (!isJson(line.text)) {
				parse = csvRows(line, name);
				continue;
			}
			refuseLoadResult(line, name);
			parse = (it) => jsonRow(it, name);
		}
		if (++rows > ROWS_MAX) throw inputError(`more than ${ROWS_MAX} rows`, `${name}:${line.number}:1`);
		const row = parse(line);
		for (const key of row.values.keys()) if (!isField(key)) ignored.add(key);
		prefills.push(...prefillOf(row));
		decodes.push(...decodeOf(row));
	}
	return { prefills, decodes, ignored: [...ignored] };
}

function isJson(text: string): boolean {
	return text.trimStart().startsWith('{');
}

function isField(key: string): key is Field {
	return (FIELDS as readonly string[]).includes(key);
}

/** `infermesh bench --json` prints one document over many lines: it has no row a request. */
function refuseLoadResult(line: Line, name: string): void {
	if (line.text.trim() !== '{' && !line.text.includes('infermesh.load/')) return;
	throw new MeshError(
		calibrateErrors,
		'IM_CALIBRATE_NO_FEATURES',
		'this is a document, such as a result of `infermesh bench --json`, which has distributions and no row a request',
		{ where: `${name}:${line.number}:1` },
	);
}

function csvRows(header: Line, name: string): (line: Line) => Row {
	const columns = header.text.split(',').map((column) => column.trim().toLowerCase());
	if (!columns.some(isField)) {
		const meant = columns.map((column) => didYouMean(column, FIELDS)).find((text) => text !== '') ?? '';
		throw inputError(`the header has none of ${FIELDS.join(', ')}${meant}`, `${name}:${header.number}:1`);
	}
	return (line) => {
		const cells = line.text.split(',');
		if (cells.length !== columns.length)
			throw inputError(`expected ${columns.length} columns, found ${cells.length}`, `${name}:${line.number}:1`);
		const at = (field: string): string => {
			const before = cells.slice(0, Math.max(0, columns.indexOf(field)));
			return `${name}:${line.number}:${1 + before.reduce((sum, cell) => sum + cell.length + 1, 0)}`;
		};
		const values = new Map<string, number>();
		for (const [index, column] of columns.entries()) {
			const cell = (cells[index] ?? '').trim();
			if (isField(column) && cell !== '') values.set(column, numberOf(column, Number(cell), cell, at));
			else if (cell !== '') values.set(column, 0);
		}
		return { values, at };
	};
}

function jsonRow(line: Line, name: string): Row {
	const at = (field: string): string => `${name}:${line.number}:${Math.max(0, line.text.indexOf(`"${field}"`)) + 1}`;
	let row: unknown;
	try {
		row = JSON.parse(line.text);
	} catch (cause) {
		const column = jsonErrorOffset(line.text) + 1;
		throw inputError('the row is not valid JSON', `${name}:${line.number}:${column}`, cause);
	}
	if (typeof row !== 'object' || row === null || Array.isArray(row))
		throw inputError('the row is no JSON object', at(''));
	const values = new Map<string, number>();
	for (const [key, value] of Object.entries(row)) {
		if (!isField(key)) values.set(key, 0);
		else if (value !== null) values.set(key, numberOf(key, value, JSON.stringify(value), at));
	}
	return { values, at };
}

function numberOf(field: string, value: unknown, written: string, at: (field: string) => string): number {
	if (typeof value === 'number' && value >= 0 && value <= VALUE_MAX) return value;
	throw inputError(`${field} must be a number from 0, not ${written.slice(0, 40)}`, at(field));
}

function prefillOf({ values, at }: Row): PrefillMeasurement[] {
	const input = values.get('input_tokens');
	const ttftMs = values.get('ttft_ms');
	if (input === undefined && ttftMs === undefined) return [];
	if (input === undefined || ttftMs === undefined)
		throw inputError('input_tokens and ttft_ms go together', at(input === undefined ? 'ttft_ms' : 'input_tokens'));
	const cachedTokens = values.get('cached_tokens') ?? 0;
	if (cachedTokens >= input) throw inputError('cached_tokens must be less than input_tokens', at('cached_tokens'));
	if (ttftMs === 0) throw inputError('ttft_ms must be above 0', at('ttft_ms'));
	return [{ tokens: input - cachedTokens, cachedTokens, us: ttftMs * 1000 }];
}

function decodeOf({ values, at }: Row): DecodeMeasurement[] {
	const contextTokens = values.get('context_tokens');
	const batch = values.get('batch');
	const itlMs = values.get('itl_ms');
	if (contextTokens === undefined && batch === undefined && itlMs === undefined) return [];
	if (contextTokens === undefined || batch === undefined || itlMs === undefined)
		throw inputError('context_tokens, batch and itl_ms go together', at('itl_ms'));
	if (batch < 1) throw inputError('batch must be at least 1', at('batch'));
	if (itlMs === 0) throw inputError('itl_ms must be above 0', at('itl_ms'));
	return [{ contextTokens, batch, us: itlMs * 1000 }];
}

function inputError(message: string, where: string, cause?: unknown): MeshError {
	return new MeshError(calibrateErrors, 'IM_CALIBRATE_INPUT', message, {
		where,
		...(cause === undefined ? {} : { cause }),
	});
}
