// Owns the decision in a pool whose targets have roles: the strategy is asked for a row to prefill, and, when that row does nothing else, for one to decode
// on, with the first answer in the request block. A row that does both serves the request alone. A strategy need not know of roles: in each phase
// only rows of that phase are eligible. Without a prefill target, targets that can prefill themselves serve alone.
import { Phase } from '@infermesh/sdk';
import type { RouterEnv } from '../env.js';
import type { ModelPool } from '../ports.js';
import { type PairProtocol, type PoolRoles, pairProtocol, rolesOf } from './roles.js';

/** The prefill that goes before. */
export interface ChosenPrefill {
	readonly row: number;
	readonly protocol: PairProtocol;
	/** Row that it is to fetch a prefix from, or -1. Of a pair it is the prefill that computes the prompt, so what the strategy says of fetching is for it. */
	readonly fetchFromRow: number;
}

/** Fills `env.decision` for the row that answers the client. Returns the prefill that goes before it, if one does. */
export function decideInPhases(
	env: RouterEnv,
	pool: ModelPool,
	barred: readonly number[],
	mayPair: boolean,
): ChosenPrefill | undefined {
	const roles = rolesOf(pool);
	if (roles === undefined) {
		decidePhase(env, pool, env.features.phase, barred);
		return mayPair ? namedByStrategy(env, pool) : undefined;
	}
	return mayPair ? decidePair(env, pool, roles, barred) : decideAlone(env, pool, roles, barred);
}

function decidePair(
	env: RouterEnv,
	pool: ModelPool,
	roles: PoolRoles,
	barred: readonly number[],
): ChosenPrefill | undefined {
	const { decision, features } = env;
	decidePhase(env, pool, Phase.prefill, [...barred, ...roles.decodeOnly]);
	if (decision.verdict !== 'route') return undefined;
	if (decision.count === 0) return decideAlone(env, pool, roles, barred);
	const row = decision.rows[decision.chosen] as number;
	if (!roles.prefillOnly.includes(row)) return undefined;
	const { fetchFromRow } = decision;
	features.prefillRow = row;
	decidePhase(env, pool, Phase.decode, [...barred, ...roles.prefillOnly]);
	features.prefillRow = -1;
	if (decision.verdict !== 'route' || decision.count === 0) return undefined;
	const chosen = pairAt(pool, row, decision.rows[decision.chosen] as number, fetchFromRow);
	if (chosen === undefined) return decideAlone(env, pool, roles, barred);
	decision.prefillRow = row;
	return chosen;
}

/** On one target: one that does both, or a decode target that computes the prompt itself. */
function decideAlone(env: RouterEnv, pool: ModelPool, roles: PoolRoles, barred: readonly number[]): undefined {
	const { features } = env;
	const phase = features.phase === Phase.embedding ? Phase.embedding : Phase.aggregated;
	decidePhase(env, pool, phase, [...barred, ...roles.prefillOnly, ...roles.decodeOnlyStrictly]);
}

function decidePhase(env: RouterEnv, pool: ModelPool, phase: number, barred: readonly number[]): void {
	const { features, hits, decision } = env;
	const asked = features.phase;
	features.phase = phase;
	env.ports.decider.decide(pool, features, hits, barred, decision);
	features.phase = asked;
}

/** A strategy may name the prefill itself, where all targets do both. */
function namedByStrategy({ decision }: RouterEnv, pool: ModelPool): ChosenPrefill | undefined {
	const { prefillRow, fetchFromRow } = decision;
	if (prefillRow < 0 || decision.count === 0 || decision.verdict !== 'route') return undefined;
	const row = decision.rows[decision.chosen] as number;
	return prefillRow === row ? undefined : pairAt(pool, prefillRow, row, fetchFromRow);
}

function pairAt(
	pool: ModelPool,
	prefillRow: number,
	decodeRow: number,
	fetchFromRow: number,
): ChosenPrefill | undefined {
	const prefill = pool.targets[prefillRow];
	const decode = pool.targets[decodeRow];
	const protocol = prefill === undefined || decode === undefined ? undefined : pairProtocol(prefill, decode);
	return protocol === undefined ? undefined : { row: prefillRow, protocol, fetchFromRow };
}
