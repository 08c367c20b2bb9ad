// Owns who holds which block: pairs of a block (named by the hash of all that ends with it) and a holder, each pair in its holder's own list
// by last use. Invariants: memory is fixed at construction; a holder never has more pairs than its capacity; the blocks of a prompt are
// used from its end to its start, so whatever a holder lacks of a prompt is a tail of it, and the holders of a block are among those of the
// blocks before it. Who a holder is belongs to the index above. A long prompt uses thousands of pairs, each somewhere else in memory: the words of a block
// stand together, and so do those of a pair, so that each costs one cache line and not one a word.
import { KeyIndex } from './key-index.js';

const NONE = -1;
/** Holders looked at to find one that has more than its share, when there is no room at all. */
const LOOKED_AT = 8;

/** Words of a block: its name, its first pair (while it is free, the next free block), and how many hold it. */
const BLOCK_WORDS = 4;
const HIGH = 1;
const FIRST = 2;
const COUNT = 3;
/** Words of a pair: its block and holder, its neighbours in the holder's list by use (while it is free, `OLDER` is the next free pair) and among those that hold the block, and a stamp. */
const PAIR_WORDS = 8;
const HOLDER = 1;
const NEWER = 2;
const OLDER = 3;
const NEXT_OF_BLOCK = 4;
const PREVIOUS_OF_BLOCK = 5;
const STAMP = 6;

export class HolderTable {
	/** Pairs given up for want of room: of a holder, or of the table. */
	evictions = 0;
	readonly #pairsMax: number;
	readonly #block: Int32Array;
	readonly #blocks: KeyIndex;
	#freeBlock = NONE;
	#blocksUsed = 0;
	readonly #pair: Int32Array;
	readonly #pairs: KeyIndex;
	#freePair = NONE;
	#pairsUsed = 0;
	#pairCount = 0;
	#blockCountTotal = 0;
	// Holders.
	#newest = new Int32Array(64).fill(NONE);
	#oldest = new Int32Array(64).fill(NONE);
	#sizes = new Uint32Array(64);
	#holders = 0;
	#hand = 0;
	/** Of what was read ahead, so that no compiler leaves that out. */
	#read = 0;

	constructor(pairsMax: number) {
		if (!Number.isInteger(pairsMax) || pairsMax < 1 || pairsMax > 1 << 24)
			throw new RangeError(`pairsMax ${pairsMax} is not in 1 … 2^24`);
		this.#pairsMax = pairsMax;
		const block = new Uint32Array(pairsMax * BLOCK_WORDS);
		const pair = new Uint32Array(pairsMax * PAIR_WORDS);
		this.#blocks = new KeyIndex(block, block.subarray(HIGH), pairsMax, BLOCK_WORDS);
		this.#pairs = new KeyIndex(pair, pair.subarray(HOLDER), pairsMax, PAIR_WORDS);
		this.#block = new Int32Array(block.buffer);
		this.#pair = new Int32Array(pair.buffer);
	}

	get pairs(): number {
		return this.#pairCount;
	}

	get blocks(): number {
		return this.#blockCountTotal;
	}

	/** Pairs of one holder. */
	sizeOf(holder: number): number {
		return this.#sizes[holder] ?? 0;
	}

	/** Block of a hash, or -1. Valid until the next change. */
	find(low: number, high: number): number {
		return this.#blocks.find(low, high);
	}

