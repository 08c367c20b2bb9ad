// Owns what is known of one stream at a point of a recording: the cells of every row, which rows may be chosen, the strategies' state blocks. Writer and
// reader keep the same, so that the writer can begin a file anew at any record.
import type { StreamEntry } from './entries.js';
import { ELIGIBLE_BIT, STATE_PAGE_WORDS } from './layout.js';

/** One strategy's state block as workers saw it. */
export interface RecordedState {
	readonly epoch: number;
	readonly words: Uint32Array;
	readonly bytes: number;
}

export class StreamState {
	readonly entry: StreamEntry;
	readonly rows: number;
	readonly columns: number;
	/** Words of one row's mask of columns. */
	readonly maskWords: number;
	/** Cell of row r and column c at `r * columns + c`. */
	readonly cells: Uint32Array;
	/** One bit a row. */
	readonly eligible: Uint32Array;
	/** By version id. */
	readonly states = new Map<number, RecordedState>();
	tableEpoch = 0;
	/** A keyframe has been seen: the cells stand for something. */
	known = false;
	/** Raised by one at every keyframe. */
	generation = 0;

	constructor(entry: StreamEntry, columns: number) {
		this.entry = entry;
		this.rows = entry.targets.length;
		this.columns = columns;
		this.maskWords = Math.ceil(columns / 32);
		this.cells = new Uint32Array(this.rows * columns);
		this.eligible = new Uint32Array(Math.max(1, Math.ceil(this.rows / 32)));
	}

	/** Takes a keyframe: the bitmap, then all cells. False when its size is not the stream's. */
	keyframe(tableEpoch: number, words: Uint32Array, at: number, length: number): boolean {
		const bitmap = this.eligible.length;
		if (length !== bitmap + this.cells.length) return false;
		this.eligible.set(words.subarray(at, at + bitmap));
		this.cells.set(words.subarray(at + bitmap, at + length));
		this.tableEpoch = tableEpoch;
		this.known = true;
		this.generation++;
		return true;
	}

	/** Sets the eligibility of the row that a word names; returns the row, or -1 when there is none. */
	rowOf(word: number): number {
		const row = (word & ~ELIGIBLE_BIT) >>> 0;
		if (row >= this.rows) return -1;
		const bit = 1 << (row & 31);
		const at = row >>> 5;
		const before = this.eligible[at] as number;
		this.eligible[at] = (word & ELIGIBLE_BIT) !== 0 ? before | bit : before & ~bit;
		return row;
	}

	isEligible(row: number): boolean {
		return row < this.rows && ((this.eligible[row >>> 5] as number) & (1 << (row & 31))) !== 0;
	}

	/** The state block of a version, made at its first mention. */
	stateFor(versionId: number, bytes: number): RecordedState {
		const present = this.states.get(versionId);
		if (present?.bytes === bytes) return present;
		return { epoch: -1, bytes, words: new Uint32Array(Math.ceil(bytes / 4)) };
	}
}

/** Pages of a state block of so many words. */
export function pagesOf(words: number): number {
	return Math.ceil(words / STATE_PAGE_WORDS);
}
