// Owns the keep-alive connections to targets: one undici pool per origin, made on first use, closed when its target goes or nobody has
// used it for a while. Timeouts of requests are the pipeline's own, so undici's are off; only connecting is bounded here.
import type { Clock } from '@infermesh/proto';
import { Pool } from 'undici';
import type { UpstreamOptions } from './options.js';

/** The right to use one pool for one request. */
export interface UpstreamLease {
	readonly pool: Pool;
	usedAtMs: number;
	/** Requests given to the pool and not yet ended. */
	active: number;
}

export class UpstreamPools {
	readonly #options: UpstreamOptions;
	readonly #clock: Clock;
	readonly #entries = new Map<string, UpstreamLease>();

	constructor(options: UpstreamOptions, clock: Clock) {
		this.#options = options;
		this.#clock = clock;
	}

	get size(): number {
		return this.#entries.size;
	}

	/** The pool of an origin; each call is followed by one `release`. Throws undici's InvalidArgumentError for what is no origin. */
	acquire(origin: string): UpstreamLease {
		const lease = this.#entries.get(origin) ?? this.#open(origin);
		lease.active++;
		return lease;
	}

	release(lease: UpstreamLease): void {
		lease.active--;
		lease.usedAtMs = this.#clock.nowMs();
	}

	/** Closes the pools of origins not in `origins`; what is in flight there still ends by itself. */
	retain(origins: ReadonlySet<string>): void {
		for (const origin of this.#entries.keys()) if (!origins.has(origin)) this.#close(origin);
	}

	/** Closes pools that have been idle too long. */
	sweep(nowMs: number): void {
		for (const [origin, entry] of this.#entries)
			if (entry.active <= 0 && nowMs - entry.usedAtMs > this.#options.poolIdleMs) this.#close(origin);
	}

	/** Resets every connection. */
	async destroy(): Promise<void> {
		const pools = [...this.#entries.values()].map((entry) => entry.pool);
		this.#entries.clear();
		await Promise.all(pools.map((pool) => pool.destroy()));
	}

	#open(origin: string): UpstreamLease {
		if (this.#entries.size >= this.#options.poolsMax) this.#closeOldest();
		const pool = new Pool(origin, {
			connections: this.#options.connectionsMax,
			pipelining: 1,
			allowH2: false,
			connectTimeout: this.#options.connectTimeoutMs,
			keepAliveTimeout: this.#options.keepAliveTimeoutMs,
			keepAliveMaxTimeout: this.#options.keepAliveTimeoutMs,
			headersTimeout: 0,
			bodyTimeout: 0,
			maxHeaderSize: this.#options.headerBytesMax,
		});
		const entry: UpstreamLease = { pool, usedAtMs: this.#clock.nowMs(), active: 0 };
		this.#entries.set(origin, entry);
		return entry;
	}

	#closeOldest(): void {
		let oldest: string | undefined;
		let oldestMs = Number.POSITIVE_INFINITY;
		for (const [origin, entry] of this.#entries) {
			if (entry.usedAtMs >= oldestMs) continue;
			oldest = origin;
			oldestMs = entry.usedAtMs;
		}
		if (oldest !== undefined) this.#close(oldest);
	}

	#close(origin: string): void {
		const entry = this.#entries.get(origin);
		this.#entries.delete(origin);
		// A graceful close cannot fail: requests in flight report to their own handlers.
		entry?.pool.close().catch(() => undefined);
	}
}
