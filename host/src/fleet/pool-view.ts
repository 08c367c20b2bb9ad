// Owns one thread's view of one model pool: which table rows it has, which of them are eligible, and the router's always-fresh
// columns. It drains the shared rings once, and lists changed pool rows in a log of its own, from which every strategy instance of the
// pool brings itself up to date. The eligibility here is the host's truth: answers are checked against it, never against a copy
// a strategy could have written to.
import { COLUMN_STATE, TargetState } from '@infermesh/sdk';
import {
	CHANGE_RING_ENTRIES,
	DECODE_TOKENS,
	DECODES,
	type InflightReader,
	PREFILL_PAIRS,
	PREFILL_TOKENS,
	REQUESTS,
} from './inflight.js';
import type { PoolRows } from './pool-rows.js';
import {
	type FleetTableReader,
	GENERATION_COLUMN,
	LOAD_BASE_COLUMN,
	TRIALS_COLUMN,
	UNREACHABLE_SEEN_COLUMN,
} from './table.js';

/** Changed rows remembered for instances; one further behind copies everything. A power of two. */
export const CHANGE_LOG_ENTRIES = 4096;

/** No table row stands at this pool row (a hole left by a removed target). */
export const HOLE = 0xffffffff;

export class PoolView implements PoolRows {
	/** Rows in use, holes included. */
	readonly rowCount: number;
	/** Table row of each pool row, or HOLE. */
	readonly tableRows: Uint32Array;
	/** One bit a row: 1 = may be chosen now. */
	readonly eligible: Uint32Array;
	eligibleCount = 0;
	/** One bit a row: 1 = out by checks or ejection alone, which may be wrong, and by no decision. */
	readonly doubtful: Uint32Array;
	/** Router columns by pool row. */
	readonly inflight: Float32Array;
	readonly load: Float32Array;
	readonly pendingPrefillTokens: Float32Array;
	readonly pendingPrefillPairs: Float32Array;
	readonly prefillAtMs: Uint32Array;
	readonly activeDecodeTokens: Float32Array;
	readonly activeDecodes: Float32Array;
	/** Epoch of the table the view reflects; instances copy cells of this epoch's front buffer. */
	tableEpoch = -1;
	/** Raised by one for every changed row logged. */
	changeHead = 0;
	/** Raised when everything must be copied again. */
	fullVersion = 0;

	readonly #table: FleetTableReader;
	readonly #counters: InflightReader;
	readonly #poolRowOf: Int32Array;
	/** Generation of the target each pool row stands for: a row given to another target is not eligible here. */
	readonly #generations: Uint32Array;
	readonly #allowed: Uint32Array | undefined;
	readonly #loadBase: Float32Array;
	/** 1 = may be chosen by its state. */
	readonly #serving: Uint8Array;
	/** 1 = out by checks or ejection alone. */
	readonly #checkedOut: Uint8Array;
	/** Requests at once of rows on trial, and failed connections that the agent has judged. */
	readonly #trials: Uint32Array;
	readonly #unreachableSeen: Uint32Array;
	readonly #changeLog = new Uint32Array(CHANGE_LOG_ENTRIES);
	#dirtyTail = 0;
	readonly #changeTails: Float64Array;

