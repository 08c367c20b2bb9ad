// Owns what the strategy manager needs of the rest of the agent: admission, compilation, and the workers that run strategies.
import type { Clock } from '@infermesh/proto';
import type { PoolView } from '../../fleet/pool-view.js';
import type { ModelPool } from '../../router/ports.js';
import type { Inspection, InspectOptions } from '../admission/try-out.js';
import type { NativeRun } from '../native/code.js';
import type { NativeEvents } from '../native/events.js';
import type { FuelBudget, StrategyCode, StrategyModule } from '../runtime/instance.js';
import type { RoutingPlan } from '../runtime/plan.js';
import type { QuarantineOptions } from '../runtime/quarantine.js';
import type { StateBlockShared } from '../runtime/state-block.js';
import type { Grade } from '../signing/grade.js';
import type { Admitted, StrategyJudge } from './judge.js';

export interface ManagerOptions {
	readonly fuel: FuelBudget;
	readonly loadedMax: number;
	/** Instances per worker that loading may lead to, and how many one version has per pool. */
	readonly instancesMax: number;
	readonly instancesPerPool: number;
	readonly quarantine: QuarantineOptions;
	/** A state block is published at most this often. */
	readonly statePublishMs: number;
	readonly meshSeed: readonly [low: number, high: number];
}

/** The data-plane workers, as one. */
export interface StrategyWorkers {
	addStrategy(strategy: StrategyModule): void;
	addState(versionId: number, poolIndex: number, shared: StateBlockShared): void;
	removeStrategy(versionId: number): void;
	/** Prepares the plan on every worker, then makes it visible by one store. Rejects, changing nothing, when a worker does not answer. */
	commit(plan: RoutingPlan): Promise<void>;
}

/** Judges a module. Never rejects: what is wrong with it is in the report. */
export type Admit = (bytes: Uint8Array, options: InspectOptions) => Promise<Inspection>;

export interface ManagerPorts {
	readonly clock: Clock;
	readonly judge: StrategyJudge;
	/** Makes admitted bytes ready to run; what compiles does so off every loop that must be on time. `native`: how a library is to run. */
	readonly compile: (admitted: Admitted, native: NativeRun) => Promise<StrategyCode>;
	readonly workers: StrategyWorkers;
	readonly pools: () => readonly ModelPool[];
	readonly openView: (pool: ModelPool) => PoolView;
	readonly events: ManagerEvents;
	/** What the signature of a loaded version is worth now; absent = nothing is signed. */
	readonly gradeOf?: (label: string) => Grade;
	/** Who is told of the sandboxes that keep state. */
	readonly native?: NativeEvents;
}

/** What happened, for metrics and the log. */
export interface ManagerEvents {
	swapped(label: string, kind: 'stage' | 'rollback' | 'unload' | 'quarantine' | 'release'): void;
	struck(label: string, cause: string, place: string): void;
	quarantined(label: string, untilMs: number): void;
}
