// Owns a doubly linked list over small integers, kept in typed arrays: the least-recently-used orders of the KV tiers.
// A slot is in the list at most once; the owner knows whether it is.

export class SlotList {
	readonly #previous: Int32Array;
	readonly #next: Int32Array;
	readonly #sentinel: number;
	#length = 0;

	/** A list over the slots 0 .. `slots` - 1, empty at first. */
	constructor(slots: number) {
		this.#sentinel = slots;
		this.#previous = new Int32Array(slots + 1);
		this.#next = new Int32Array(slots + 1);
		this.#previous[slots] = slots;
		this.#next[slots] = slots;
	}

	get length(): number {
		return this.#length;
	}

	/** The first slot, or -1 when empty. */
	first(): number {
		return this.#length === 0 ? -1 : (this.#next[this.#sentinel] as number);
	}

	pushFront(slot: number): void {
		this.#insertAfter(this.#sentinel, slot);
	}

	pushBack(slot: number): void {
		this.#insertAfter(this.#previous[this.#sentinel] as number, slot);
	}

	/** Takes a slot that is in the list out of it. */
	remove(slot: number): void {
		const previous = this.#previous[slot] as number;
		const next = this.#next[slot] as number;
		this.#next[previous] = next;
		this.#previous[next] = previous;
		this.#length--;
	}

	*[Symbol.iterator](): Iterator<number> {
		for (let at = this.#next[this.#sentinel] as number; at !== this.#sentinel; at = this.#next[at] as number) yield at;
	}

	#insertAfter(previous: number, slot: number): void {
		const next = this.#next[previous] as number;
		this.#next[previous] = slot;
		this.#previous[slot] = previous;
		this.#next[slot] = next;
		this.#previous[next] = slot;
		this.#length++;
	}
}
