// Owns the newest report of each origin: bounded, with the age of each, stale after a while and forgotten after a longer one. No value stands for ever
// because nobody reports any more.
import type { Clock } from '@infermesh/proto';

export interface BookOptions {
	/** Origins kept; the one not heard of for longest goes first. */
	readonly originsMax: number;
	readonly staleAfterMs: number;
	readonly forgetAfterMs: number;
}

export interface Latest<T> {
	readonly value: T;
	/** When it was observed, by this node's monotonic clock. */
	readonly observedAtMs: number;
	/** What reports it. */
	readonly adapter: string;
	readonly caller: string;
}

export interface Aged<T> extends Latest<T> {
	readonly ageMs: number;
	readonly stale: boolean;
}

export class LatestBook<T> {
	readonly #options: BookOptions;
	readonly #clock: Clock;
	readonly #latest = new Map<string, Latest<T>>();

	constructor(options: BookOptions, clock: Clock) {
		this.#options = options;
		this.#clock = clock;
	}

	put(key: string, latest: Latest<T>): void {
		this.#latest.delete(key);
		this.#latest.set(key, latest);
		const [oldest] = this.#latest.keys();
		if (this.#latest.size > this.#options.originsMax && oldest !== undefined) this.#latest.delete(oldest);
	}

	/** All that is remembered, in the order in which they last reported. */
	all(): readonly Aged<T>[] {
		const nowMs = this.#clock.nowMs();
		const { staleAfterMs, forgetAfterMs } = this.#options;
		const aged: Aged<T>[] = [];
		for (const [key, latest] of this.#latest) {
			const ageMs = Math.max(0, nowMs - latest.observedAtMs);
			if (ageMs > forgetAfterMs) this.#latest.delete(key);
			else aged.push({ ...latest, ageMs, stale: ageMs > staleAfterMs });
		}
		return aged;
	}
}
