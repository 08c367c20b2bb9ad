// Owns how routers share what a tenant's account has too little of. Pure. What comes back to a bucket is put by for the routers that lately asked, in the
// proportion of what they asked for: a busy router gets the larger part, and how often it comes by for it is of no account. A tenth is put by in equal parts, so
// that none starves. What a router has put by and does not fetch is bounded by what it asks for in a lease, and is everybody's once it asks no more.
// Places of a concurrency are shared likewise, whole ones each, the longest without one first where they are fewer than routers.
import type { QuotaAccount } from '../records/kinds.js';

type Bucket = NonNullable<QuotaAccount['buckets'][keyof QuotaAccount['buckets']]>;
export type Claims = NonNullable<Bucket['claims']>;
export type Places = QuotaAccount['held'];

/** Part of what there is that is shared equally, whoever asks for how much. */
const EQUAL_PART = 0.1;
/** Most that is put by for a router: what it asks for in this time. */
const PUT_BY_MS = 2000;
/** Routers that claim a part, at most: more would make an account no single record holds well. */
export const CLAIMS_MAX = 1024;

export interface Part {
	/** Most that the router may take now. */
	readonly most: number;
	/** Its part of what comes back, 0 to 1. */
	readonly ratio: number;
	/** What is claimed, with the router's own claim as it stands now, before anything is taken. */
	readonly claims: Claims;
}

/**
 * The part of `level` that is `router`'s, where `gained` has come back since the claims were written. `perMs`: what it asks for, in units a millisecond; 0 =
 * nothing, and it claims nothing any more.
 */
export function partOf(
	level: number,
	gained: number,
	before: Claims | undefined,
	router: string,
	perMs: number,
	nowMs: number,
	untilMs: number,
): Part {
	const live = Object.entries(before ?? {}).filter(([, claim]) => claim.untilMs > nowMs);
	const weights = weightsOf(live.map(([, claim]) => claim.perMs));
	const grown = live.map(([name, claim], at): [string, Claims[string]] => {
		const most = Math.ceil(claim.perMs * PUT_BY_MS) + 1;
		return [name, { ...claim, credit: Math.min(most, claim.credit + gained * (weights[at] as number)) }];
	});
	const total = grown.reduce((sum, [, { credit }]) => sum + credit, 0);
	// A limit that was lowered, or claims of a version that counts otherwise: no more is put by than there is.
	const scale = total > level ? level / total : 1;
	const claims: Claims = Object.fromEntries(
		grown.map(([name, claim]) => [name, { ...claim, credit: claim.credit * scale }]),
	);
	const free = Math.max(0, level - total * scale);
	const credit = claims[router]?.credit ?? 0;
	delete claims[router];
	const others = Object.values(claims);
	const ratio = weightsOf([perMs, ...others.map((claim) => claim.perMs)])[0] as number;
	if (perMs > 0 && others.length < CLAIMS_MAX) claims[router] = { perMs, credit, untilMs };
	return { most: credit + free, ratio, claims };
}

/** The claims once the router has taken so much: of what was put by for it first. */
export function taken(claims: Claims, router: string, amount: number): Claims {
	const own = claims[router];
	if (own === undefined) return claims;
	return { ...claims, [router]: { ...own, credit: Math.max(0, own.credit - Math.max(0, amount)) } };
}

/** Parts that add up to 1. */
function weightsOf(demands: readonly number[]): readonly number[] {
	const total = demands.reduce((sum, demand) => sum + demand, 0);
	const equal = 1 / Math.max(1, demands.length);
	return demands.map((demand) => (total === 0 ? equal : (1 - EQUAL_PART) * (demand / total) + EQUAL_PART * equal));
}

/**
 * Places each router is entitled to, where they want more than there are; none gets more than it wants, and together they get no more than there are. First
 * one each as far as they go, to those without a place for longest; the rest by what they want, and what rounding leaves over in the same turn.
 */
export function entitled(places: number, routers: Places): ReadonlyMap<string, number> {
	const all = Object.entries(routers).map(([name, { slots, wanted, sinceMs }]) => ({
		name,
		wanted: wanted ?? slots,
		sinceMs: sinceMs ?? Number.POSITIVE_INFINITY,
	}));
	const weights = weightsOf(all.map(({ wanted }) => wanted));
	const byWeight = new Map(all.map(({ name }, at) => [name, weights[at] as number]));
	const given = new Map(all.map(({ name }) => [name, 0]));
	const inTurn = all.toSorted((a, b) => a.sinceMs - b.sinceMs || b.wanted - a.wanted || (a.name < b.name ? -1 : 1));
	let left = places;
	const give = (mostOf: (name: string) => number) => {
		for (const { name, wanted } of inTurn) {
			const had = given.get(name) as number;
			const more = Math.min(mostOf(name), left, wanted - had);
			if (more <= 0) continue;
			given.set(name, had + more);
			left -= more;
		}
	};
	give(() => 1);
	const rest = left;
	give((name) => Math.floor(rest * (byWeight.get(name) as number)));
	give(() => left);
	return given;
}
