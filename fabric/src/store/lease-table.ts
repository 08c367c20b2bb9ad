// Owns leases as the state knows them: their time to live, how often they were renewed, and the keys that end with them. Time itself is not
// here: the leader's LeaseClock decides when one is over and says so through the log.
import type { LeaseId } from '../consensus/engine.js';

export interface LeaseState {
	readonly id: LeaseId;
	readonly ttlMs: number;
	/** Counts renewals, so that an expiry decided before a renewal does not end the lease after it. */
	renewals: number;
	readonly keys: Set<string>;
}

export class LeaseTable {
	readonly #leases = new Map<LeaseId, LeaseState>();
	/** Number of the last lease granted. */
	sequence = 0;
	#lengthened = 0;

	/** Leases that have been given time: how often, in all. */
	get lengthened(): number {
		return this.#lengthened;
	}

	get size(): number {
		return this.#leases.size;
	}

	get(id: LeaseId): LeaseState | undefined {
		return this.#leases.get(id);
	}

	all(): IterableIterator<LeaseState> {
		return this.#leases.values();
	}

	grant(ttlMs: number): LeaseState {
		this.sequence++;
		return this.load(this.sequence.toString(16).padStart(16, '0'), ttlMs, 0);
	}

	load(id: LeaseId, ttlMs: number, renewals: number): LeaseState {
		const lease: LeaseState = { id, ttlMs, renewals, keys: new Set() };
		this.#leases.set(id, lease);
		this.#lengthened++;
		return lease;
	}

	/** Its time to live; 0 when it has ended. */
	renew(id: LeaseId): number {
		const lease = this.#leases.get(id);
		if (lease === undefined) return 0;
		lease.renewals++;
		this.#lengthened++;
		return lease.ttlMs;
	}

	remove(id: LeaseId): void {
		this.#leases.delete(id);
	}

	attach(id: LeaseId | undefined, key: string): void {
		if (id !== undefined) this.#leases.get(id)?.keys.add(key);
	}

	detach(id: LeaseId | undefined, key: string): void {
		if (id !== undefined) this.#leases.get(id)?.keys.delete(key);
	}
}
