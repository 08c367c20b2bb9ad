// Owns the batches of the looking thread: what was seen waits for the others of the next few milliseconds, so that a thousand targets a second cost a
// hundred messages.
import type { Clock } from '@infermesh/proto';
import type { FromLooks } from './protocol.js';

type Entry<K extends keyof FromLooks> = FromLooks[K][number];
type Open = { -readonly [K in keyof FromLooks]: Entry<K>[] };

const empty = (): Open => ({ reports: [], checks: [], scrapes: [], gpus: [] });

export class Outbox {
	readonly #clock: Clock;
	readonly #batchMs: number;
	readonly #post: (batch: FromLooks) => void;
	#open = empty();
	#waiting = false;

	constructor(clock: Clock, batchMs: number, post: (batch: FromLooks) => void) {
		this.#clock = clock;
		this.#batchMs = batchMs;
		this.#post = post;
	}

	add<K extends keyof FromLooks>(kind: K, entry: Entry<K>): void {
		(this.#open[kind] as Entry<K>[]).push(entry);
		if (this.#waiting) return;
		this.#waiting = true;
		this.#clock.after(this.#batchMs, () => this.#flush());
	}

	#flush(): void {
		this.#waiting = false;
		const batch = this.#open;
		this.#open = empty();
		this.#post(batch);
	}
}
