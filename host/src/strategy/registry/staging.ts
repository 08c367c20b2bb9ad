// Owns which strategy stands where: pure, so that every transition can be tested without a mesh. A scope is the whole mesh or one model; each keeps
// its history of active strategies, newest last, for rollback. Strategies are named by label (`name@version`), which all nodes share; planFrom
// turns labels into the version ids of one process.
import type { ArmName } from '../../experiments/cohorts/cohort.js';
import type { Objectives } from '../../experiments/cohorts/judge.js';
import { emptyPlan, type PoolPlan, type RoutingPlan, type SplitKey } from '../runtime/plan.js';

/** Scope of the whole mesh. Models are other keys. */
export const WHOLE_MESH = '';

/** Active labels remembered per scope for rollback. */
const HISTORY_MAX = 8;

export interface ScopeStaging {
	/** Active labels, newest last; empty = the built-in fallback (for a model: what the whole mesh has). */
	readonly history: readonly string[];
	readonly canary: { readonly label: string; readonly percent: number } | undefined;
	readonly shadow: string | undefined;
	/** While a model is under experiment, its arms decide; what stands above waits. */
	readonly experiment?: ExperimentStaging | undefined;
}

/** What an experiment has staged. */
export interface ExperimentStaging {
	readonly id: string;
	/** Which experiment its requests are counted for; no two that run have the same. */
	readonly tag: number;
	readonly block: number;
	readonly baseline: string;
	readonly candidate: string;
	/** The arm of the whole pool; undefined = the split tells. */
	readonly arm?: ArmName;
	readonly split?: { readonly percent: number; readonly by: SplitKey; readonly seed: number };
	readonly measureFromMs: number;
	/** Then the baseline decides by itself, whether anybody says so or not. */
	readonly untilMs?: number;
	readonly objectives: Objectives;
}

export type Staging = ReadonlyMap<string, ScopeStaging>;

export const unstaged: ScopeStaging = { history: [], canary: undefined, shadow: undefined };

function scopeOf(staging: Staging, scope: string): ScopeStaging {
	return staging.get(scope) ?? unstaged;
}

function withScope(staging: Staging, scope: string, next: ScopeStaging): Staging {
	const copy = new Map(staging);
	const { history, canary, shadow, experiment } = next;
	if (history.length === 0 && canary === undefined && shadow === undefined && experiment === undefined)
		copy.delete(scope);
	else copy.set(scope, next);
	return copy;
}

/** Makes a label active. It leaves canary and shadow of the same scope, if it was there. */
export function stageActive(staging: Staging, scope: string, label: string): Staging {
	const before = scopeOf(staging, scope);
	const history = before.history.at(-1) === label ? before.history : [...before.history, label].slice(-HISTORY_MAX);
	return withScope(staging, scope, { ...leave(before, label), history });
}

export function stageCanary(staging: Staging, scope: string, label: string, percent: number): Staging {
	return withScope(staging, scope, { ...leave(scopeOf(staging, scope), label), canary: { label, percent } });
}

export function stageShadow(staging: Staging, scope: string, label: string): Staging {
	return withScope(staging, scope, { ...leave(scopeOf(staging, scope), label), shadow: label });
}

/** Takes a label out of canary and shadow of a scope, or of every scope when it is undefined. An active version stays. */
export function unstage(staging: Staging, scope: string | undefined, label: string): Staging {
	let next = staging;
	for (const key of scope === undefined ? [...staging.keys()] : [scope])
		next = withScope(next, key, leave(scopeOf(next, key), label));
	return next;
}

function leave(scope: ScopeStaging, label: string): ScopeStaging {
	return {
		...scope,
		canary: scope.canary?.label === label ? undefined : scope.canary,
		shadow: scope.shadow === label ? undefined : scope.shadow,
	};
}

/** Goes back to the active version before; undefined when there is none. */
export function rollBack(staging: Staging, scope: string): Staging | undefined {
	const before = scopeOf(staging, scope);
	// A model's last version may be taken back too: the whole mesh's strategy then decides for it.
	if (before.history.length < (scope === WHOLE_MESH ? 2 : 1)) return undefined;
	return withScope(staging, scope, { ...before, history: before.history.slice(0, -1) });
}

/** Puts a model under experiment, moves its experiment on, or (undefined) ends it: what stood before decides again. */
export function stageExperiment(staging: Staging, model: string, experiment: ExperimentStaging | undefined): Staging {
	const { experiment: _before, ...others } = scopeOf(staging, model);
	return withScope(staging, model, experiment === undefined ? others : { ...others, experiment });
}

