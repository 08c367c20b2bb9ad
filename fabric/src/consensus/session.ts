// Owns a lease that is kept, and the certainty of its holder: by the holder's own monotonic clock a session is lost before the cluster could give
// what it protects to another, also when the process was stopped or cut off meanwhile. Lost once is lost for good.
import type { Clock, Timer } from '@infermesh/proto';
import type { ConsensusEngine, LeaseId } from './engine.js';
import { hasCode } from './errors.js';

/** Part of the time to live kept back for clocks that run at different speeds. */
const driftShare = 0.1;
/** Renewals in one time to live. */
const renewalsPerTtl = 4;
const retryMinMs = 50;

export interface SessionOptions {
	readonly engine: ConsensusEngine;
	readonly clock: Clock;
	readonly ttlMs: number;
}

export class Session {
	readonly id: LeaseId;
	readonly ttlMs: number;
	readonly #engine: ConsensusEngine;
	readonly #clock: Clock;
	readonly #listeners = new Set<() => void>();
	#deadlineMs: number;
	#lost = false;
	#closed = false;
	#renewal: Timer | undefined;
	#end: Timer | undefined;

	/** Grants a lease and keeps it. Rejects as `grantLease` does. */
	static async open({ engine, clock, ttlMs }: SessionOptions): Promise<Session> {
		const askedMs = clock.nowMs();
		const lease = await engine.grantLease(ttlMs);
		return new Session(engine, clock, lease.id, lease.ttlMs, askedMs);
	}

	private constructor(engine: ConsensusEngine, clock: Clock, id: LeaseId, ttlMs: number, askedMs: number) {
		this.#engine = engine;
		this.#clock = clock;
		this.id = id;
		this.ttlMs = ttlMs;
		this.#deadlineMs = this.#deadlineOf(askedMs, ttlMs);
		this.#watchDeadline();
		this.#renewLater(ttlMs / renewalsPerTtl);
	}

	/** Whether the lease is certainly still held. Looks at the clock, so it is right also before any timer had a chance to fire. */
	get alive(): boolean {
		if (!this.#lost && this.#clock.nowMs() >= this.#deadlineMs) this.#lose();
		return !this.#lost;
	}

	/** Milliseconds for which the lease is certainly held from now on; 0 when it is lost. */
	get certainMs(): number {
		return this.alive ? this.#deadlineMs - this.#clock.nowMs() : 0;
	}

	/** Calls `lost` once when the session is lost or closed, at once if it is. Answers how to stop listening. */
	onLost(lost: () => void): () => void {
		if (!this.alive) lost();
		else this.#listeners.add(lost);
		return () => void this.#listeners.delete(lost);
	}

	/** Ends the lease and deletes its keys. The session counts as lost from the call on; a lease that cannot be ended expires. */
	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		this.#lose();
		await this.#engine.revokeLease(this.id);
	}

	#deadlineOf(askedMs: number, ttlMs: number): number {
		return askedMs + ttlMs * (1 - driftShare);
	}

	#watchDeadline(): void {
		this.#end?.cancel();
		const leftMs = Math.max(0, this.#deadlineMs - this.#clock.nowMs());
		const look = (): void => {
			if (this.alive) this.#watchDeadline();
		};
		this.#end = this.#clock.after(leftMs, look, { unref: true });
	}

	#renewLater(delayMs: number): void {
		this.#renewal = this.#clock.after(delayMs, () => void this.#renew(), { unref: true });
	}

	async #renew(): Promise<void> {
		if (!this.alive) return;
		const askedMs = this.#clock.nowMs();
		try {
			const ttlMs = await this.#engine.keepAlive(this.id);
			// An answer that comes after the deadline does not bring back what was lost meanwhile.
			if (!this.alive) return;
			this.#deadlineMs = Math.max(this.#deadlineMs, this.#deadlineOf(askedMs, Math.min(ttlMs, this.ttlMs)));
			this.#watchDeadline();
			this.#renewLater(this.ttlMs / renewalsPerTtl);
		} catch (error) {
			if (hasCode(error, 'IM_CONSENSUS_LEASE_LOST')) this.#lose();
			else if (this.alive) this.#renewLater(Math.max(retryMinMs, this.ttlMs / renewalsPerTtl / 4));
		}
	}

	#lose(): void {
		if (this.#lost) return;
		this.#lost = true;
		this.#renewal?.cancel();
		this.#end?.cancel();
		for (const lost of this.#listeners) lost();
		this.#listeners.clear();
	}
}