	/** Holders of a block; 0 for block -1. */
	holdersOf(block: number): number {
		return block < 0 ? 0 : (this.#block[block * BLOCK_WORDS + COUNT] as number);
	}

	/** First pair of a block, then `nextOf` it until -1. */
	firstOf(block: number): number {
		return block < 0 ? NONE : (this.#block[block * BLOCK_WORDS + FIRST] as number);
	}

	nextOf(pair: number): number {
		return this.#pair[pair * PAIR_WORDS + NEXT_OF_BLOCK] as number;
	}

	holderOf(pair: number): number {
		return this.#pair[pair * PAIR_WORDS + HOLDER] as number;
	}

	/**
	 * Notes that a holder has just used the first `count` blocks of a chain; it may have `capacity` pairs, and `count` is at most that. `stamp` is kept
	 * with each, for `expire`.
	 */
	use(holder: number, lows: Uint32Array, highs: Uint32Array, count: number, capacity: number, stamp: number): void {
		this.#seat(holder);
		const used = Math.min(count, capacity, this.#pairsMax);
		// Read ahead: thousands of look-ups wait for memory together then, not in turn.
		let read = this.#read;
		for (let at = used - 1; at > 0; at--) read += this.#blocks.touch(lows[at] as number, highs[at] as number);
		this.#read = read | 0;
		for (let at = used - 1; at >= 0; at--)
			this.#useOne(holder, lows[at] as number, highs[at] as number, capacity, stamp);
		while (this.sizeOf(holder) > capacity) this.#evict(holder);
	}

	/** Lets go of the pairs of a holder that were last used before `stamp` (modulo 2^32), `most` of them at a time; they are its oldest. */
	expire(holder: number, stamp: number, most: number): void {
		for (let left = most; left > 0; left--) {
			const oldest = this.#oldest[holder] ?? NONE;
			if (oldest === NONE || !this.isBefore(oldest, stamp)) return;
			this.#drop(oldest);
		}
	}

	/** Whether a pair was last used before `stamp`. */
	isBefore(pair: number, stamp: number): boolean {
		return ((stamp - (this.#pair[pair * PAIR_WORDS + STAMP] as number)) | 0) > 0;
	}

	/** Lets go of up to `most` pairs of a holder; true when it has none left. */
	release(holder: number, most: number): boolean {
		for (let left = most; left > 0 && this.sizeOf(holder) > 0; left--) this.#drop(this.#oldest[holder] as number);
		return this.sizeOf(holder) === 0;
	}

	#useOne(holder: number, low: number, high: number, capacity: number, stamp: number): void {
		let block = this.#blocks.find(low, high);
		let pair = block < 0 ? NONE : this.#pairOf(block, holder);
		if (pair >= 0) {
			if (this.#newest[holder] === pair) {
				this.#pair[pair * PAIR_WORDS + STAMP] = stamp;
				return;
			}
			this.#unlinkUse(pair);
		} else {
			if (this.sizeOf(holder) >= capacity) this.#evict(holder);
			else if (this.#pairCount >= this.#pairsMax) this.#evict(this.#largest(holder));
			// What was evicted may have been the last pair of this very block.
			block = this.#blocks.find(low, high);
			if (block < 0) block = this.#addBlock(low, high);
			pair = this.#addPair(block, holder);
		}
		const at = pair * PAIR_WORDS;
		const before = this.#newest[holder] as number;
		this.#pair[at + STAMP] = stamp;
		this.#pair[at + OLDER] = before;
		this.#pair[at + NEWER] = NONE;
		if (before === NONE) this.#oldest[holder] = pair;
		else this.#pair[before * PAIR_WORDS + NEWER] = pair;
		this.#newest[holder] = pair;
	}

	/** The pair of a block and a holder, or -1. Most blocks have one holder: the first is looked at before the index is asked. */
	#pairOf(block: number, holder: number): number {
		const first = this.#block[block * BLOCK_WORDS + FIRST] as number;
		if (this.#pair[first * PAIR_WORDS + HOLDER] === holder) return first;
		return this.#pair[first * PAIR_WORDS + NEXT_OF_BLOCK] === NONE ? NONE : this.#pairs.find(block, holder);
	}

	#addBlock(low: number, high: number): number {
		let block = this.#freeBlock;
		if (block === NONE) block = this.#blocksUsed++;
		else this.#freeBlock = this.#block[block * BLOCK_WORDS + FIRST] as number;
		const at = block * BLOCK_WORDS;
		this.#block[at] = low;
		this.#block[at + HIGH] = high;
		this.#block[at + FIRST] = NONE;
		this.#block[at + COUNT] = 0;
		this.#blocks.link(block);
		this.#blockCountTotal++;
		return block;
	}

	#addPair(block: number, holder: number): number {
		let pair = this.#freePair;
		if (pair === NONE) pair = this.#pairsUsed++;
		else this.#freePair = this.#pair[pair * PAIR_WORDS + OLDER] as number;
		const at = pair * PAIR_WORDS;
		const blockAt = block * BLOCK_WORDS;
		this.#pair[at] = block;
		this.#pair[at + HOLDER] = holder;
		this.#pairs.link(pair);
		const first = this.#block[blockAt + FIRST] as number;
		this.#pair[at + NEXT_OF_BLOCK] = first;
		this.#pair[at + PREVIOUS_OF_BLOCK] = NONE;
		if (first !== NONE) this.#pair[first * PAIR_WORDS + PREVIOUS_OF_BLOCK] = pair;
		this.#block[blockAt + FIRST] = pair;
		this.#block[blockAt + COUNT] = (this.#block[blockAt + COUNT] as number) + 1;
		this.#sizes[holder] = (this.#sizes[holder] as number) + 1;
		this.#pairCount++;
		return pair;
	}

	#evict(holder: number): void {
		this.evictions++;
		this.#drop(this.#oldest[holder] as number);
	}

	#drop(pair: number): void {
		const at = pair * PAIR_WORDS;
		const holder = this.#pair[at + HOLDER] as number;
		const block = this.#pair[at] as number;
		const blockAt = block * BLOCK_WORDS;
		this.#unlinkUse(pair);
		this.#pairs.unlink(pair);
		const next = this.#pair[at + NEXT_OF_BLOCK] as number;
		const previous = this.#pair[at + PREVIOUS_OF_BLOCK] as number;
		if (next !== NONE) this.#pair[next * PAIR_WORDS + PREVIOUS_OF_BLOCK] = previous;
		if (previous === NONE) this.#block[blockAt + FIRST] = next;
		else this.#pair[previous * PAIR_WORDS + NEXT_OF_BLOCK] = next;
		this.#pair[at + OLDER] = this.#freePair;
		this.#freePair = pair;
		this.#pairCount--;
		this.#sizes[holder] = (this.#sizes[holder] as number) - 1;
		const left = (this.#block[blockAt + COUNT] as number) - 1;
		this.#block[blockAt + COUNT] = left;
		if (left > 0) return;
		this.#blocks.unlink(block);
		this.#block[blockAt + FIRST] = this.#freeBlock;
		this.#freeBlock = block;
		this.#blockCountTotal--;
	}

	#unlinkUse(pair: number): void {
		const at = pair * PAIR_WORDS;
		const holder = this.#pair[at + HOLDER] as number;
		const newer = this.#pair[at + NEWER] as number;
		const older = this.#pair[at + OLDER] as number;
		if (newer === NONE) this.#newest[holder] = older;
		else this.#pair[newer * PAIR_WORDS + OLDER] = older;
		if (older === NONE) this.#oldest[holder] = newer;
		else this.#pair[older * PAIR_WORDS + NEWER] = newer;
	}

	/** Of a few holders looked at in turn, the one with the most pairs: nobody's prompts push out all of another's. */
	#largest(holder: number): number {
		let largest = holder;
		for (let looked = 0; looked < LOOKED_AT; looked++) {
			this.#hand = this.#hand + 1 >= this.#holders ? 0 : this.#hand + 1;
			if (this.sizeOf(this.#hand) > this.sizeOf(largest)) largest = this.#hand;
		}
		if (this.sizeOf(largest) > 0) return largest;
		// All that are full were passed over: one of them exists, since every pair has a holder.
		while (this.sizeOf(this.#hand) === 0) this.#hand = this.#hand + 1 >= this.#holders ? 0 : this.#hand + 1;
		return this.#hand;
	}

	#seat(holder: number): void {
		this.#holders = Math.max(this.#holders, holder + 1);
		if (holder < this.#newest.length) return;
		const room = Math.max(holder + 1, this.#newest.length * 2);
		this.#newest = grown(this.#newest, new Int32Array(room).fill(NONE));
		this.#oldest = grown(this.#oldest, new Int32Array(room).fill(NONE));
		const sizes = new Uint32Array(room);
		sizes.set(this.#sizes);
		this.#sizes = sizes;
	}
}

function grown(from: Int32Array<ArrayBuffer>, to: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
	to.set(from);
	return to;
}
