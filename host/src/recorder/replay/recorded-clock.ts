// Owns the time of a recording: it moves to where the events say, and fires what was due on the way.
import type { Clock, Timer } from '@infermesh/proto';

/** Timers at once: what state keepers of one replay may wait for. */
const TIMERS_MAX = 65_536;

interface Due {
	atMs: number;
	readonly periodMs: number | undefined;
	readonly fn: () => void;
}

export class RecordedClock implements Clock {
	#nowMs = 0;
	readonly #due = new Set<Due>();

	nowMs(): number {
		return this.#nowMs;
	}

	wallMs(): number {
		return this.#nowMs;
	}

	after(delayMs: number, fn: () => void): Timer {
		return this.#add({ atMs: this.#nowMs + delayMs, periodMs: undefined, fn });
	}

	every(periodMs: number, fn: () => void): Timer {
		return this.#add({ atMs: this.#nowMs + periodMs, periodMs, fn });
	}

	/** Moves on to `wallMs`; a time before the present one is the present one. */
	advanceTo(wallMs: number): void {
		if (!Number.isFinite(wallMs) || wallMs <= this.#nowMs) return;
		// What repeats fires once for a stretch, however long: a recording may have a gap of days.
		const first = this.#nowMs === 0;
		this.#nowMs = wallMs;
		for (const due of this.#due) {
			if (due.atMs > wallMs) continue;
			if (due.periodMs === undefined) this.#due.delete(due);
			else due.atMs = wallMs + due.periodMs;
			if (!first || due.periodMs === undefined) due.fn();
		}
	}

	#add(due: Due): Timer {
		if (this.#due.size >= TIMERS_MAX) throw new RangeError('too many timers in a replay');
		this.#due.add(due);
		return { cancel: () => this.#due.delete(due) };
	}
}
