// Owns who holds which block: pairs of a block (named by the hash of all that ends with it) and a holder, each pair in its holder's own list
// by last use. Invariants: memory is fixed at construction; a holder never has more pairs than its capacity; the blocks of a prompt are
// used from its end to its start, so whatever a holder lacks of a prompt is a tail of it, and the holders of a block are among those of the
// blocks before it. Who a holder is belongs to the index above.
import { KeyIndex } from './key-index.js';

const NONE = -1;
/** Holders looked at to find one that has more than its share, when there is no room at all. */
const LOOKED_AT = 8;

export class HolderTable {
	/** Pairs given up for want of room: of a holder, or of the table. */
	evictions = 0;
	readonly #pairsMax: number;
	// Blocks.
	readonly #blockLows: Uint32Array;
	readonly #blockHighs: Uint32Array;
	readonly #blockFirst: Int32Array;
	readonly #blockCount: Uint32Array;
	readonly #blocks: KeyIndex;
	#freeBlock = NONE;
	#blocksUsed = 0;
	// Pairs.
	readonly #pairBlocks: Uint32Array;
	readonly #pairHolders: Uint32Array;
	readonly #pairs: KeyIndex;
	readonly #newer: Int32Array;
	readonly #older: Int32Array;
	readonly #nextOfBlock: Int32Array;
	readonly #previousOfBlock: Int32Array;
	readonly #stamps: Uint32Array;
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