/** What staging in a scope would spoil: the experiment of the model, or, for the whole mesh, those of all models. */
export function experimentsUnder(
	staging: Staging,
	scope: string,
): readonly { readonly model: string; readonly experiment: ExperimentStaging }[] {
	return [...staging].flatMap(([model, { experiment }]) =>
		experiment !== undefined && (scope === WHOLE_MESH || scope === model) ? [{ model, experiment }] : [],
	);
}

/** Drops a label from all histories, when it is unloaded. */
export function forget(staging: Staging, label: string): Staging {
	let next: Staging = staging;
	for (const [scope, was] of staging)
		next = withScope(next, scope, { ...was, history: was.history.filter((other) => other !== label) });
	return next;
}

/** Labels that get traffic or shadow it. */
export function stagedLabels(staging: Staging): Set<string> {
	const labels = new Set<string>();
	for (const scope of staging.values()) {
		const active = scope.history.at(-1);
		if (active !== undefined) labels.add(active);
		if (scope.canary !== undefined) labels.add(scope.canary.label);
		if (scope.shadow !== undefined) labels.add(scope.shadow);
		if (scope.experiment !== undefined) labels.add(scope.experiment.baseline).add(scope.experiment.candidate);
	}
	return labels;
}

/** The active labels a rollback would go back to. */
export function previousLabels(staging: Staging): Set<string> {
	const labels = new Set<string>();
	for (const scope of staging.values()) {
		const previous = scope.history.at(-2);
		if (previous !== undefined) labels.add(previous);
	}
	return labels;
}

/**
 * Compiles the staging into the plan workers follow. `versions` holds what this process has loaded, by label: of a history the newest label that is
 * loaded decides, so that a node which could not load the newest goes on with the one before. Versions beyond what is staged and what went
 * before are warmed while there is room.
 */
export function planFrom(
	staging: Staging,
	generation: number,
	quarantined: ReadonlySet<number>,
	versions: ReadonlyMap<string, number>,
	grades: ReadonlyMap<number, number> = new Map(),
): RoutingPlan {
	const common = poolPlan(scopeOf(staging, WHOLE_MESH), emptyPlan.common, versions);
	const byModel = new Map<string, PoolPlan>();
	for (const [scope, staged] of staging)
		if (scope !== WHOLE_MESH) byModel.set(scope, poolPlan(staged, common, versions));
	const warm = idsOf(stagedLabels(staging).union(previousLabels(staging)), versions);
	for (const plan of [common, ...byModel.values()])
		if (plan.activeVersionId !== undefined) warm.add(plan.activeVersionId);
	const spare = new Set(versions.values()).difference(warm);
	return { generation, common, byModel, quarantined, grades, warm, spare };
}

function idsOf(labels: Iterable<string>, versions: ReadonlyMap<string, number>): Set<number> {
	const ids = new Set<number>();
	for (const label of labels) {
		const id = versions.get(label);
		if (id !== undefined) ids.add(id);
	}
	return ids;
}

/** The newest label of a history that is loaded. */
export function activeLabel(
	scope: ScopeStaging | undefined,
	versions: Pick<ReadonlySet<string>, 'has'>,
): string | undefined {
	return scope?.history.findLast((label) => versions.has(label));
}

function poolPlan(scope: ScopeStaging, inherited: PoolPlan, versions: ReadonlyMap<string, number>): PoolPlan {
	const active = activeLabel(scope, versions);
	const canaryId = scope.canary === undefined ? undefined : versions.get(scope.canary.label);
	const staged: PoolPlan = {
		activeVersionId: active === undefined ? inherited.activeVersionId : versions.get(active),
		canary:
			scope.canary === undefined || canaryId === undefined
				? inherited.canary
				: { versionId: canaryId, percent: scope.canary.percent },
		shadowVersionId: (scope.shadow === undefined ? undefined : versions.get(scope.shadow)) ?? inherited.shadowVersionId,
	};
	return scope.experiment === undefined ? staged : underExperiment(staged, scope.experiment, versions);
}

/** A router that has an arm's version not loaded lets the baseline, else what stood before, decide in its place: its requests still count for the arm. */
function underExperiment(
	staged: PoolPlan,
	{ tag, block, baseline, candidate, arm, split, measureFromMs, untilMs, objectives }: ExperimentStaging,
	versions: ReadonlyMap<string, number>,
): PoolPlan {
	const baselineId = versions.get(baseline) ?? staged.activeVersionId;
	const candidateId = versions.get(candidate);
	return {
		activeVersionId: (arm === 'candidate' ? candidateId : undefined) ?? baselineId,
		canary: split === undefined ? undefined : { versionId: candidateId ?? baselineId ?? 0, ...split },
		shadowVersionId: staged.shadowVersionId,
		experiment: { tag, block, arm, measureFromMs, untilMs, baselineVersionId: baselineId, objectives },
	};
}
