// Owns the interface between the admin API and the mesh: what an operator can ask of a running mesh. The composition root implements
// it; methods throw MeshError with the codes of the room that refuses.

import type { ConfigRow } from '../config/show.js';
import type { ExperimentOperations } from '../experiments/operations.js';
import type { Asker, MeshOperations } from '../mesh/operations.js';
import type { QuotaView } from '../quota/view.js';
import type { Reports } from '../reports/reports.js';
import type { ExplainedDecision } from '../strategy/runtime/explain-ring.js';
import type { ShadowReport } from '../strategy/shadow/report.js';
import type { StrategySignature } from '../strategy/signing/signature.js';
import type { LogLevel } from '../telemetry/logger.js';
import type { CapacityRow } from './capacity-routes.js';
import type { GpuRow } from './gpu-routes.js';
import type { RecorderView } from './recorder-routes.js';
import type {
	JoinTokenMade,
	JoinTokenRequest,
	LoadResult,
	MeshStatus,
	Readiness,
	RollbackRequest,
	StageRequest,
	StrategyView,
	TargetRequest,
	TargetView,
} from './schemas.js';

/** What may be given with a module. */
export interface LoadStrategyRequest {
	readonly module: Uint8Array;
	/** JSON text of the source map. */
	readonly sourceMap: string | undefined;
	/** Values of the strategy's own configuration; undefined = those of the mesh's configuration, else its defaults. */
	readonly settings: Readonly<Record<string, number | boolean>> | undefined;
	readonly activate: boolean;
	/** Narrows `activate` to one model. */
	readonly model: string | undefined;
	readonly signature?: StrategySignature | undefined;
	/** Run a native library inside the process. */
	readonly inline?: boolean | undefined;
}

export interface MeshControl {
	status(): MeshStatus;
	/** Whether requests should be sent here, and why not otherwise; and what this node must do without although it serves. */
	readiness(): Promise<Readiness>;

	/** Nodes, policies, tenants, keys and what the fabric knows: what concerns the mesh rather than this node. */
	readonly mesh: MeshOperations;

	/** Experiments on strategies; see ExperimentOperations for what each refuses with. */
	readonly experiments: Pick<ExperimentOperations, 'look' | 'list' | 'plan' | 'start' | 'get' | 'report' | 'stop'>;

	/** What adapters tell of collectives, networks and stores. */
	readonly reports: Pick<Reports, 'commReports' | 'ioReports' | 'degradations'>;
	/** GPUs this node hears of. `hold` and `release`: IM_GPU_UNKNOWN. */
	readonly gpus: {
		list(): GpuRow[];
		hold(uuid: string, by: string): GpuRow;
		release(uuid: string): GpuRow;
	};

	/** Of each model this router serves; empty where none runs. */
	capacity(): CapacityRow[];

	listTargets(): readonly TargetView[];
	/** Resolves when the target is in the table. IM_TARGET_EXISTS, IM_TARGET_INVALID, IM_TARGET_MODELS_UNKNOWN, IM_FLEET_FULL. */
	addTarget(request: TargetRequest): Promise<TargetView>;
	/** Takes it out of routing at once; what is in flight there ends by itself. IM_TARGET_UNKNOWN. */
	removeTarget(id: string): Promise<TargetView>;
	/** No new requests (`draining` true) or again (false). IM_TARGET_UNKNOWN. */
	drainTarget(id: string, draining: boolean): Promise<TargetView>;

	listStrategies(): readonly StrategyView[];
	/** Admits, compiles and warms on all workers. Resolves when it can take traffic (has taken over, with `activate`). */
	loadStrategy(request: LoadStrategyRequest): Promise<LoadResult>;
	/** `name` or `name@version` of a loaded strategy. Resolves when all workers have switched. */
	stageStrategy(name: string, request: StageRequest, asker: Asker): Promise<StrategyView>;
	/** Back to the strategy before, mesh-wide or for one model. Undefined: the built-in fallback (for a model: the mesh's) decides now. */
	rollbackStrategy(request: RollbackRequest, asker: Asker): Promise<StrategyView | undefined>;
	/** Refused while it is staged. */
	unloadStrategy(name: string): Promise<StrategyView>;

	/** Asks all workers; undefined when none remembers it. */
	explain(decisionId: string): Promise<ExplainedDecision | undefined>;
	/** How the quotas of tenants stand at this router. IM_NODE_ROLE where none runs. */
	quotas(): Promise<readonly QuotaView[]>;
	/** What shadows have done on this router. IM_NODE_ROLE where none runs. */
	shadows(): ShadowReport[];
	/** Recording of decisions. IM_NODE_ROLE where no router runs. */
	readonly recorder: {
		view(): RecorderView;
		/** IM_RECORDER_BUSY, IM_RECORDER_DISK. */
		start(request: { readonly sample?: number; readonly hashes?: RecorderView['hashes'] }): Promise<RecorderView>;
		stop(): Promise<RecorderView>;
	};
	/** A token that lets new nodes in. IM_FABRIC_NO_AUTHORITY where this node does not hold the authority. */
	createJoinToken(request: JoinTokenRequest): Promise<JoinTokenMade>;
	config(): readonly ConfigRow[];
	/** Prometheus text of the whole process. */
	metrics(): Promise<string>;
	logLevel(): LogLevel;
	setLogLevel(level: LogLevel): void;
}
