// Owns the map from a 64-bit block hash to a small integer: open addressing in one typed array, so that millions of look-ups a second allocate nothing and
// touch one cache line each. It grows with what it holds, up to what it was sized for: of ten thousand engines most hold little. The owner evicts before
// it inserts. Slots are probed a row of sixteen further each time: hashes that count on (`namesFromIds`) fill whole rows, and what finds its row taken steps
// over all of it at once. Such hashes go through the table side by side; for others it is linear probing.

/** Words of a slot: the hash, and the value + 1; 0 = empty. */
const SLOT_WORDS = 4;
const HIGH = 1;
const VALUE = 2;
const SLOTS_MIN = 16;
/** A row has the words of `SLOTS_MIN` slots: 2^6. */
const ROW_BITS = 6;
const ROW_WORDS = 1 << ROW_BITS;

export class BlockIndex {
	readonly #entriesMax: number;
	#slots = new Int32Array(SLOTS_MIN * SLOT_WORDS);
	/** Over words: a multiple of a slot. */
	#mask = SLOTS_MIN * SLOT_WORDS - 1;
	#size = 0;

	/** `entriesMax` is the most entries it will ever hold; the table is kept at most half full. */
	constructor(entriesMax: number) {
		this.#entriesMax = entriesMax;
	}

	get size(): number {
		return this.#size;
	}

	/** The value of this hash, or -1. */
	get(low: number, high: number): number {
		return (this.#slots[this.#find(low | 0, high | 0) + VALUE] as number) - 1;
	}

	/** Adds or replaces; `value` is not negative. Throws when full, since that is a bug of the owner. */
	set(low: number, high: number, value: number): void {
		if (!this.add(low, high, value)) this.#slots[this.#find(low | 0, high | 0) + VALUE] = value + 1;
	}

	/** As `set`, but leaves what is there alone; returns whether it was new. */
	add(low: number, high: number, value: number): boolean {
		let at = this.#find(low | 0, high | 0);
		if (this.#slots[at + VALUE] !== 0) return false;
		if (this.#size >= this.#entriesMax) throw new Error(`block index is full (${this.#entriesMax} entries)`);
		if (++this.#size * 2 * SLOT_WORDS > this.#slots.length) {
			this.#grow();
			at = this.#find(low | 0, high | 0);
		}
		this.#slots[at] = low;
		this.#slots[at + HIGH] = high;
		this.#slots[at + VALUE] = value + 1;
		return true;
	}

	/** Removes this hash if present, closing the gap so that no probe chain breaks. */
	delete(low: number, high: number): void {
		const slots = this.#slots;
		const mask = this.#mask;
		let hole = this.#find(low | 0, high | 0);
		if (slots[hole + VALUE] === 0) return;
		this.#size--;
		let at = hole;
		for (;;) {
			at = next(at, mask);
			if (slots[at + VALUE] === 0) break;
			const home = ((slots[at] as number) << 2) & mask;
			// An entry may move into the hole only if its home is not between the hole and itself.
			if (home === at || steps(home, at, mask) < steps(hole, at, mask)) continue;
			slots[hole] = slots[at] as number;
			slots[hole + HIGH] = slots[at + HIGH] as number;
			slots[hole + VALUE] = slots[at + VALUE] as number;
			hole = at;
		}
		slots[hole + VALUE] = 0;
	}

	/** The slot that holds this hash, or the empty slot where it would go. */
	#find(low: number, high: number): number {
		const slots = this.#slots;
		const mask = this.#mask;
		let at = (low << 2) & mask;
		while (slots[at + VALUE] !== 0 && (slots[at] !== low || slots[at + HIGH] !== high)) at = next(at, mask);
		return at;
	}

	#grow(): void {
		const before = this.#slots;
		this.#slots = new Int32Array(before.length * 2);
		this.#mask = this.#slots.length - 1;
		for (let from = 0; from < before.length; from += SLOT_WORDS) {
			if (before[from + VALUE] === 0) continue;
			const at = this.#find(before[from] as number, before[from + HIGH] as number);
			this.#slots[at] = before[from] as number;
			this.#slots[at + HIGH] = before[from + HIGH] as number;
			this.#slots[at + VALUE] = before[from + VALUE] as number;
		}
	}
}

/** The slot that is probed after one: in the next row, and after the last row in the first, one to the side. */
function next(at: number, mask: number): number {
	return at + ROW_WORDS <= mask ? at + ROW_WORDS : (at + SLOT_WORDS) & (ROW_WORDS - 1);
}

/** Probes from one slot to another, times `SLOT_WORDS`. */
function steps(from: number, to: number, mask: number): number {
	return (turn(to, mask) - turn(from, mask)) & mask;
}

/** Place of a slot in the order of probing, times `SLOT_WORDS`. */
function turn(at: number, mask: number): number {
	const rows = (mask + 1) >>> ROW_BITS;
	return (at & (ROW_WORDS - 1)) * rows + (at >>> ROW_BITS) * SLOT_WORDS;
}
