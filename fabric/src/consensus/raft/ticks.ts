// Owns the ticking of Raft groups. Groups of one process that share ticks run in one turn of the loop, so that their heartbeats to a peer leave in
// one batch, their answers come back in one, and what they write shares a sync: idle groups cost messages, not packets.
import type { Clock, Timer } from '@infermesh/proto';

export interface Ticks {
	/** Calls `tick` every period until it is cancelled. */
	add(tick: () => void): Timer;
}

/** One timer for any number of groups, which runs while there is one. */
export class SharedTicks implements Ticks {
	readonly #clock: Clock;
	readonly #tickMs: number;
	readonly #members = new Set<() => void>();
	#timer: Timer | undefined;

	/** `tickMs` is that of the groups' settings. */
	constructor(clock: Clock, tickMs: number) {
		this.#clock = clock;
		this.#tickMs = tickMs;
	}

	add(tick: () => void): Timer {
		// A group of its own for each call: the same function may be added twice.
		const member = (): void => tick();
		this.#members.add(member);
		this.#timer ??= this.#clock.every(this.#tickMs, () => {
			this.#tick();
		});
		return {
			cancel: () => {
				this.#members.delete(member);
				if (this.#members.size > 0) return;
				this.#timer?.cancel();
				this.#timer = undefined;
			},
		};
	}

	/** Every group has its tick, whatever becomes of another's; what one threw is a bug, and comes out of the timer as it would have. */
	#tick(): void {
		const failures: unknown[] = [];
		for (const each of this.#members) {
			try {
				each();
			} catch (error) {
				failures.push(error);
			}
		}
		if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures, 'ticks failed');
	}
}
