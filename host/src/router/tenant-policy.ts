// Owns whose request it is for policies, and which objectives hold for it: its own come first, then those of its tenant, then those of the model.
import type { Exchange } from './exchange.js';
import type { ModelPool } from './ports.js';

type Asker = Pick<Exchange, 'wishes' | 'caller'>;

export function tenantOf({ wishes, caller }: Asker): string {
	return wishes.tenant ?? caller.tenant;
}

/** 0 = none. */
export function ttftObjective(asker: Asker, pool: ModelPool): number {
	const { sloTtftMs } = asker.wishes;
	return sloTtftMs === 0 ? (sloOf(asker, pool)?.ttftMs ?? 0) : sloTtftMs;
}

/** 0 = none. */
export function tpotObjective(asker: Asker, pool: ModelPool): number {
	const { sloTpotMs } = asker.wishes;
	return sloTpotMs === 0 ? (sloOf(asker, pool)?.tpotMs ?? 0) : sloTpotMs;
}

function sloOf(asker: Asker, pool: ModelPool): ModelPool['policy']['slos']['common'] {
	const { slos } = pool.policy;
	return slos.byTenant.get(tenantOf(asker)) ?? slos.common;
}
