// Owns when leases are over: deadlines by the leader's monotonic clock, given as an argument. Only the leader asks; a new one gives every lease
// its whole time again, so a lease is never ended early. An expiry goes through the log with the count of renewals seen, and one that was
// renewed in between is not ended.
import type { Store, StoredLease } from './store.js';

/** Ended leases proposed at once. */
const expiriesPerRound = 256;
/** An expiry that has not been applied by then is proposed again. */
const proposeAgainMs = 2_000;

interface Deadline {
	renewals: number;
	atMs: number;
}

export class LeaseClock {
	readonly #store: Store;
	readonly #deadlines = new Map<string, Deadline>();
	#leading = false;
	#restores = 0;

	constructor(store: Store) {
		this.#store = store;
	}

	/**
	 * Looks at the clock. Answers leases to propose as expired, at most `expiriesPerRound`. `leads` is whether this member leads and has applied
	 * all of earlier terms; while it does not, nothing expires. Called a few times a second: cost grows with the number of leases.
	 */
	due(nowMs: number, leads: boolean): readonly StoredLease[] {
		if (!leads) {
			this.#leading = false;
			this.#deadlines.clear();
			return [];
		}
		if (!this.#leading || this.#restores !== this.#store.restores) this.#deadlines.clear();
		this.#leading = true;
		this.#restores = this.#store.restores;
		const over: StoredLease[] = [];
		for (const lease of this.#store.leases()) {
			const deadline = this.#deadlines.get(lease.id);
			if (deadline === undefined || deadline.renewals !== lease.renewals)
				this.#deadlines.set(lease.id, { renewals: lease.renewals, atMs: nowMs + lease.ttlMs });
			else if (deadline.atMs <= nowMs && over.length < expiriesPerRound) {
				over.push({ id: lease.id, ttlMs: lease.ttlMs, renewals: lease.renewals });
				deadline.atMs = nowMs + proposeAgainMs;
			}
		}
		this.#forgetEnded();
		return over;
	}

	#forgetEnded(): void {
		for (const id of this.#deadlines.keys()) if (this.#store.lease(id) === undefined) this.#deadlines.delete(id);
	}
}
