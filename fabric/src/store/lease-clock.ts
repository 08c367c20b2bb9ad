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
	#lengthened = 0;
	#nextMs = Number.POSITIVE_INFINITY;

	constructor(store: Store) {
		this.#store = store;
	}

	/**
	 * Looks at the clock. Answers leases to propose as expired, at most `expiriesPerRound`. `leads` is whether this member leads and has applied
	 * all of earlier terms; while it does not, nothing expires. Cost grows with the number of leases: called when `nextMs` has come, and soon after `stale`.
	 */
	due(nowMs: number, leads: boolean): readonly StoredLease[] {
		this.#lengthened = this.#store.leasesLengthened;
		this.#nextMs = Number.POSITIVE_INFINITY;
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
			let deadline = this.#deadlines.get(lease.id);
			if (deadline === undefined || deadline.renewals !== lease.renewals) {
				deadline = { renewals: lease.renewals, atMs: nowMs + lease.ttlMs };
				this.#deadlines.set(lease.id, deadline);
			} else if (deadline.atMs <= nowMs && over.length < expiriesPerRound) {
				over.push({ id: lease.id, ttlMs: lease.ttlMs, renewals: lease.renewals });
				deadline.atMs = nowMs + proposeAgainMs;
			}
			this.#nextMs = Math.min(this.#nextMs, deadline.atMs);
		}
		this.#forgetEnded();
		return over;
	}

	/** When the first of the deadlines known is over. */
	get nextMs(): number {
		return this.#nextMs;
	}

	/** Whether leases have been given time since the last look, or `leads` is another: their deadlines count from the next one. */
	stale(leads: boolean): boolean {
		const { leasesLengthened, restores } = this.#store;
		return leads !== this.#leading || (leads && (leasesLengthened !== this.#lengthened || restores !== this.#restores));
	}

	#forgetEnded(): void {
		for (const id of this.#deadlines.keys()) if (this.#store.lease(id) === undefined) this.#deadlines.delete(id);
	}
}
