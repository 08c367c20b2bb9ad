// Owns what the tests of this room and of the strategy runtime share: a clock turned by hand, and threads that run a piece of code. Test support
// only; nothing in production imports it.
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '@infermesh/proto';

/** A clock that moves when told, and fires timers in the order they are due. */
export class HandClock implements Clock {
	#nowMs: number;
	#timers: { atMs: number; readonly periodMs: number | undefined; readonly fn: () => void }[] = [];

	constructor(nowMs = 1_000_000) {
		this.#nowMs = nowMs;
	}

	nowMs(): number {
		return this.#nowMs;
	}

	wallMs(): number {
		return this.#nowMs;
	}

	/** Timers waiting. */
	get timers(): number {
		return this.#timers.length;
	}

	after(delayMs: number, fn: () => void): Timer {
		return this.#add(delayMs, undefined, fn);
	}

	every(periodMs: number, fn: () => void): Timer {
		return this.#add(periodMs, periodMs, fn);
	}

	#add(delayMs: number, periodMs: number | undefined, fn: () => void): Timer {
		const timer = { atMs: this.#nowMs + delayMs, periodMs, fn };
		this.#timers.push(timer);
		return {
			cancel: () => {
				this.#timers = this.#timers.filter((other) => other !== timer);
			},
		};
	}

	/** Time passes; each timer fires at its own instant. */
	advance(ms: number): void {
		const untilMs = this.#nowMs + ms;
		for (;;) {
			const due = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
			if (due === undefined) break;
			this.#nowMs = Math.max(this.#nowMs, due.atMs);
			if (due.periodMs === undefined) this.#timers = this.#timers.filter((other) => other !== due);
			else due.atMs += due.periodMs;
			due.fn();
		}
		this.#nowMs = untilMs;
	}
}

/**
 * Runs an ES module text in a thread until it ends; `data` is its `workerData`. What it posts is collected. Imports in the text must be
 * absolute: see `import.meta.resolve`.
 */
export function runThread<T>(text: string, data: unknown): Promise<T[]> {
	return new Promise((resolve, reject) => {
		const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(text)}`), { workerData: data });
		const posted: T[] = [];
		thread.on('message', (message: T) => posted.push(message));
		thread.once('error', reject);
		thread.once('exit', () => resolve(posted));
	});
}
