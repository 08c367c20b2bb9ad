// Owns the account of one tenant in replicated state: a bucket for each limited quantity, and who holds how many places of its concurrency. Pure: an
// account and what a router wants make the next account and what it is given. What is given was taken out of the account first, so that all routers
// together never spend more than the buckets held, also when one of them is cut off with what it has. Time is the wall clock of whoever writes; it
// only ever moves an account forward, so a clock that is behind gives nothing twice. Where there is too little for all, shares.ts says whose it is.
import type { QuotaAccount } from '../records/kinds.js';
import { type QuotaDimension, quotaDimensions } from '../router/admission/quota-board.js';
import type { RateLimit, TenantLimits } from './limits.js';
import { entitled, type Places, partOf, taken } from './shares.js';

/** What a router wants, or gives back where negative. */
export interface Want {
	readonly rates: ReadonlyMap<QuotaDimension, number>;
	/** What is asked of it of late, in units a millisecond; absent = nothing. */
	readonly perMs?: ReadonlyMap<QuotaDimension, number>;
	/** Places it wants in all, those it has included. */
	readonly slots: number;
	/** Places in use, which it cannot give back. */
	readonly inUse?: number;
}

export interface Given {
	/** As wanted, or less; what was given back is negative. */
	readonly rates: ReadonlyMap<QuotaDimension, number>;
	/** Places that may be taken; with fewer than are in use none is, until some are free. */
	readonly slots: number;
	/** When a dimension that fell short has something again, milliseconds from now. */
	readonly readyInMs: ReadonlyMap<QuotaDimension, number>;
}

export interface Moved {
	readonly account: QuotaAccount;
	readonly given: Given;
}

/** Routers that hold places, at most; more would make an account no single record holds well. */
const HOLDERS_MAX = 1024;

/** `untilMs`: until when the places are the router's, on the wall clock. */
export function move(
	account: QuotaAccount | undefined,
	limits: TenantLimits,
	want: Want,
	router: string,
	nowMs: number,
	untilMs: number,
): Moved {
	const rates = new Map<QuotaDimension, number>();
	const readyInMs = new Map<QuotaDimension, number>();
	const buckets: QuotaAccount['buckets'] = {};
	for (const dimension of quotaDimensions) {
		const limit = limits.rates.get(dimension);
		if (limit === undefined) continue;
		const bucket = account?.buckets[dimension];
		const level = levelAt(bucket, limit, nowMs);
		const asked = want.rates.get(dimension) ?? 0;
		const gained = bucket === undefined ? 0 : Math.max(0, level - bucket.level);
		const perMs = want.perMs?.get(dimension) ?? 0;
		const { most, ratio, claims } = partOf(level, gained, bucket?.claims, router, perMs, nowMs, untilMs);
		const granted = asked <= 0 ? asked : Math.min(asked, Math.floor(most));
		const left = Math.min(limit.burst, level - granted);
		rates.set(dimension, granted);
		const after = taken(claims, router, granted);
		buckets[dimension] = {
			level: left,
			atMs: Math.max(nowMs, bucket?.atMs ?? 0),
			...(Object.keys(after).length === 0 ? {} : { claims: after }),
		};
		if (granted < asked)
			readyInMs.set(
				dimension,
				limit.perMs === 0 ? Number.POSITIVE_INFINITY : missing(most - granted, limit.perMs * ratio),
			);
	}
	const { held, slots } = places(account, limits, want, router, nowMs, untilMs);
	return { account: { buckets, held }, given: { rates, slots, readyInMs } };
}

/** What a bucket holds now; a new one is full. */
export function levelAt(bucket: QuotaAccount['buckets'][QuotaDimension], limit: RateLimit, nowMs: number): number {
	if (bucket === undefined) return limit.burst;
	return Math.min(limit.burst, bucket.level + Math.max(0, nowMs - bucket.atMs) * limit.perMs);
}

/** Until one more is there. */
function missing(level: number, perMs: number): number {
	return Math.max(0, 1 - level) / perMs;
}

function places(
	account: QuotaAccount | undefined,
	{ concurrency }: TenantLimits,
	{ slots: wanted, inUse = 0 }: Want,
	router: string,
	nowMs: number,
	untilMs: number,
): { readonly held: QuotaAccount['held']; readonly slots: number } {
	if (concurrency === undefined) return { held: {}, slots: 0 };
	const before = account?.held[router];
	const others: Places = Object.fromEntries(
		Object.entries(account?.held ?? {}).filter(([holder, place]) => holder !== router && place.untilMs > nowMs),
	);
	if (wanted === 0 || Object.keys(others).length >= HOLDERS_MAX) return { held: others, slots: 0 };
	const sinceMs = before !== undefined && before.slots === 0 ? (before.sinceMs ?? nowMs) : nowMs;
	const all: Places = { ...others, [router]: { slots: 0, wanted, sinceMs, untilMs } };
	const due = entitled(concurrency, all);
	// What others hold is theirs, and what they are entitled to is kept for them.
	const kept = Object.entries(others).reduce((sum, [name, { slots }]) => sum + Math.max(slots, due.get(name) ?? 0), 0);
	const slots = Math.min(wanted, Math.max(0, concurrency - kept));
	// What is in use stays counted until it is free, though no new request may take it.
	const counted = Math.max(slots, Math.min(inUse, before !== undefined && before.untilMs > nowMs ? before.slots : 0));
	const own = { slots: counted, untilMs, wanted, ...(counted === 0 ? { sinceMs } : {}) };
	return { held: { ...others, [router]: own }, slots };
}
