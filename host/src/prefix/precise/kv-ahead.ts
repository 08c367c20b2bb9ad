// Owns reading ahead for the index of what engines hold. Blocks come and go in runs, and each needs a few lines of tables far larger than any cache: found one
// after the other, each is waited for alone. Here those of a part of a run are read before anything is done with them, so that they are waited for at once.
// Nothing depends on what is read but the time it takes: a wrong expectation costs some reads.
import type { BlockNames } from '@infermesh/adapters';
import { finish, mixHigh, mixLow } from '../../router/hash.js';
import { BLOCK_WORDS, highMask, type KvBlocks, lowMask, NONE, PARENT, POSITION } from './kv-blocks.js';
import type { KvTableWriter } from './shared-table.js';

/** Blocks that are read ahead at once: their lines, four each, stay in the first cache. */
export const AHEAD_MAX = 32;

export class KvAhead {
	/** Chain states at the ends of the blocks last expected to be stored. */
	readonly lows = new Int32Array(AHEAD_MAX);
	readonly highs = new Int32Array(AHEAD_MAX);
	/** Blocks of the names last looked up, or -1. */
	readonly found = new Int32Array(AHEAD_MAX);
	/** What the last of those that stay follows. */
	next = NONE;
	readonly #blocks: KvBlocks;
	readonly #table: KvTableWriter;
	/** Of all that was read, so that no compiler leaves the reading out. */
	#sum = 0;

	constructor(blocks: KvBlocks, table: KvTableWriter) {
		this.#blocks = blocks;
		this.#table = table;
	}

	/** Carries a chain on over `count` blocks from a token on, and reads what storing them will touch of the table. */
	stored(low: number, high: number, tokens: Uint32Array, from: number, blockTokens: number, count: number): void {
		const { lows, highs } = this;
		for (let at = 0, token = from; at < count; at++) {
			for (const end = token + blockTokens; token < end; token++) {
				low = mixLow(low, tokens[token] as number);
				high = mixHigh(high, tokens[token] as number);
			}
			lows[at] = low;
			highs[at] = high;
		}
		// Apart from the hashing, each step of which waits for the one before: more of these wait together.
		const table = this.#table;
		let sum = this.#sum;
		for (let at = 0; at < count; at++) sum += table.touchTags(finish(lows[at] as number), finish(highs[at] as number));
		this.#sum = sum | 0;
	}

	/** Reads where blocks of these names are, `count` of them. */
	named(holder: number, { lows, highs }: BlockNames, from: number, count: number): void {
		const { names } = this.#blocks;
		const low = lowMask(holder);
		const high = highMask(holder);
		let sum = this.#sum;
		for (let at = from; at < from + count; at++)
			sum += names.touch(((lows[at] as number) ^ low) >>> 0, ((highs[at] as number) ^ high) >>> 0);
		this.#sum = sum | 0;
	}

	/** Finds blocks that leave a tier by their names, and reads what is touched when they go altogether; returns how many were looked for. */
	leaving(holder: number, names: BlockNames, from: number): number {
		const count = Math.min(AHEAD_MAX, names.lows.length - from);
		const { found } = this;
		const index = this.#blocks.names;
		const low = lowMask(holder);
		const high = highMask(holder);
		const { lows, highs } = names;
		if (count > 1) this.named(holder, names, from, count);
		for (let at = 0, name = from; at < count; at++, name++)
			found[at] = index.find(((lows[name] as number) ^ low) >>> 0, ((highs[name] as number) ^ high) >>> 0);
		if (count === 1) return count;
		let sum = this.#sum;
		for (let at = 0; at < count; at++) {
			const entry = this.#entryOf(found[at] as number);
			if (entry >= 0) sum += this.#table.touchWhole(entry);
		}
		this.#sum = sum | 0;
		return count;
	}

	/** As `leaving`, for blocks that stay in another tier: each is looked for where the one before it says, without its name's slot. `guess` is that of the first. */
	staying(holder: number, names: BlockNames, from: number, guess: number): number {
		const count = Math.min(AHEAD_MAX, names.lows.length - from);
		const { found } = this;
		const blocks = this.#blocks;
		const { words } = blocks;
		let next = guess;
		for (let at = 0; at < count; at++) {
			const block = blocks.find(holder, names.lows[from + at] as number, names.highs[from + at] as number, next);
			found[at] = block;
			next = block < 0 ? NONE : (words[block * BLOCK_WORDS + PARENT] as number);
		}
		this.next = next;
		let sum = this.#sum;
		for (let at = 0; at < count; at++) {
			const entry = this.#entryOf(found[at] as number);
			if (entry >= 0) sum += this.#table.touch(entry);
		}
		this.#sum = sum | 0;
		return count;
	}

	#entryOf(block: number): number {
		return block < 0 ? NONE : (this.#blocks.words[block * BLOCK_WORDS + POSITION] as number);
	}
}
