// Owns what quota policies mean together: per tenant the tightest of each limit, its weight and its priority. Pure.
import type { Quota } from '../records/kinds.js';
import { type QuotaDimension, quotaDimensions } from '../router/admission/quota-board.js';

export interface RateLimit {
	/** Most that can be spent at once. */
	readonly burst: number;
	readonly perMs: number;
}

export interface TenantLimits {
	readonly tenant: string;
	readonly rates: ReadonlyMap<QuotaDimension, RateLimit>;
	/** Undefined = not limited. */
	readonly concurrency: number | undefined;
	readonly weight: number;
	readonly priority: number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;

/** A bucket holds one window's worth: what a limit says of a minute may be spent at once, and comes back over a minute. */
function rateOf(dimension: QuotaDimension, limit: number): RateLimit {
	return { burst: limit, perMs: limit / (dimension === 'requestsPerSecond' ? SECOND_MS : MINUTE_MS) };
}

/** By tenant. Where several policies name one tenant each limit is the least, the weight and the priority are the greatest. */
export function limitsOf(quotas: readonly Quota[]): ReadonlyMap<string, TenantLimits> {
	const byTenant = new Map<string, Quota[]>();
	for (const quota of quotas) byTenant.set(quota.tenant, [...(byTenant.get(quota.tenant) ?? []), quota]);
	return new Map([...byTenant].map(([tenant, own]) => [tenant, together(tenant, own)]));
}

function together(tenant: string, quotas: readonly Quota[]): TenantLimits {
	const least = (of: (quota: Quota) => number | undefined): number | undefined => {
		const given = quotas.map(of).filter((one) => one !== undefined);
		return given.length === 0 ? undefined : Math.min(...given);
	};
	const rates = new Map<QuotaDimension, RateLimit>();
	for (const dimension of quotaDimensions) {
		const limit = least((quota) => quota[dimension]);
		if (limit !== undefined) rates.set(dimension, rateOf(dimension, limit));
	}
	return {
		tenant,
		rates,
		concurrency: least((quota) => quota.concurrency),
		weight: Math.max(...quotas.map((quota) => quota.weight ?? 1)),
		priority: Math.max(...quotas.map((quota) => quota.priority ?? 0)),
	};
}
