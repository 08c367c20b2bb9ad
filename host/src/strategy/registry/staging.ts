// Owns which strategy version stands where: pure, so that every transition can be tested without a mesh. A scope is the whole mesh or one model;
// each keeps its history of active versions, newest last, for rollback.
import { type CanaryPlan, emptyPlan, type PoolPlan, type RoutingPlan } from '../runtime/plan.js';

/** Scope of the whole mesh. Models are other keys. */
export const WHOLE_MESH = '';

/** Active versions remembered per scope for rollback. */
const HISTORY_MAX = 8;

export interface ScopeStaging {
	/** Active versions, newest last; empty = the built-in fallback (for a model: what the whole mesh has). */
	readonly history: readonly number[];
	readonly canary: CanaryPlan | undefined;
	readonly shadowVersionId: number | undefined;
}

export type Staging = ReadonlyMap<string, ScopeStaging>;

const unstaged: ScopeStaging = { history: [], canary: undefined, shadowVersionId: undefined };

function scopeOf(staging: Staging, scope: string): ScopeStaging {
	return staging.get(scope) ?? unstaged;
}

function withScope(staging: Staging, scope: string, next: ScopeStaging): Staging {
	const copy = new Map(staging);
	if (next.history.length === 0 && next.canary === undefined && next.shadowVersionId === undefined) copy.delete(scope);
	else copy.set(scope, next);
	return copy;
}

/** Makes a version active. It leaves canary and shadow of the same scope, if it was there. */
export function stageActive(staging: Staging, scope: string, versionId: number): Staging {
	const before = scopeOf(staging, scope);
	const history =
		before.history.at(-1) === versionId ? before.history : [...before.history, versionId].slice(-HISTORY_MAX);
	return withScope(staging, scope, { ...leave(before, versionId), history });
}

export function stageCanary(staging: Staging, scope: string, versionId: number, percent: number): Staging {
	return withScope(staging, scope, { ...leave(scopeOf(staging, scope), versionId), canary: { versionId, percent } });
}

export function stageShadow(staging: Staging, scope: string, versionId: number): Staging {
	return withScope(staging, scope, { ...leave(scopeOf(staging, scope), versionId), shadowVersionId: versionId });
}

/** Takes a version out of canary and shadow of a scope, or of every scope when it is undefined. An active version stays. */
export function unstage(staging: Staging, scope: string | undefined, versionId: number): Staging {
	let next = staging;
	for (const key of scope === undefined ? [...staging.keys()] : [scope])
		next = withScope(next, key, leave(scopeOf(next, key), versionId));
	return next;
}

function leave(scope: ScopeStaging, versionId: number): ScopeStaging {
	return {
		history: scope.history,
		canary: scope.canary?.versionId === versionId ? undefined : scope.canary,
		shadowVersionId: scope.shadowVersionId === versionId ? undefined : scope.shadowVersionId,
	};
}

/** Goes back to the active version before; undefined when there is none. */
export function rollBack(staging: Staging, scope: string): Staging | undefined {
	const before = scopeOf(staging, scope);
	// A model's last version may be taken back too: the whole mesh's strategy then decides for it.
	if (before.history.length < (scope === WHOLE_MESH ? 2 : 1)) return undefined;
	return withScope(staging, scope, { ...before, history: before.history.slice(0, -1) });
}

/** Drops a version from all histories, when it is unloaded. */
export function forget(staging: Staging, versionId: number): Staging {
	let next: Staging = staging;
	for (const [scope, was] of staging)
		next = withScope(next, scope, { ...was, history: was.history.filter((id) => id !== versionId) });
	return next;
}

/** Versions that get traffic or shadow it. */
export function stagedVersions(staging: Staging): Set<number> {
	const versions = new Set<number>();
	for (const scope of staging.values()) {
		const active = scope.history.at(-1);
		if (active !== undefined) versions.add(active);
		if (scope.canary !== undefined) versions.add(scope.canary.versionId);
		if (scope.shadowVersionId !== undefined) versions.add(scope.shadowVersionId);
	}
	return versions;
}

/** The active versions a rollback would go back to. */
export function previousVersions(staging: Staging): Set<number> {
	const versions = new Set<number>();
	for (const scope of staging.values()) {
		const previous = scope.history.at(-2);
		if (previous !== undefined) versions.add(previous);
	}
	return versions;
}

/** Compiles the staging into the plan workers follow. `loaded` versions beyond what is staged and what went before are warmed while there is room. */
export function planFrom(
	staging: Staging,
	generation: number,
	quarantined: ReadonlySet<number>,
	loaded: Iterable<number>,
): RoutingPlan {
	const common = poolPlan(scopeOf(staging, WHOLE_MESH), emptyPlan.common);
	const byModel = new Map<string, PoolPlan>();
	for (const [scope, staged] of staging) if (scope !== WHOLE_MESH) byModel.set(scope, poolPlan(staged, common));
	const warm = stagedVersions(staging).union(previousVersions(staging));
	const spare = new Set(loaded).difference(warm);
	return { generation, common, byModel, quarantined, warm, spare };
}

function poolPlan(scope: ScopeStaging, inherited: PoolPlan): PoolPlan {
	return {
		activeVersionId: scope.history.at(-1) ?? inherited.activeVersionId,
		canary: scope.canary ?? inherited.canary,
		shadowVersionId: scope.shadowVersionId ?? inherited.shadowVersionId,
	};
}
