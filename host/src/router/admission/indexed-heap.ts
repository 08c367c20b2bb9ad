// Owns a binary heap whose entries know their place, so that any of them can be moved or taken out in logarithmic time. Ties are the comparison's.

export interface HeapEntry {
	/** Place in the heap; -1 = in none. Written by the heap alone. */
	heapAt: number;
}

export class IndexedHeap<T extends HeapEntry> {
	readonly #entries: T[] = [];
	readonly #before: (a: T, b: T) => boolean;

	/** `before` must be a strict order. */
	constructor(before: (a: T, b: T) => boolean) {
		this.#before = before;
	}

	get size(): number {
		return this.#entries.length;
	}

	get first(): T | undefined {
		return this.#entries[0];
	}

	push(entry: T): void {
		this.#entries.push(entry);
		this.#up(entry, this.#entries.length - 1);
	}

	/** Does nothing for an entry that is not in the heap. */
	remove(entry: T): void {
		const at = entry.heapAt;
		if (at < 0) return;
		const last = this.#entries.pop() as T;
		entry.heapAt = -1;
		if (last === entry) return;
		this.#place(last, at);
		this.moved(last);
	}

	/** To be called when what `before` compares has changed for an entry in the heap. */
	moved(entry: T): void {
		this.#up(entry, entry.heapAt);
		this.#down(entry, entry.heapAt);
	}

	#place(entry: T, at: number): void {
		this.#entries[at] = entry;
		entry.heapAt = at;
	}

	#up(entry: T, from: number): void {
		let at = from;
		while (at > 0) {
			const parent = (at - 1) >> 1;
			const above = this.#entries[parent] as T;
			if (!this.#before(entry, above)) break;
			this.#place(above, at);
			at = parent;
		}
		this.#place(entry, at);
	}

	#down(entry: T, from: number): void {
		let at = from;
		for (;;) {
			let child = at * 2 + 1;
			if (child >= this.#entries.length) break;
			const right = this.#entries[child + 1];
			if (right !== undefined && this.#before(right, this.#entries[child] as T)) child++;
			const below = this.#entries[child] as T;
			if (!this.#before(below, entry)) break;
			this.#place(below, at);
			at = child;
		}
		this.#place(entry, at);
	}
}
