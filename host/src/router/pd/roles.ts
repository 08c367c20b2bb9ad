// Owns what the roles of a pool's targets mean for decisions: which rows only prefill, which only decode, and how two targets hand KV over. Worked out
// once per pool; a pool in which every target does both costs a look-up per request.
import type { ModelPool, UpstreamTarget } from '../ports.js';

/** vLLM's connectors hand over what the prefill's answer names; SGLang's engines meet in a room. */
export type PairProtocol = 'nixl' | 'bootstrap';

export interface PoolRoles {
	readonly prefillOnly: readonly number[];
	readonly decodeOnly: readonly number[];
	/** Rows of `decodeOnly` that take no request without a prefill elsewhere. */
	readonly decodeOnlyStrictly: readonly number[];
}

const known = new WeakMap<ModelPool, PoolRoles | 'none'>();

/** Undefined when every target does both. */
export function rolesOf(pool: ModelPool): PoolRoles | undefined {
	let roles = known.get(pool);
	if (roles === undefined) known.set(pool, (roles = workOut(pool)));
	return roles === 'none' ? undefined : roles;
}

function workOut(pool: ModelPool): PoolRoles | 'none' {
	const rows = (test: (target: UpstreamTarget) => boolean): number[] =>
		pool.targets.flatMap((target, row) => (target !== undefined && test(target) ? [row] : []));
	const prefillOnly = rows(({ role }) => role === 'prefill');
	const decodeOnly = rows(({ role }) => role === 'decode');
	if (prefillOnly.length === 0 && decodeOnly.length === 0) return 'none';
	const decodeOnlyStrictly = rows((target) => target.role === 'decode' && protocolOf(target) !== 'nixl');
	return { prefillOnly, decodeOnly, decodeOnlyStrictly };
}

/** How a target hands KV over; undefined when it cannot. */
function protocolOf({ runtime }: UpstreamTarget): PairProtocol | undefined {
	if (runtime === 'vllm') return 'nixl';
	return runtime === 'sglang' ? 'bootstrap' : undefined;
}

/** How these two hand KV over; undefined when they cannot: engines of two kinds do not understand each other. */
export function pairProtocol(prefill: UpstreamTarget, decode: UpstreamTarget): PairProtocol | undefined {
	const protocol = protocolOf(prefill);
	return protocol === protocolOf(decode) ? protocol : undefined;
}
