// Owns virtual time: what is to happen, in the order in which it is due; at one instant, in the order in which it was asked for.
interface Due {
	readonly atMs: number;
	readonly order: number;
	readonly fn: () => void;
}

const before = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export class EventHeap {
	/** The time of the event that runs. */
	nowMs = 0;
	readonly #heap: Due[] = [];
	#order = 0;

	at(atMs: number, fn: () => void): void {
		const due: Due = { atMs, order: this.#order++, fn };
		const heap = this.#heap;
		let at = heap.push(due) - 1;
		while (at > 0) {
			const parent = (at - 1) >> 1;
			if (!before(due, heap[parent] as Due)) break;
			heap[at] = heap[parent] as Due;
			at = parent;
		}
		heap[at] = due;
	}

	/** Runs the next event; false when there is none. */
	step(): boolean {
		const next = this.#take();
		if (next === undefined) return false;
		this.nowMs = next.atMs;
		next.fn();
		return true;
	}

	#take(): Due | undefined {
		const heap = this.#heap;
		const first = heap[0];
		const last = heap.pop();
		if (first === undefined || last === undefined || heap.length === 0) return first;
		let at = 0;
		for (;;) {
			let child = at * 2 + 1;
			if (child >= heap.length) break;
			if (child + 1 < heap.length && before(heap[child + 1] as Due, heap[child] as Due)) child++;
			if (!before(heap[child] as Due, last)) break;
			heap[at] = heap[child] as Due;
			at = child;
		}
		heap[at] = last;
		return first;
	}
}
