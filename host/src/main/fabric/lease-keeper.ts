// Owns the lease under which a node's own records lie: granted once there is a quorum, kept alive, and granted anew when it was lost (the node was cut off
// for longer than its time to live). Who has records under it hears of each new one and writes them again.
import type { ConsensusEngine, LeaseId } from '@infermesh/fabric';
import { hasCode } from '@infermesh/fabric';
import type { Clock, Timer } from '@infermesh/proto';

/** Renewals in one time to live: two may be lost. */
const RENEWALS = 3;
const RETRY_MS = 500;

export class LeaseKeeper {
	readonly #engine: ConsensusEngine;
	readonly #clock: Clock;
	readonly #ttlMs: number;
	readonly #failed: (what: string, error: unknown) => void;
	readonly #listeners = new Set<() => void>();
	#id: LeaseId | undefined;
	#timer: Timer | undefined;
	#closed = false;

	constructor(engine: ConsensusEngine, clock: Clock, ttlMs: number, failed: (what: string, error: unknown) => void) {
		this.#engine = engine;
		this.#clock = clock;
		this.#ttlMs = ttlMs;
		this.#failed = failed;
	}

	get id(): LeaseId | undefined {
		return this.#id;
	}

	/** Resolves with the first lease; tries until `stopped`. */
	async start(stopped: () => boolean = () => false): Promise<void> {
		while (this.#id === undefined && !this.#closed && !stopped()) {
			await this.#grant();
			if (this.#id === undefined) await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS, resolve));
		}
	}

	/** Calls back after the lease was lost and another granted. */
	onRenewed(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** Ends the lease, so that the others see at once that this node has gone. */
	async close(): Promise<void> {
		this.#closed = true;
		this.#timer?.cancel();
		if (this.#id === undefined) return;
		try {
			await this.#engine.revokeLease(this.#id);
		} catch {
			// Without a quorum it runs out by itself.
		}
	}

	async #grant(): Promise<void> {
		try {
			const { id } = await this.#engine.grantLease(this.#ttlMs);
			this.#id = id;
			this.#later(this.#ttlMs / RENEWALS);
		} catch (error) {
			this.#failed('asking for a lease', error);
		}
	}

	#later(delayMs: number): void {
		if (!this.#closed) this.#timer = this.#clock.after(delayMs, () => void this.#renew(), { unref: true });
	}

	async #renew(): Promise<void> {
		if (this.#id === undefined || this.#closed) return;
		try {
			await this.#engine.keepAlive(this.#id);
			this.#later(this.#ttlMs / RENEWALS);
		} catch (error) {
			if (!hasCode(error, 'IM_CONSENSUS_LEASE_LOST')) {
				this.#later(RETRY_MS);
				return;
			}
			this.#failed('the lease was lost', error);
			this.#id = undefined;
			await this.start();
			for (const listener of this.#listeners) listener();
		}
	}
}