	constructor(pairsMax: number) {
		if (!Number.isInteger(pairsMax) || pairsMax < 1 || pairsMax > 1 << 24)
			throw new RangeError(`pairsMax ${pairsMax} is not in 1 … 2^24`);
		this.#pairsMax = pairsMax;
		this.#blockLows = new Uint32Array(pairsMax);
		this.#blockHighs = new Uint32Array(pairsMax);
		this.#blockFirst = new Int32Array(pairsMax);
		this.#blockCount = new Uint32Array(pairsMax);
		this.#blocks = new KeyIndex(this.#blockLows, this.#blockHighs);
		this.#pairBlocks = new Uint32Array(pairsMax);
		this.#pairHolders = new Uint32Array(pairsMax);
		this.#pairs = new KeyIndex(this.#pairBlocks, this.#pairHolders);
		this.#newer = new Int32Array(pairsMax);
		this.#older = new Int32Array(pairsMax);
		this.#nextOfBlock = new Int32Array(pairsMax);
		this.#previousOfBlock = new Int32Array(pairsMax);
		this.#stamps = new Uint32Array(pairsMax);
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
		return block < 0 ? 0 : (this.#blockCount[block] as number);
	}

	/** First pair of a block, then `nextOf` it until -1. */
	firstOf(block: number): number {
		return block < 0 ? NONE : (this.#blockFirst[block] as number);
	}

	nextOf(pair: number): number {
		return this.#nextOfBlock[pair] as number;
	}

	holderOf(pair: number): number {
		return this.#pairHolders[pair] as number;
	}

	/**
	 * Notes that a holder has just used the first `count` blocks of a chain; it may have `capacity` pairs, and `count` is at most that. `stamp` is kept
	 * with each, for `expire`.
	 */
	use(holder: number, lows: Uint32Array, highs: Uint32Array, count: number, capacity: number, stamp: number): void {
		this.#seat(holder);
		for (let at = Math.min(count, capacity, this.#pairsMax) - 1; at >= 0; at--)
			this.#useOne(holder, lows[at] as number, highs[at] as number, capacity, stamp);
		while (this.sizeOf(holder) > capacity) this.#evict(holder);
	}

	/** Lets go of the pairs of a holder that were last used before `stamp` (modulo 2^32), `most` of them at a time; they are its oldest. */
	expire(holder: number, stamp: number, most: number): void {
		for (let left = most; left > 0; left--) {
			const oldest = this.#oldest[holder] ?? NONE;
			if (oldest === NONE || ((stamp - (this.#stamps[oldest] as number)) | 0) <= 0) return;
			this.#drop(oldest);
		}
	}

	/** Whether a pair was last used before `stamp`. */
	isBefore(pair: number, stamp: number): boolean {
		return ((stamp - (this.#stamps[pair] as number)) | 0) > 0;
	}

	/** Lets go of up to `most` pairs of a holder; true when it has none left. */
	release(holder: number, most: number): boolean {
		for (let left = most; left > 0 && this.sizeOf(holder) > 0; left--) this.#drop(this.#oldest[holder] as number);
		return this.sizeOf(holder) === 0;
	}

	#useOne(holder: number, low: number, high: number, capacity: number, stamp: number): void {
		let block = this.#blocks.find(low, high);
		let pair = block < 0 ? NONE : this.#pairs.find(block, holder);
		if (pair >= 0) {
			this.#unlinkUse(pair);
		} else {
			if (this.sizeOf(holder) >= capacity) this.#evict(holder);
			else if (this.#pairCount >= this.#pairsMax) this.#evict(this.#largest(holder));
			// What was evicted may have been the last pair of this very block.
			block = this.#blocks.find(low, high);
			if (block < 0) block = this.#addBlock(low, high);
			pair = this.#addPair(block, holder);
		}
		this.#stamps[pair] = stamp;
		const before = this.#newest[holder] as number;
		this.#older[pair] = before;
		this.#newer[pair] = NONE;
		if (before === NONE) this.#oldest[holder] = pair;
		else this.#newer[before] = pair;
		this.#newest[holder] = pair;
	}

	#addBlock(low: number, high: number): number {
		let block = this.#freeBlock;
		if (block === NONE) block = this.#blocksUsed++;
		else this.#freeBlock = this.#blockFirst[block] as number;
		this.#blockLows[block] = low;
		this.#blockHighs[block] = high;
		this.#blockFirst[block] = NONE;
		this.#blockCount[block] = 0;
		this.#blocks.link(block);
		this.#blockCountTotal++;
		return block;
	}

	#addPair(block: number, holder: number): number {
		let pair = this.#freePair;
		if (pair === NONE) pair = this.#pairsUsed++;
		else this.#freePair = this.#older[pair] as number;
		this.#pairBlocks[pair] = block;
		this.#pairHolders[pair] = holder;
		this.#pairs.link(pair);
		const first = this.#blockFirst[block] as number;
		this.#nextOfBlock[pair] = first;
		this.#previousOfBlock[pair] = NONE;
		if (first !== NONE) this.#previousOfBlock[first] = pair;
		this.#blockFirst[block] = pair;
		this.#blockCount[block] = (this.#blockCount[block] as number) + 1;
		this.#sizes[holder] = (this.#sizes[holder] as number) + 1;
		this.#pairCount++;
		return pair;
	}

	#evict(holder: number): void {
		this.evictions++;
		this.#drop(this.#oldest[holder] as number);
	}

	#drop(pair: number): void {
		const holder = this.#pairHolders[pair] as number;
		const block = this.#pairBlocks[pair] as number;
		this.#unlinkUse(pair);
		this.#pairs.unlink(pair);
		const next = this.#nextOfBlock[pair] as number;
		const previous = this.#previousOfBlock[pair] as number;
		if (next !== NONE) this.#previousOfBlock[next] = previous;
		if (previous === NONE) this.#blockFirst[block] = next;
		else this.#nextOfBlock[previous] = next;
		this.#older[pair] = this.#freePair;
		this.#freePair = pair;
		this.#pairCount--;
		this.#sizes[holder] = (this.#sizes[holder] as number) - 1;
		const left = (this.#blockCount[block] as number) - 1;
		this.#blockCount[block] = left;
		if (left > 0) return;
		this.#blocks.unlink(block);
		this.#blockFirst[block] = this.#freeBlock;
		this.#freeBlock = block;
		this.#blockCountTotal--;
	}

	#unlinkUse(pair: number): void {
		const holder = this.#pairHolders[pair] as number;
		const newer = this.#newer[pair] as number;
		const older = this.#older[pair] as number;
		if (newer === NONE) this.#newest[holder] = older;
		else this.#older[newer] = older;
		if (older === NONE) this.#oldest[holder] = newer;
		else this.#newer[older] = newer;
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
