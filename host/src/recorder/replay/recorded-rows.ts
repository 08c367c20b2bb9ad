// Owns one recorded stream as the rows of a pool: what instances are brought up to date from on replay, exactly as they are from the live table.
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
import type { PoolRows } from '../../fleet/pool-rows.js';
import { CHANGE_LOG_ENTRIES } from '../../fleet/pool-view.js';
import type { MetaEntry } from '../entries.js';
import type { StreamState } from '../stream-state.js';

export class RecordedRows implements PoolRows {
	readonly rowCount: number;
	readonly rowsMax: number;
	readonly tableRows: Uint32Array;
	readonly eligible: Uint32Array;
	readonly inflight: Float32Array;
	readonly load: Float32Array;
	readonly pendingPrefillTokens: Float32Array;
	readonly pendingPrefillPairs: Float32Array;
	readonly prefillAtMs: Uint32Array;
	readonly activeDecodeTokens: Float32Array;
	readonly activeDecodes: Float32Array;
	eligibleCount = 0;
	changeHead = 0;
	fullVersion = 0;
	readonly #stream: StreamState;
	readonly #cells: Uint32Array;
	readonly #f32: Float32Array;
	/** Dictionary id of each recorded column, -1 for those of another dictionary. */
	readonly #ids: Int32Array;
	readonly #log = new Uint32Array(CHANGE_LOG_ENTRIES);

	constructor(stream: StreamState, meta: MetaEntry) {
		this.#stream = stream;
		this.rowCount = stream.rows;
		this.rowsMax = Math.max(1, stream.rows);
		this.tableRows = Uint32Array.from({ length: stream.rows }, (_, row) => row);
		this.eligible = stream.eligible;
		this.#cells = new Uint32Array(dictionary.length * this.rowsMax);
		this.#f32 = new Float32Array(this.#cells.buffer);
		const byName = new Map(dictionary.map((column) => [column.name, column.id]));
		this.#ids = Int32Array.from(meta.columns, ({ name }) => byName.get(name) ?? -1);
		const recorded = new Set(this.#ids);
		// A column of a later dictionary stands at its initial value.
		for (const { id, type, initial } of dictionary) {
			if (recorded.has(id)) continue;
			const into = type === 'f32' ? this.#f32 : this.#cells;
			into.fill(initial, id * this.rowsMax, (id + 1) * this.rowsMax);
		}
		const column = (id: number): Float32Array => this.#f32.subarray(id * this.rowsMax, id * this.rowsMax + stream.rows);
		this.inflight = column(COLUMN_INFLIGHT);
		this.load = column(COLUMN_LOAD);
		this.pendingPrefillTokens = column(COLUMN_PENDING_PREFILL_TOKENS);
		this.pendingPrefillPairs = column(COLUMN_PENDING_PREFILL_PAIRS);
		const prefillAt = COLUMN_PREFILL_AT_MS * this.rowsMax;
		this.prefillAtMs = this.#cells.subarray(prefillAt, prefillAt + stream.rows);
		this.activeDecodeTokens = column(COLUMN_ACTIVE_DECODE_TOKENS);
		this.activeDecodes = column(COLUMN_ACTIVE_DECODES);
	}

	get tableEpoch(): number {
		return this.#stream.tableEpoch;
	}

	/** Takes all rows of the stream as they stand. */
	keyframe(): void {
		for (let row = 0; row < this.rowCount; row++) this.#take(row);
		this.fullVersion++;
		this.#count();
	}

	/** Takes the rows that changed. */
	changed(rows: readonly number[]): void {
		for (const row of rows) {
			this.#take(row);
			this.#log[this.changeHead & (CHANGE_LOG_ENTRIES - 1)] = row;
			this.changeHead++;
		}
		this.#count();
	}

	isEligible(row: number): boolean {
		return this.#stream.isEligible(row);
	}

	/** It is always up to date. */
	sync(): void {}

	changedRow(index: number): number {
		return this.#log[index & (CHANGE_LOG_ENTRIES - 1)] as number;
	}

	cells(): Uint32Array {
		return this.#cells;
	}

	cellF32(column: number, row: number): number {
		return this.#f32[column * this.rowsMax + row] as number;
	}

	moved(): boolean {
		return false;
	}

	#take(row: number): void {
		const from = row * this.#stream.columns;
		for (let c = 0; c < this.#ids.length; c++) {
			const id = this.#ids[c] as number;
			if (id >= 0) this.#cells[id * this.rowsMax + row] = this.#stream.cells[from + c] as number;
		}
	}

	#count(): void {
		let count = 0;
		for (let word of this.eligible) for (; word !== 0; word &= word - 1) count++;
		this.eligibleCount = count;
	}
}
