// Owns a queue of deadlines: a binary heap of (time, item). An item may be in it several times; whoever pops it looks whether it still means it.

export class DeadlineQueue<T> {
	#heap: { atMs: number; item: T }[] = [];

	get size(): number {
		return this.#heap.length;
	}

	/** Infinity when empty. */
	nextMs(): number {
		return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
	}

	push(atMs: number, item: T): void {
		const heap = this.#heap;
		heap.push({ atMs, item });
		let child = heap.length - 1;
		while (child > 0) {
			const parent = (child - 1) >> 1;
			if ((heap[parent] as { atMs: number }).atMs <= atMs) break;
			this.#swap(child, parent);
			child = parent;
		}
	}

	/** The earliest item due at `nowMs`, removed; undefined when none is. */
	popDue(nowMs: number): T | undefined {
		const first = this.#heap[0];
		if (first === undefined || first.atMs > nowMs) return undefined;
		const last = this.#heap.pop() as { atMs: number; item: T };
		if (this.#heap.length > 0) {
			this.#heap[0] = last;
			this.#sink();
		}
		return first.item;
	}

	/** Moves every deadline by the same span; the order stays. */
	shift(byMs: number): void {
		for (const entry of this.#heap) entry.atMs += byMs;
	}

	#sink(): void {
		const heap = this.#heap;
		let parent = 0;
		for (;;) {
			let least = parent;
			for (const child of [parent * 2 + 1, parent * 2 + 2]) {
				const entry = heap[child];
				if (entry !== undefined && entry.atMs < (heap[least] as { atMs: number }).atMs) least = child;
			}
			if (least === parent) return;
			this.#swap(parent, least);
			parent = least;
		}
	}

	#swap(a: number, b: number): void {
		const heap = this.#heap;
		const held = heap[a] as { atMs: number; item: T };
		heap[a] = heap[b] as { atMs: number; item: T };
		heap[b] = held;
	}
}
