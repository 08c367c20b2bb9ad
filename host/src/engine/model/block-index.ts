// Owns the map from a 64-bit block hash to a small integer: open addressing in typed arrays, so that millions of
// look-ups a second allocate nothing. Holds at most the entries it was sized for; the owner evicts before it inserts.

const EMPTY = -1;

export class BlockIndex {
	readonly #mask: number;
	readonly #low: Uint32Array;
	readonly #high: Uint32Array;
	readonly #value: Int32Array;
	readonly #entriesMax: number;
	#size = 0;

	/** `entriesMax` is the most entries it will ever hold; the table is kept at most half full. */
	constructor(entriesMax: number) {
		let capacity = 16;
		while (capacity < entriesMax * 2) capacity *= 2;
		this.#entriesMax = entriesMax;
		this.#mask = capacity - 1;
		this.#low = new Uint32Array(capacity);
		this.#high = new Uint32Array(capacity);
		this.#value = new Int32Array(capacity).fill(EMPTY);
	}

	get size(): number {
		return this.#size;
	}

	/** The value of this hash, or -1. */
	get(low: number, high: number): number {
		return this.#value[this.#find(low, high)] as number;
	}

	/** Adds or replaces; `value` is not negative. Throws when full, since that is a bug of the owner. */
	set(low: number, high: number, value: number): void {
		const at = this.#find(low, high);
		if (this.#value[at] === EMPTY) {
			if (this.#size >= this.#entriesMax) throw new Error(`block index is full (${this.#entriesMax} entries)`);
			this.#size++;
			this.#low[at] = low;
			this.#high[at] = high;
		}
		this.#value[at] = value;
	}

	/** Removes this hash if present, closing the gap so that no probe chain breaks. */
	delete(low: number, high: number): void {
		let hole = this.#find(low, high);
		if (this.#value[hole] === EMPTY) return;
		this.#size--;
		let at = hole;
		for (;;) {
			at = (at + 1) & this.#mask;
			if (this.#value[at] === EMPTY) break;
			const home = (this.#low[at] as number) & this.#mask;
			// An entry may move into the hole only if its home is not between the hole and itself.
			if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
			this.#low[hole] = this.#low[at] as number;
			this.#high[hole] = this.#high[at] as number;
			this.#value[hole] = this.#value[at] as number;
			hole = at;
		}
		this.#value[hole] = EMPTY;
	}

	/** The slot that holds this hash, or the empty slot where it would go. */
	#find(low: number, high: number): number {
		let at = low & this.#mask;
		while (this.#value[at] !== EMPTY && (this.#low[at] !== low || this.#high[at] !== high)) {
			at = (at + 1) & this.#mask;
		}
		return at;
	}
}
