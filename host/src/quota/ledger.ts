// Owns the account of one tenant in replicated state: a bucket for each limited quantity, and who holds how many places of its concurrency. Pure: an
// account and what a router wants make the next account and what it is given. What is given was taken out of the account first, so that all routers
// together never spend more than the buckets held, also when one of them is cut off with what it has. Time is the wall clock of whoever writes; it
// only ever moves an account forward, so a clock that is behind gives nothing twice.
import type { QuotaAccount } from '../records/kinds.js';
import { type QuotaDimension, quotaDimensions } from '../router/admission/quota-board.js';
import type { RateLimit, TenantLimits } from './limits.js';

/** What a router wants, or gives back where negative. */
export interface Want {
	readonly rates: ReadonlyMap<QuotaDimension, number>;
	/** Places it wants in all, those it has included. */
	readonly slots: number;
}

export interface Given {
	/** As wanted, or less; what was given back is negative. */
	readonly rates: ReadonlyMap<QuotaDimension, number>;
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
		const level = levelAt(account?.buckets[dimension], limit, nowMs);
		const asked = want.rates.get(dimension) ?? 0;
		const granted = asked <= 0 ? asked : Math.min(asked, Math.floor(level));
		const left = Math.min(limit.burst, level - granted);
		rates.set(dimension, granted);
		buckets[dimension] = { level: left, atMs: Math.max(nowMs, account?.buckets[dimension]?.atMs ?? 0) };
		if (granted < asked) readyInMs.set(dimension, limit.perMs === 0 ? Number.POSITIVE_INFINITY : missing(left, limit));
	}
	const { held, slots } = places(account, limits, want.slots, router, nowMs, untilMs);
	return { account: { buckets, held }, given: { rates, slots, readyInMs } };
}

/** What a bucket holds now; a new one is full. */
export function levelAt(bucket: QuotaAccount['buckets'][QuotaDimension], limit: RateLimit, nowMs: number): number {
	if (bucket === undefined) return limit.burst;
	return Math.min(limit.burst, bucket.level + Math.max(0, nowMs - bucket.atMs) * limit.perMs);
}

/** Until one more is there. */
function missing(level: number, { perMs }: RateLimit): number {
	return Math.max(0, 1 - level) / perMs;
}

function places(
	account: QuotaAccount | undefined,
	{ concurrency }: TenantLimits,
	wanted: number,
	router: string,
	nowMs: number,
	untilMs: number,
): { readonly held: QuotaAccount['held']; readonly slots: number } {
	if (concurrency === undefined) return { held: {}, slots: 0 };
	const others = Object.entries(account?.held ?? {}).filter(
		([holder, place]) => holder !== router && place.untilMs > nowMs,
	);
	const taken = others.reduce((sum, [, place]) => sum + place.slots, 0);
	const free = Math.max(0, concurrency - taken);
	const slots = others.length >= HOLDERS_MAX ? 0 : Math.min(wanted, free);
	return {
		held: Object.fromEntries(slots === 0 ? others : [...others, [router, { slots, untilMs }]]),
		slots,
	};
}