	/**
	 * `tableRows`: table row of each pool row, HOLE where there is none; `generations`: the target's generation there, 0 by default; `allowed`: one
	 * bit for each row that policies leave open, all by default.
	 */
	constructor(
		table: FleetTableReader,
		counters: InflightReader,
		tableRows: readonly number[],
		generations: readonly number[] = [],
		allowed?: Uint32Array,
	) {
		this.#allowed = allowed;
		this.#table = table;
		this.#counters = counters;
		this.rowCount = tableRows.length;
		this.tableRows = Uint32Array.from(tableRows);
		this.#generations = Uint32Array.from(tableRows, (_, row) => generations[row] ?? 0);
		this.eligible = new Uint32Array(Math.max(1, Math.ceil(this.rowCount / 32)));
		this.doubtful = new Uint32Array(this.eligible.length);
		this.inflight = new Float32Array(this.rowCount);
		this.load = new Float32Array(this.rowCount);
		this.pendingPrefillTokens = new Float32Array(this.rowCount);
		this.pendingPrefillPairs = new Float32Array(this.rowCount);
		this.prefillAtMs = new Uint32Array(this.rowCount);
		this.activeDecodeTokens = new Float32Array(this.rowCount);
		this.activeDecodes = new Float32Array(this.rowCount);
		this.#loadBase = new Float32Array(this.rowCount);
		this.#serving = new Uint8Array(this.rowCount);
		this.#checkedOut = new Uint8Array(this.rowCount);
		this.#trials = new Uint32Array(this.rowCount);
		this.#unreachableSeen = new Uint32Array(this.rowCount);
		this.#poolRowOf = new Int32Array(table.rowsMax).fill(-1);
		for (let row = 0; row < this.rowCount; row++) {
			const tableRow = this.tableRows[row] as number;
			if (tableRow !== HOLE) this.#poolRowOf[tableRow] = row;
		}
		this.#changeTails = new Float64Array(counters.writers);
		this.#readAll();
	}

	isEligible(row: number): boolean {
		return row < this.rowCount && hasBit(this.eligible, row);
	}

	/** Whether only checks or ejection keep the row out: what may be asked when no row of any pool is eligible. */
	isDoubtful(row: number): boolean {
		return row < this.rowCount && hasBit(this.doubtful, row);
	}

	/** Brings the view up to date with what all threads have published. Cost follows what changed, not the size of the fleet. */
	sync(): void {
		if (this.#table.epoch() !== this.tableEpoch) this.#readDirty();
		for (let worker = 0; worker < this.#counters.writers; worker++) {
			const head = this.#counters.head(worker);
			let tail = this.#changeTails[worker] as number;
			if (head === tail) continue;
			// Half the ring: the worker goes on writing while its entries are read here, and must not reach those still to be read.
			if ((head - tail) >>> 0 >= CHANGE_RING_ENTRIES / 2) {
				this.#readAll();
				return;
			}
			for (; tail !== head; tail = (tail + 1) >>> 0) {
				const row = this.#poolRowOf[this.#counters.changedRow(worker, tail)] as number;
				if (row < 0) continue;
				this.#readCounters(row);
				this.#log(row);
			}
			this.#changeTails[worker] = head;
		}
	}

	/** The changed row at position `index` of the log. */
	changedRow(index: number): number {
		return this.#changeLog[index & (CHANGE_LOG_ENTRIES - 1)] as number;
	}

	/** Front buffer matching `tableEpoch`; cell (column, tableRow) at `column * rowsMax + tableRow`. */
	cells(): Uint32Array {
		return this.#table.cells(this.tableEpoch);
	}

	/** One cell of the table as last published; a torn read costs a wrong guess, no more. 0 where no target stands. */
	cellF32(column: number, row: number): number {
		const tableRow = this.tableRows[row] as number;
		if (tableRow === HOLE) return 0;
		bits[0] = this.cells()[column * this.rowsMax + tableRow] as number;
		return asFloat[0] as number;
	}

	/** True when the table has been published again since `sync`: cells copied meanwhile may be torn. */
	moved(): boolean {
		return this.#table.epochAfterReads() !== this.tableEpoch;
	}

	get rowsMax(): number {
		return this.#table.rowsMax;
	}

	#log(row: number): void {
		this.#changeLog[this.changeHead & (CHANGE_LOG_ENTRIES - 1)] = row;
		this.changeHead++;
	}

