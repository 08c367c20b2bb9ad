// Owns the clock that production code sees inside a simulation: milliseconds with a fraction over the queue's microseconds. Wall time and monotonic time are one.
import type { Clock, Timer } from '@infermesh/proto';
import { EventClass, type EventQueue } from './event-queue.js';

/** The mesh clock at the start of a simulation: ages up to a quarter of an hour stay positive. */
export const START_MS = 1_000_000;

export class SimClock implements Clock {
	readonly #queue: EventQueue;

	constructor(queue: EventQueue) {
		this.#queue = queue;
	}

	nowMs(): number {
		return START_MS + this.#queue.nowUs / 1000;
	}

	wallMs(): number {
		return this.nowMs();
	}

	/** Runs `fn` after `delayMs`, to the next microsecond. */
	after(delayMs: number, fn: () => void): Timer {
		const event = this.#queue.at(this.#queue.nowUs + toUs(delayMs), EventClass.timer, fn);
		return {
			cancel: () => {
				event.fn = undefined;
			},
		};
	}

	every(periodMs: number, fn: () => void): Timer {
		let next: Timer;
		const turn = (): void => {
			next = this.after(periodMs, turn);
			fn();
		};
		next = this.after(periodMs, turn);
		return { cancel: () => next.cancel() };
	}
}

/** Whole microseconds, never fewer than none. */
export function toUs(ms: number): number {
	return Math.max(0, Math.round(ms * 1000));
}
