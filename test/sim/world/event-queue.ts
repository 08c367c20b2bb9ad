// Owns the order in which simulated things happen: a binary heap keyed by (time, sequence number), so that two events of one microsecond happen in the
// order they were scheduled. Cancelled events stay until they come up; whoever takes one out asks.
import type { SimHost } from './sim-host.js';

export interface SimEvent {
	/** True time of the world, whole microseconds. */
	readonly atUs: number;
	readonly seq: number;
	/** What kind of thing happens; part of the trace. */
	readonly kind: string;
	/** Where it happens; undefined for the world itself. */
	readonly host: SimHost | undefined;
	/** The life of the host it belongs to; -1 when any life will do. */
	readonly life: number;
	/** 32 bits that tell this event's content apart, for the trace. */
	readonly digest: number;
	readonly run: () => void;
	cancelled: boolean;
}

function before(a: SimEvent, b: SimEvent): boolean {
	return a.atUs < b.atUs || (a.atUs === b.atUs && a.seq < b.seq);
}

export class EventQueue {
	readonly #heap: SimEvent[] = [];

	get length(): number {
		return this.#heap.length;
	}

	peek(): SimEvent | undefined {
		return this.#heap[0];
	}

	push(event: SimEvent): void {
		const heap = this.#heap;
		let at = heap.length;
		heap.push(event);
		while (at > 0) {
			const parentAt = (at - 1) >> 1;
			const parent = heap[parentAt] as SimEvent;
			if (!before(event, parent)) break;
			heap[at] = parent;
			at = parentAt;
		}
		heap[at] = event;
	}

	pop(): SimEvent | undefined {
		const heap = this.#heap;
		const top = heap[0];
		const last = heap.pop();
		if (top === undefined || last === undefined || heap.length === 0) return top;
		let at = 0;
		const { length } = heap;
		for (;;) {
			let child = 2 * at + 1;
			if (child >= length) break;
			if (child + 1 < length && before(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++;
			const below = heap[child] as SimEvent;
			if (!before(below, last)) break;
			heap[at] = below;
			at = child;
		}
		heap[at] = last;
		return top;
	}
}