	#readDirty(): void {
		let overflow = false;
		let newTail = this.#dirtyTail;
		const firstLogged = this.changeHead;
		this.tableEpoch = this.#table.consistently((cells, head) => {
			this.changeHead = firstLogged;
			newTail = head;
			overflow = (head - this.#dirtyTail) >>> 0 >= this.#table.ringEntries;
			if (overflow) return;
			for (let at = this.#dirtyTail; at !== head; at = (at + 1) >>> 0) {
				const tableRow = this.#table.dirtyRow(at);
				const row = this.#poolRowOf[tableRow] as number;
				if (row < 0) continue;
				this.#readCells(cells, row, tableRow);
				this.#log(row);
			}
		});
		this.#dirtyTail = newTail;
		if (overflow) this.#readAll();
	}

	#readAll(): void {
		for (let worker = 0; worker < this.#counters.writers; worker++)
			this.#changeTails[worker] = this.#counters.head(worker);
		this.tableEpoch = this.#table.consistently((cells, head) => {
			this.#dirtyTail = head;
			for (let row = 0; row < this.rowCount; row++) {
				const tableRow = this.tableRows[row] as number;
				if (tableRow !== HOLE) this.#readCells(cells, row, tableRow);
			}
		});
		this.fullVersion++;
	}

	#readCells(cells: Uint32Array, row: number, tableRow: number): void {
		const state = cells[COLUMN_STATE * this.rowsMax + tableRow] as number;
		const same = cells[GENERATION_COLUMN * this.rowsMax + tableRow] === this.#generations[row];
		const open = same && (this.#allowed === undefined || hasBit(this.#allowed, row));
		this.#serving[row] = open && (state === TargetState.ready || state === TargetState.degraded) ? 1 : 0;
		this.#trials[row] = cells[TRIALS_COLUMN * this.rowsMax + tableRow] as number;
		this.#unreachableSeen[row] = cells[UNREACHABLE_SEEN_COLUMN * this.rowsMax + tableRow] as number;
		this.#checkedOut[row] = open && (state === TargetState.unhealthy || state === TargetState.ejected) ? 1 : 0;
		bits[0] = cells[LOAD_BASE_COLUMN * this.rowsMax + tableRow] as number;
		this.#loadBase[row] = asFloat[0] as number;
		this.#readCounters(row);
	}

	#readCounters(row: number): void {
		const tableRow = this.tableRows[row] as number;
		const requests = this.#counters.total(REQUESTS, tableRow);
		this.inflight[row] = requests;
		this.load[row] = Math.max(requests, (this.#loadBase[row] as number) + requests);
		this.pendingPrefillTokens[row] = this.#counters.total(PREFILL_TOKENS, tableRow);
		this.pendingPrefillPairs[row] = this.#counters.total(PREFILL_PAIRS, tableRow);
		this.prefillAtMs[row] = this.#counters.prefillAtMs(tableRow);
		this.activeDecodeTokens[row] = this.#counters.total(DECODE_TOKENS, tableRow);
		this.activeDecodes[row] = this.#counters.total(DECODES, tableRow);
		const trials = this.#trials[row] as number;
		const serving = this.#serving[row] === 1;
		const wanted =
			serving &&
			(trials === 0 || requests < trials) &&
			this.#counters.unreachable(tableRow) === this.#unreachableSeen[row];
		if (setBit(this.eligible, row, wanted)) this.eligibleCount += wanted ? 1 : -1;
		setBit(this.doubtful, row, this.#checkedOut[row] === 1 || (serving && !wanted));
	}
}

function hasBit(words: Uint32Array, row: number): boolean {
	return ((words[row >>> 5] as number) & (1 << (row & 31))) !== 0;
}

/** Sets or clears the bit of a row; true when that changed it. */
function setBit(words: Uint32Array, row: number, wanted: boolean): boolean {
	if (hasBit(words, row) === wanted) return false;
	words[row >>> 5] = (words[row >>> 5] as number) ^ (1 << (row & 31));
	return true;
}

const bits = new Uint32Array(1);
const asFloat = new Float32Array(bits.buffer);
