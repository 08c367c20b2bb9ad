// Owns the bounds of admission and their defaults.

export interface AdmissionOptions {
	/** Off: nobody waits here for room, and what targets take is theirs to say. Quotas hold in any case. */
	readonly enabled: boolean;
	/** Requests of this worker that wait for room at a target. */
	readonly requestsMax: number;
	/** Bytes of their bodies. */
	readonly bytesMax: number;
	/** Part of both bounds that each band may fill, most urgent first. */
	readonly bandShares: readonly number[];
	/** Part of `requestsMax` that one tenant may fill in a band of one pool. */
	readonly tenantShare: number;
	readonly waitMaxMs: number;
	/** A band counts as starved when its oldest request has waited so long, for each band above it. */
	readonly agedMs: number;
	/** Of so many requests served, one is of a starved band. */
	readonly agedEvery: number;
	/** When a request that names no objective should be served by: its place among those that do. */
	readonly dueMs: number;
	/** Service of one output token, in prompt tokens. */
	readonly outputWeight: number;
	/** Requests a strategy may hold per pool before others wait in fair order for being asked about. */
	readonly strategyWindow: number;
	/** While something waits, room that others have made is looked for this often. */
	readonly lookMs: number;
	/** What has changed here is told to the other queues of the mesh this often. */
	readonly tellMs: number;
	/** A tenant that is ahead of others in the mesh is given room at a target only while there is room for so many more. */
	readonly aheadGap: number;
	/** A request that is less urgent than others in the mesh, likewise. */
	readonly outrankedGap: number;
	/** A request waits so long for its tenant's quota to be leased. */
	readonly leaseWaitMs: number;
}

export const admissionDefaults: AdmissionOptions = {
	enabled: true,
	requestsMax: 1024,
	bytesMax: 128 * 1024 * 1024,
	bandShares: [1, 0.95, 0.9, 0.5],
	tenantShare: 0.5,
	waitMaxMs: 30_000,
	agedMs: 2000,
	agedEvery: 8,
	dueMs: 10_000,
	outputWeight: 2,
	strategyWindow: 64,
	lookMs: 10,
	tellMs: 10,
	aheadGap: 2,
	outrankedGap: 4,
	leaseWaitMs: 500,
};

/** Names of the bands, most urgent first. */
export const bands = ['critical', 'high', 'normal', 'low'] as const;

const CRITICAL_FROM = 100;

/** The band of a priority as callers give it: 0 is normal, more is more urgent. */
export function bandOf(priority: number): number {
	if (priority >= CRITICAL_FROM) return 0;
	if (priority > 0) return 1;
	return priority === 0 ? 2 : 3;
}
