// Owns a doubly linked list over small integers, kept in one typed array that grows with the highest of them: the least-recently-used orders of the KV tiers.
// A slot is in the list at most once; the owner knows whether it is.

const SLOTS_MIN = 16;

export class SlotList {
	/** Two words a slot, the one before and the one after it; slot -1 stands for both ends and comes first. */
	#links = new Int32Array(SLOTS_MIN * 2);
	#length = 0;

	constructor() {
		this.#links[0] = -1;
		this.#links[1] = -1;
	}

	get length(): number {
		return this.#length;
	}

	/** The first slot, or -1 when empty. */
	first(): number {
		return this.#links[1] as number;
	}

	/** The one after a slot that is in the list, or -1. */
	after(slot: number): number {
		return this.#links[slot * 2 + 3] as number;
	}

	pushFront(slot: number): void {
		this.#insert(-1, slot, this.#links[1] as number);
	}

	pushBack(slot: number): void {
		this.#insert(this.#links[0] as number, slot, -1);
	}

	/** Takes a slot that is in the list out of it. */
	remove(slot: number): void {
		const links = this.#links;
		const previous = links[slot * 2 + 2] as number;
		const next = links[slot * 2 + 3] as number;
		links[previous * 2 + 3] = next;
		links[next * 2 + 2] = previous;
		this.#length--;
	}

	*[Symbol.iterator](): Iterator<number> {
		for (let at = this.first(); at !== -1; at = this.after(at)) yield at;
	}

	#insert(previous: number, slot: number, next: number): void {
		if (slot * 2 + 4 > this.#links.length) this.#grow(slot);
		const links = this.#links;
		links[previous * 2 + 3] = slot;
		links[slot * 2 + 2] = previous;
		links[slot * 2 + 3] = next;
		links[next * 2 + 2] = slot;
		this.#length++;
	}

	#grow(slot: number): void {
		const wider = new Int32Array(Math.max(slot * 2 + 4, this.#links.length * 2));
		wider.set(this.#links);
		this.#links = wider;
	}
}
