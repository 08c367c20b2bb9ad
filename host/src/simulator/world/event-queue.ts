// Owns simulated time: what is to happen, in the order (time, class, order of asking). Time is in whole microseconds and never goes back. One binary heap; an
// event that was cancelled stays in it until its time and is then passed over.

/** At one instant what is of a lower class happens first. */
export const EventClass = {
	fault: 0,
	engine: 1,
	wire: 2,
	signal: 3,
	timer: 4,
	arrival: 5,
} as const;
export type EventClassValue = (typeof EventClass)[keyof typeof EventClass];

export interface SimEvent {
	readonly atUs: number;
	readonly order: number;
	fn: (() => void) | undefined;
}

/** Classes are the leading digits of an event's order. */
const CLASS_STEP = 2 ** 48;

export class EventQueue {
	/** The time of the event that runs. */
	nowUs = 0;
	/** Events that have run. */
	ran = 0;
	readonly #heap: SimEvent[] = [];
	#asked = 0;

	/** Events waiting, cancelled ones included. */
	get size(): number {
		return this.#heap.length;
	}

	/** `atUs` is a whole number and not in the past. */
	at(atUs: number, eventClass: EventClassValue, fn: () => void): SimEvent {
		if (!(atUs >= this.nowUs)) throw new RangeError(`an event at ${atUs} us, asked for at ${this.nowUs} us`);
		const event: SimEvent = { atUs, order: eventClass * CLASS_STEP + this.#asked++, fn };
		const heap = this.#heap;
		let at = heap.length;
		heap.push(event);
		while (at > 0) {
			const parent = (at - 1) >> 1;
			const above = heap[parent] as SimEvent;
			if (!isBefore(event, above)) break;
			heap[at] = above;
			at = parent;
		}
		heap[at] = event;
		return event;
	}

	/** Runs the next event; false when there is none. */
	step(): boolean {
		for (let next = this.#take(); next !== undefined; next = this.#take()) {
			const { fn } = next;
			if (fn === undefined) continue;
			this.nowUs = next.atUs;
			this.ran++;
			next.fn = undefined;
			fn();
			return true;
		}
		return false;
	}

	#take(): SimEvent | undefined {
		const heap = this.#heap;
		const first = heap[0];
		const last = heap.pop();
		if (first === undefined || last === undefined || heap.length === 0) return first;
		let at = 0;
		for (;;) {
			let child = at * 2 + 1;
			if (child >= heap.length) break;
			if (child + 1 < heap.length && isBefore(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++;
			const below = heap[child] as SimEvent;
			if (!isBefore(below, last)) break;
			heap[at] = below;
			at = child;
		}
		heap[at] = last;
		return first;
	}
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
	return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}
