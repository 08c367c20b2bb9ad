// Owns how a worker copies a table of which most has changed: column by column as the table has them, which is a tenth of the time of going from row to
// row. The recorder's thread, which has the time, makes rows of them again; what comes to disk is the same. Layout of the payload: stream, table epoch, count of
// changed rows, first table row, table rows; then for each changed row its word (as in `rowsFull`) and its table row; then the router's own columns by
// changed row; then all columns by table row.
import {
	COLUMN_ACTIVE_DECODE_TOKENS,
	COLUMN_ACTIVE_DECODES,
	COLUMN_INFLIGHT,
	COLUMN_LOAD,
	COLUMN_PENDING_PREFILL_PAIRS,
	COLUMN_PENDING_PREFILL_TOKENS,
	COLUMN_PREFILL_AT_MS,
	columns as dictionary,
} from '@infermesh/sdk';
import { HOLE, type PoolView } from '../fleet/pool-view.js';
import { ELIGIBLE_BIT } from './layout.js';

const COLUMNS = dictionary.length;
const HEAD_WORDS = 5;
/** Fewer rows are copied one by one. */
const ROWS_MIN = 64;
/** Table rows to a changed row: a pool that lies scattered in a large table is copied row by row. */
const SPREAD_MAX = 4;

/** Columns that the router knows best: they come from its view and not from the table. */
const ownColumns = [
	{ column: COLUMN_INFLIGHT, name: 'inflight', isFloat: true },
	{ column: COLUMN_LOAD, name: 'load', isFloat: true },
	{ column: COLUMN_PENDING_PREFILL_TOKENS, name: 'pendingPrefillTokens', isFloat: true },
	{ column: COLUMN_PENDING_PREFILL_PAIRS, name: 'pendingPrefillPairs', isFloat: true },
	{ column: COLUMN_PREFILL_AT_MS, name: 'prefillAtMs', isFloat: false },
	{ column: COLUMN_ACTIVE_DECODE_TOKENS, name: 'activeDecodeTokens', isFloat: true },
	{ column: COLUMN_ACTIVE_DECODES, name: 'activeDecodes', isFloat: true },
] as const;

export class ColumnsTap {
	readonly #first: number;
	readonly #span: number;
	/** Each column's part of the two front buffers. */
	readonly #parts = new WeakMap<Uint32Array, readonly Uint32Array[]>();

	constructor({ tableRows }: PoolView) {
		let first = HOLE;
		let last = 0;
		for (const row of tableRows) {
			if (row === HOLE) continue;
			first = Math.min(first, row);
			last = Math.max(last, row);
		}
		this.#first = first === HOLE ? 0 : first;
		this.#span = first === HOLE ? 0 : last - first + 1;
	}

	/** Whether so many changed rows are better copied by columns. */
	suits(count: number): boolean {
		return count >= ROWS_MIN && this.#span <= count * SPREAD_MAX;
	}

	/** Words of the payload. */
	words(count: number): number {
		return HEAD_WORDS + count * (2 + ownColumns.length) + COLUMNS * this.#span;
	}

	/** Writes the payload at `at`; `f32` are the same words. Copies as of the view's epoch, which may have moved on meanwhile. */
	copy(
		stream: number,
		view: PoolView,
		rows: Uint32Array,
		count: number,
		words: Uint32Array,
		f32: Float32Array,
		at: number,
	): void {
		words[at] = stream;
		words[at + 1] = view.tableEpoch;
		words[at + 2] = count;
		words[at + 3] = this.#first;
		words[at + 4] = this.#span;
		let to = at + HEAD_WORDS;
		for (let i = 0; i < count; i++) {
			const row = rows[i] as number;
			words[to++] = view.isEligible(row) ? (row | ELIGIBLE_BIT) >>> 0 : row;
			words[to++] = view.tableRows[row] as number;
		}
		for (const { name, isFloat } of ownColumns) {
			const values = view[name];
			if (isFloat) for (let i = 0; i < count; i++) f32[to++] = values[rows[i] as number] as number;
			else for (let i = 0; i < count; i++) words[to++] = values[rows[i] as number] as number;
		}
		for (const part of this.#partsOf(view)) {
			words.set(part, to);
			to += this.#span;
		}
	}

	#partsOf(view: PoolView): readonly Uint32Array[] {
		const cells = view.cells();
		let parts = this.#parts.get(cells);
		if (parts === undefined) {
			const { rowsMax } = view;
			parts = Array.from({ length: COLUMNS }, (_, column) =>
				cells.subarray(column * rowsMax + this.#first, column * rowsMax + this.#first + this.#span),
			);
			this.#parts.set(cells, parts);
		}
		return parts;
	}
}

/** Makes the payload of a `rowsFull` record of one of `columnsFull` that begins at `at`. */
export function rowsOfColumns(words: Uint32Array, at: number): Uint32Array {
	const count = words[at + 2] as number;
	const first = words[at + 3] as number;
	const span = words[at + 4] as number;
	const rows = new Uint32Array(3 + count * (1 + COLUMNS));
	rows.set(words.subarray(at, at + 3));
	const own = at + HEAD_WORDS + 2 * count;
	const cells = own + ownColumns.length * count;
	for (let i = 0, to = 3; i < count; i++, to += 1 + COLUMNS) {
		rows[to] = words[at + HEAD_WORDS + 2 * i] as number;
		const tableRow = words[at + HEAD_WORDS + 2 * i + 1] as number;
		// A row without a target is all zeros.
		if (tableRow === HOLE) continue;
		for (let column = 0, from = cells + tableRow - first; column < COLUMNS; column++, from += span)
			rows[to + 1 + column] = words[from] as number;
		for (const [place, { column }] of ownColumns.entries())
			rows[to + 1 + column] = words[own + place * count + i] as number;
	}
	return rows;
}
