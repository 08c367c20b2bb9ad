// Owns time for tests of the driver: it stands still until it is moved, and everything due happens in order.
import type { Clock, Timer } from '@infermesh/proto';

interface Due {
	readonly atMs: number;
	readonly order: number;
	readonly fn: () => void;
	cancelled: boolean;
}

export class ManualClock implements Clock {
	#now = 0;
	#order = 0;
	#due: Due[] = [];
	/** Timers that have fired. */
	fired = 0;

	nowMs(): number {
		return this.#now;
	}

	wallMs(): number {
		return 1_700_000_000_000 + this.#now;
	}

	after(delayMs: number, fn: () => void): Timer {
		const due: Due = { atMs: this.#now + delayMs, order: this.#order++, fn, cancelled: false };
		this.#due.push(due);
		return { cancel: () => void (due.cancelled = true) };
	}

	every(periodMs: number, fn: () => void): Timer {
		let timer: Timer = { cancel: () => {} };
		let cancelled = false;
		const again = (): void => {
			if (cancelled) return;
			timer = this.after(periodMs, again);
			fn();
		};
		timer = this.after(periodMs, again);
		return {
			cancel: () => {
				cancelled = true;
				timer.cancel();
			},
		};
	}

	/** Lets time pass; promises settle between two moments. */
	async run(ms: number): Promise<void> {
		const end = this.#now + ms;
		for (;;) {
			const next = this.#due
				.filter(({ atMs, cancelled }) => atMs <= end && !cancelled)
				.sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
			if (next === undefined) break;
			this.#due = this.#due.filter((due) => due !== next && !due.cancelled);
			this.#now = Math.max(this.#now, next.atMs);
			this.fired++;
			next.fn();
			await settled();
		}
		this.#now = end;
	}

	/** Lets time pass in which nothing runs: what was due is late. */
	stall(ms: number): void {
		this.#now += ms;
	}

	/** Lets time pass until `done`; throws after `maxMs`. */
	async until(done: () => boolean, maxMs = 30_000): Promise<void> {
		for (let passed = 0; !done(); passed += 5) {
			if (passed >= maxMs) throw new Error(`did not happen within ${maxMs} ms of test time`);
			await this.run(5);
		}
	}
}

/** Lets promises that are ready run; a chain of them takes several rounds. */
async function settled(): Promise<void> {
	for (let round = 0; round < 8; round++) await Promise.resolve();
}
