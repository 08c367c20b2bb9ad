// Owns how many requests a target is given at once: by this router, and by all routers of the mesh together; two numbers a row in shared memory, written by
// the agent with each report of the runtime, read by the workers. An engine's own queue is kept short, so that what waits does so at the router, where it can still be ordered, refused or sent elsewhere. Where
// an engine does not say how many it runs at once, that is learned from when its queue builds up; one that says nothing at all is never full.

import { REQUESTS } from '../../fleet/inflight.js';

export interface TargetLimitsShared {
	readonly rowsMax: number;
	/** Limits are set by hand: they are those of all routers together, and are not gone beyond. */
	readonly byHand: boolean;
	readonly buffer: SharedArrayBuffer;
}

export interface LimitOptions {
	/** Requests that may wait inside an engine. */
	readonly queueMax: number;
	/** Requests at a target at once, from all routers together, whatever it reports; 0 = as learned. */
	readonly requestsMax: number;
}

/** A target as its runtime has last reported, and as this router sees it. */
export interface TargetReport {
	readonly waiting: number;
	readonly running: number;
	/** Most sequences it runs at once; 0 = not known. */
	readonly sequencesMax: number;
	/** Requests this router has there. */
	readonly own: number;
}

/** What is in flight at a target, as shared counters have it. */
export interface RequestsAt {
	readonly own: (counter: number, row: number) => number;
	readonly total: (counter: number, row: number) => number;
}

export function createTargetLimits(rowsMax: number, byHand = false): TargetLimitsShared {
	return { rowsMax, byHand, buffer: new SharedArrayBuffer(rowsMax * 2 * 4) };
}

export class TargetLimits {
	readonly byHand: boolean;
	readonly rowsMax: number;
	readonly #limits: Int32Array;
	readonly #ofMesh: Int32Array;

	constructor({ buffer, byHand, rowsMax }: TargetLimitsShared) {
		this.byHand = byHand;
		this.rowsMax = rowsMax;
		this.#limits = new Int32Array(buffer, 0, rowsMax);
		this.#ofMesh = new Int32Array(buffer, rowsMax * 4, rowsMax);
	}

	/** Of this router; 0 = no limit. */
	limit(row: number): number {
		return Atomics.load(this.#limits, row);
	}

	set(row: number, limit: number): void {
		Atomics.store(this.#limits, row, limit);
	}

	/** Of all routers together; 0 = not known. */
	ofMesh(row: number): number {
		return Atomics.load(this.#ofMesh, row);
	}

	/** Whether the target takes one more of this router's, whatever others have waiting. */
	hasRoom(row: number, requests: RequestsAt): boolean {
		const limit = this.limit(row);
		return limit === 0 || (this.byHand ? requests.total(REQUESTS, row) : requests.own(REQUESTS, row)) < limit;
	}

	/** Requests that all routers together may still send there; undefined = not known. */
	room(row: number, requests: RequestsAt): number | undefined {
		const limit = this.ofMesh(row);
		return limit === 0 ? undefined : limit - requests.total(REQUESTS, row);
	}

	setOfMesh(row: number, limit: number): void {
		Atomics.store(this.#ofMesh, row, limit);
	}
}

/** A limit that holds things up is raised by this share with each report that shows no queue. */
const GROWTH = 0.1;
/** A limit holds things up from here on. */
const BINDING = 0.9;

/**
 * The limit after a report; 0 = none. Too long a queue takes off what is too much of it, as far as it is this router's: several routers share the cut.
 */
export function nextLimit(before: number, report: TargetReport, { queueMax, requestsMax }: LimitOptions): number {
	if (requestsMax > 0) return requestsMax;
	const { waiting, running, sequencesMax, own } = report;
	const most = sequencesMax > 0 ? sequencesMax + queueMax : Number.POSITIVE_INFINITY;
	let next = before === 0 ? Number.POSITIVE_INFINITY : before;
	if (waiting > queueMax) {
		const share = own / Math.max(1, own, waiting + running);
		next = Math.min(next, Math.max(1, Math.round(own - (waiting - queueMax) * share)));
	} else if (waiting <= queueMax / 2 && own >= before * BINDING) next += Math.max(1, Math.ceil(before * GROWTH));
	next = Math.min(next, most);
	return Number.isFinite(next) ? next : 0;
}
