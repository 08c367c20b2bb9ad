// Owns the routing plan: which strategy version decides for which model, and what runs beside it. The agent makes plans; workers prepare
// one, acknowledge, and switch to it when its generation is stored in shared memory: one store, between two decisions.
import type { ArmName } from '../../experiments/cohorts/cohort.js';
import type { Objectives } from '../../experiments/cohorts/judge.js';
import type { RequestFeatures } from './decision.js';

/**
 * Instances per worker that spare versions may fill up to. Each reserves about 8 GiB of address space, of which a process has 128 TiB; what is
 * left serves 16 workers and the engine itself. Versions that a plan needs are made whatever the count: loading is what is bounded
 * (see the manager), so that a quarantine or a rollback can never fail for want of room.
 */
export const INSTANCES_MAX = 800;

export interface CanaryPlan {
	readonly versionId: number;
	/** 0 to 100. */
	readonly percent: number;
	/** What is hashed; absent = the session. */
	readonly by?: SplitKey;
	/** Of the hash; absent = 0. */
	readonly seed?: number;
}

/** What decides on which side of a split a request is: itself, its session (else itself), or its tenant. */
export const splitKeys = ['request', 'session', 'tenant'] as const;
export type SplitKey = (typeof splitKeys)[number];

/** The experiment a pool is under: how its requests are counted. Which version decides is in the plan beside it. */
export interface ExperimentPlan {
	/** Which experiment: 1 … 2^32 − 1. */
	readonly tag: number;
	readonly block: number;
	/** The arm of the whole pool in this block; undefined where the canary's side tells it. */
	readonly arm: ArmName | undefined;
	/** Requests that come before this, milliseconds since the Unix epoch, belong to the burn-in. */
	readonly measureFromMs: number;
	/** From then on `baselineVersionId` decides whatever the arm: the node that runs the experiment, or the quorum it needs, is lost. */
	readonly untilMs?: number | undefined;
	readonly baselineVersionId?: number | undefined;
	readonly objectives: Objectives;
}

/** What decides for one pool. */
export interface PoolPlan {
	/** Undefined: the built-in fallback decides. */
	readonly activeVersionId: number | undefined;
	readonly canary: CanaryPlan | undefined;
	readonly shadowVersionId: number | undefined;
	readonly experiment?: ExperimentPlan | undefined;
}

/** Immutable; crosses threads by structured clone. */
export interface RoutingPlan {
	readonly generation: number;
	/** For models without an entry of their own. */
	readonly common: PoolPlan;
	readonly byModel: ReadonlyMap<string, PoolPlan>;
	/** Versions that get no requests until they are released. */
	readonly quarantined: ReadonlySet<number>;
	/** Versions every worker must have instances of: everything the plan names, and the actives before, warm for rollback. */
	readonly warm: ReadonlySet<number>;
	/** What the signatures of versions are worth (`rankOf`); absent = unsigned, 0. */
	readonly grades: ReadonlyMap<number, number>;
	/** Loaded and on no stage: instances of these are made while there is room. */
	readonly spare: ReadonlySet<number>;
}

export const emptyPlan: RoutingPlan = {
	generation: 0,
	common: { activeVersionId: undefined, canary: undefined, shadowVersionId: undefined },
	byModel: new Map(),
	quarantined: new Set(),
	grades: new Map(),
	warm: new Set(),
	spare: new Set(),
};

export function planOf(plan: RoutingPlan, model: string): PoolPlan {
	return plan.byModel.get(model) ?? plan.common;
}

/** Word 0 of the shared control block: the generation of the plan in force. */
export const GENERATION_WORD = 0;
export const CONTROL_BYTES = 64;

/** What of a request decides on its side of a split. */
export type SplitFeatures = Pick<RequestFeatures, 'sessionLow' | 'sessionHigh' | 'seedLow' | 'tenant'>;

/**
 * Whether a decision belongs to the canary: a hash of its session (else its own seed) against the percentage, so that one session
 * always sees one version. The seed makes the sides of one experiment independent of those of the next.
 */
export function inCanary(canary: CanaryPlan, { sessionLow, sessionHigh, seedLow, tenant }: SplitFeatures): boolean {
	const isAlone = canary.by === 'request' || (sessionLow === 0 && sessionHigh === 0);
	const session = isAlone ? seedLow : sessionLow ^ Math.imul(sessionHigh, 0x9e3779b1);
	const key = (canary.by === 'tenant' ? tenant : session) ^ Math.imul(canary.seed ?? 0, 0x85ebca6b);
	let hash = Math.imul(key ^ (key >>> 16), 0x21f0aaad);
	hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
	hash = (hash ^ (hash >>> 15)) >>> 0;
	return hash < (canary.percent / 100) * 0x1_0000_0000;
}
