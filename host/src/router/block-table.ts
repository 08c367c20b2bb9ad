// Owns the bounded map from a block hash to the table rows that hold the block: open addressing over typed arrays, evicted by a clock
// hand. Memory is fixed at construction: about 80 bytes a block. What a block is, and whether a row is still who it was, is the index's.

/** Holders remembered per block; the most recent ones are kept. */
export const HOLDERS_MAX = 8;

const EMPTY = -1;

export class BlockTable {
	readonly blocksMax: number;
	/** Entry e's holders are at `e * HOLDERS_MAX …`; the first `holderCount[e]` are valid. */
	readonly holderRows: Uint32Array;
	readonly holderGenerations: Uint32Array;
	readonly holderCount: Uint8Array;
	readonly #lows: Uint32Array;
	readonly #highs: Uint32Array;
	readonly #touched: Uint8Array;
	/** Hash slot → entry, or EMPTY. At most half full. */
	readonly #slots: Int32Array;
	readonly #mask: number;
	#size = 0;
	#hand = 0;

	constructor(blocksMax: number) {
		if (!Number.isInteger(blocksMax) || blocksMax < 1 || blocksMax > 1 << 24)
			throw new RangeError(`blocksMax ${blocksMax} is not in 1 … 2^24`);
		this.blocksMax = blocksMax;
		this.holderRows = new Uint32Array(blocksMax * HOLDERS_MAX);
		this.holderGenerations = new Uint32Array(blocksMax * HOLDERS_MAX);
		this.holderCount = new Uint8Array(blocksMax);
		this.#lows = new Uint32Array(blocksMax);
		this.#highs = new Uint32Array(blocksMax);
		this.#touched = new Uint8Array(blocksMax);
		let slots = 4;
		while (slots < blocksMax * 2) slots *= 2;
		this.#slots = new Int32Array(slots).fill(EMPTY);
		this.#mask = slots - 1;
	}

	get size(): number {
		return this.#size;
	}

	/** Entry of a hash, or -1. Marks it as used, so that the clock hand passes over it once. */
	find(low: number, high: number): number {
		for (let slot = low & this.#mask; ; slot = (slot + 1) & this.#mask) {
			const entry = this.#slots[slot] as number;
			if (entry === EMPTY) return -1;
			if (this.#lows[entry] === low && this.#highs[entry] === high) {
				this.#touched[entry] = 1;
				return entry;
			}
		}
	}

	/** Entry of a hash, made (without holders) when there is none; makes room by evicting a block not used lately. */
	findOrAdd(low: number, high: number): number {
		const found = this.find(low, high);
		if (found >= 0) return found;
		const entry = this.#size < this.blocksMax ? this.#size++ : this.#evict();
		this.#lows[entry] = low;
		this.#highs[entry] = high;
		// Unmarked until it is found again: prompts that never recur then cannot push out those that do.
		this.#touched[entry] = 0;
		this.holderCount[entry] = 0;
		let slot = low & this.#mask;
		while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & this.#mask;
		this.#slots[slot] = entry;
		return entry;
	}

	/** Ends within two rounds: the first clears every mark. */
	#evict(): number {
		for (;;) {
			const entry = this.#hand;
			this.#hand = entry + 1 === this.blocksMax ? 0 : entry + 1;
			if (this.#touched[entry] === 0) {
				this.#unlink(entry);
				return entry;
			}
			this.#touched[entry] = 0;
		}
	}

	/** Removes the entry's slot and shifts back those that probed past it (Knuth 6.4, algorithm R). */
	#unlink(entry: number): void {
		const slots = this.#slots;
		let hole = (this.#lows[entry] as number) & this.#mask;
		while (slots[hole] !== entry) hole = (hole + 1) & this.#mask;
		for (let at = (hole + 1) & this.#mask; slots[at] !== EMPTY; at = (at + 1) & this.#mask) {
			const other = slots[at] as number;
			const home = (this.#lows[other] as number) & this.#mask;
			if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
			slots[hole] = other;
			hole = at;
		}
		slots[hole] = EMPTY;
	}
}
