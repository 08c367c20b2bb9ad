// Owns open addressing over 64-bit keys that live in arrays of the owner's: entry e has the key (lows[e * stride], highs[e * stride]). It stores entry
// numbers only, is kept at most half full, and closes the gap when an entry goes, so that no probe chain breaks and no tombstone piles up.

const EMPTY = -1;

export class KeyIndex {
	readonly #lows: Uint32Array;
	readonly #highs: Uint32Array;
	readonly #stride: number;
	readonly #slots: Int32Array;
	readonly #mask: number;

	/** `entriesMax` is the most entries it will ever hold. A stride over 1 lets a key share a cache line with the rest of its owner's record. */
	constructor(lows: Uint32Array, highs: Uint32Array, entriesMax = lows.length, stride = 1) {
		this.#lows = lows;
		this.#highs = highs;
		this.#stride = stride;
		let slots = 4;
		while (slots < entriesMax * 2) slots *= 2;
		this.#slots = new Int32Array(slots).fill(EMPTY);
		this.#mask = slots - 1;
	}

	/** Entry of a key, or -1. */
	find(low: number, high: number): number {
		const slots = this.#slots;
		for (let slot = this.#home(low, high); ; slot = (slot + 1) & this.#mask) {
			const entry = slots[slot] as number;
			if (entry === EMPTY) return EMPTY;
			const at = entry * this.#stride;
			if (this.#lows[at] === low && this.#highs[at] === high) return entry;
		}
	}

	/** Makes an entry findable by the key it has now; the key must be new. */
	link(entry: number): void {
		const slots = this.#slots;
		let slot = this.#homeOf(entry);
		while (slots[slot] !== EMPTY) slot = (slot + 1) & this.#mask;
		slots[slot] = entry;
	}

	/** Takes an entry out and shifts back those that probed past it (Knuth 6.4, algorithm R). Its key must still be in place. */
	unlink(entry: number): void {
		const slots = this.#slots;
		let hole = this.#homeOf(entry);
		while (slots[hole] !== entry) hole = (hole + 1) & this.#mask;
		for (let at = (hole + 1) & this.#mask; slots[at] !== EMPTY; at = (at + 1) & this.#mask) {
			const other = slots[at] as number;
			const home = this.#homeOf(other);
			if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
			slots[hole] = other;
			hole = at;
		}
		slots[hole] = EMPTY;
	}

	#homeOf(entry: number): number {
		return this.#home(this.#lows[entry * this.#stride] as number, this.#highs[entry * this.#stride] as number);
	}

	#home(low: number, high: number): number {
		const mixed = Math.imul(low ^ (high >>> 7), 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
		return (mixed ^ (mixed >>> 15)) & this.#mask;
	}
}
