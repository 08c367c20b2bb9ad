// Owns open addressing over 64-bit keys that live in arrays of the owner's: entry e has the key (lows[e * stride], highs[e * stride]). A slot has an entry's
// number and the hash of its key, so that a look-up touches the one line of its slot and the record it finds, and an entry that goes is taken out without a
// look at any other's key. It is kept at most half full, and closes the gap when an entry goes, so that no probe chain breaks and no tombstone piles up.

/** Words of a slot: entry number + 1 (0 = empty), and the hash of its key. */
const SLOT_WORDS = 2;

export class KeyIndex {
	readonly #lows: Uint32Array;
	readonly #highs: Uint32Array;
	readonly #stride: number;
	readonly #slots: Int32Array;
	/** Over words: a multiple of a slot. */
	readonly #mask: number;

	/** `entriesMax` is the most entries it will ever hold. A stride over 1 lets a key share a cache line with the rest of its owner's record. */
	constructor(lows: Uint32Array, highs: Uint32Array, entriesMax = lows.length, stride = 1) {
		this.#lows = lows;
		this.#highs = highs;
		this.#stride = stride;
		let slots = 4;
		while (slots < entriesMax * 2) slots *= 2;
		this.#slots = new Int32Array(slots * SLOT_WORDS);
		this.#mask = slots * SLOT_WORDS - 1;
	}

	/** Entry of a key, or -1. */
	find(low: number, high: number): number {
		const slots = this.#slots;
		const mask = this.#mask;
		const hash = hashOf(low, high);
		for (let at = (hash << 1) & mask; ; at = (at + SLOT_WORDS) & mask) {
			const entry = (slots[at] as number) - 1;
			if (entry < 0) return -1;
			if (slots[at + 1] !== hash) continue;
			const key = entry * this.#stride;
			if (this.#lows[key] === low && this.#highs[key] === high) return entry;
		}
	}

	/**
	 * Reads the slot where a key would be, for its effect on the cache: look-ups of many keys, which would wait for memory one after the other, wait for all
	 * at once when they are announced. Returns what it read, so that no compiler leaves it out: an entry's number + 1, of this key or of another that is at home there, or 0.
	 */
	touch(low: number, high: number): number {
		return this.#slots[(hashOf(low, high) << 1) & this.#mask] as number;
	}

	/** Makes an entry findable by the key it has now; the key must be new. */
	link(entry: number): void {
		const slots = this.#slots;
		const mask = this.#mask;
		const hash = this.#hashOf(entry);
		let at = (hash << 1) & mask;
		while (slots[at] !== 0) at = (at + SLOT_WORDS) & mask;
		slots[at] = entry + 1;
		slots[at + 1] = hash;
	}

	/** Takes an entry out and shifts back those that probed past it (Knuth 6.4, algorithm R). Its key must still be in place. */
	unlink(entry: number): void {
		const slots = this.#slots;
		const mask = this.#mask;
		let hole = (this.#hashOf(entry) << 1) & mask;
		while (slots[hole] !== entry + 1) hole = (hole + SLOT_WORDS) & mask;
		for (let at = (hole + SLOT_WORDS) & mask; slots[at] !== 0; at = (at + SLOT_WORDS) & mask) {
			const home = ((slots[at + 1] as number) << 1) & mask;
			if (((at - home) & mask) < ((at - hole) & mask)) continue;
			slots[hole] = slots[at] as number;
			slots[hole + 1] = slots[at + 1] as number;
			hole = at;
		}
		slots[hole] = 0;
	}

	#hashOf(entry: number): number {
		return hashOf(this.#lows[entry * this.#stride] as number, this.#highs[entry * this.#stride] as number);
	}
}

/** Keys that differ in their lower four bits only are at home side by side: numbers that count on, and names that were made so. */
function hashOf(low: number, high: number): number {
	const mixed = Math.imul((low >>> 4) ^ (high >>> 7), 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
	return ((mixed ^ (mixed >>> 15)) << 4) | (low & 15);
}
