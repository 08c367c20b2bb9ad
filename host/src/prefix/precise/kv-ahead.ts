// Owns reading ahead for the index of what engines hold. Blocks come and go in runs, and each needs a few lines of tables far larger than any cache: found one
// after the other, each is waited for alone. Here those of a part of a run are read before anything is done with them, so that they are waited for at once.
// Nothing depends on what is read but the time it takes: a wrong expectation costs some reads.
import { finish, mixHigh, mixLow } from '../../router/hash.js';
import type { KeyIndex } from '../key-index.js';
import type { KvTableWriter } from './shared-table.js';

/** Blocks that are read ahead at once: their lines, four each, stay in the first cache. */
export const AHEAD_MAX = 32;

export class KvAhead {
	/** Chain states at the ends of the blocks last expected to be stored. */
	readonly lows = new Int32Array(AHEAD_MAX);
	readonly highs = new Int32Array(AHEAD_MAX);
	readonly #names: KeyIndex;
	readonly #table: KvTableWriter;
	readonly #found = new Int32Array(AHEAD_MAX);
	/** Of all that was read, so that no compiler leaves the reading out. */
	#sum = 0;

	constructor(names: KeyIndex, table: KvTableWriter) {
		this.#names = names;
		this.#table = table;
	}

	/** Carries a chain on over `count` blocks from a token on, and reads what storing them will touch of the table. */
	stored(low: number, high: number, tokens: Uint32Array, from: number, blockTokens: number, count: number): void {
		const { lows, highs } = this;
		const table = this.#table;
		let sum = this.#sum;
		for (let at = 0, token = from; at < count; at++) {
			for (const end = token + blockTokens; token < end; token++) {
				low = mixLow(low, tokens[token] as number);
				high = mixHigh(high, tokens[token] as number);
			}
			lows[at] = low;
			highs[at] = high;
			sum += table.touchTags(finish(low), finish(high));
		}
		this.#sum = sum | 0;
	}

	/** Reads where blocks of these names are, `count` of them. */
	named(lows: Uint32Array, highs: Uint32Array, from: number, count: number, lowMask: number, highMask: number): void {
		let sum = this.#sum;
		for (let at = from; at < from + count; at++)
			sum += this.#names.touch(((lows[at] as number) ^ lowMask) >>> 0, ((highs[at] as number) ^ highMask) >>> 0);
		this.#sum = sum | 0;
	}

	/** Finds blocks by their names, `count` of them, and reads the published entries they stand in. `blocks` has `stride` words for each, its position at `positionAt`. */
	held(
		lows: Uint32Array,
		highs: Uint32Array,
		from: number,
		count: number,
		lowMask: number,
		highMask: number,
		blocks: Int32Array,
		stride: number,
		positionAt: number,
	): void {
		this.named(lows, highs, from, count, lowMask, highMask);
		const found = this.#found;
		for (let at = 0; at < count; at++)
			found[at] = this.#names.find(
				((lows[from + at] as number) ^ lowMask) >>> 0,
				((highs[from + at] as number) ^ highMask) >>> 0,
			);
		let sum = this.#sum;
		for (let at = 0; at < count; at++) {
			const block = found[at] as number;
			const entry = block < 0 ? -1 : (blocks[block * stride + positionAt] as number);
			if (entry >= 0) sum += this.#table.touch(entry);
		}
		this.#sum = sum | 0;
	}
}
