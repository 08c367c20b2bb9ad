// Owns the messages between the agent and its data-plane workers. Plain data; modules and shared buffers travel by reference.

import type { MessagePort } from 'node:worker_threads';
import type { CohortDelta } from '../experiments/cohorts/book.js';
import type { DirectorySnapshot } from '../fleet/directory.js';
import type { InflightShared } from '../fleet/inflight.js';
import type { LoraSet } from '../fleet/lora-sets.js';
import type { FleetTableShared } from '../fleet/table.js';
import type { AccessSnapshot } from '../mesh/access.js';
import type { KvTableShared } from '../prefix/precise/shared-table.js';
import type { PrefixIndexOptions } from '../prefix/prefix-index.js';
import type { TokenClientOptions } from '../prefix/tokens/token-client.js';
import type { QuotaShared } from '../router/admission/quota-board.js';
import type { TargetLimitsShared } from '../router/admission/target-limits.js';
import type { RoomChange } from '../router/admission/waiting-room.js';
import type { RouterOptionsInput } from '../router/options.js';
import type { DataPlaneTls } from '../router/tls.js';
import type { StrikeReport } from '../strategy/runtime/decision.js';
import type { ExplainedDecision } from '../strategy/runtime/explain-ring.js';
import type { FuelBudget, StrategyModule } from '../strategy/runtime/instance.js';
import type { RoutingPlan } from '../strategy/runtime/plan.js';
import type { StateBlockShared } from '../strategy/runtime/state-block.js';
import type { ShadowOptions } from '../strategy/shadow/runner.js';
import type { TrialCounts } from '../strategy/shadow/trial.js';
import type { LogLevel } from '../telemetry/logger.js';
import type { OutcomeBatch } from './outcome-wire.js';

/** A data-plane API key as a worker needs it: the digest, never the key. */
export interface WorkerKey {
	readonly sha256: string;
	readonly tenant: string;
	readonly tenantId: number;
	readonly policyMask: number;
	/** As in `Caller`. */
	readonly leastGrade?: number;
	readonly trusted: boolean;
	readonly expiresAtMs?: number;
}

/** Handed to a worker when it starts. */
export interface WorkerStart {
	readonly worker: number;
	readonly host: string;
	/** 0 = choose one and report it. */
	readonly port: number;
	readonly table: FleetTableShared;
	readonly inflight: InflightShared;
	readonly limits: TargetLimitsShared;
	readonly quotas: QuotaShared;
	readonly control: SharedArrayBuffer;
	readonly metrics: SharedArrayBuffer;
	readonly router: RouterOptionsInput;
	readonly prefixIndex: Partial<PrefixIndexOptions>;
	readonly kvTable: KvTableShared;
	readonly tokens: TokenClientOptions;
	readonly fuel: FuelBudget;
	readonly spares: number;
	/** Ranked rows asked of strategies. */
	readonly topK: number;
	/** See `DeciderOptions`. */
	readonly spreadRatio: number;
	readonly explorationRatio: number;
	/** Every this many decisions one is repeated on another instance; a power of two, 0 = never. */
	readonly witnessEvery: number;
	readonly explainEntriesMax: number;
	readonly shadow: ShadowOptions;
	readonly meshSeed: readonly [low: number, high: number];
	readonly zone: number;
	readonly region: number;
	readonly openWithoutKeys: boolean;
	readonly keys: readonly WorkerKey[];
	readonly tenants: readonly string[];
	readonly responseKey: string | undefined;
	readonly tenantsMax: number;
	readonly lorasMax: number;
	readonly log: { readonly level: LogLevel; readonly requests: boolean };
	readonly loopLagPeriodMs: number;
	readonly tracing: {
		readonly endpoint: string | undefined;
		readonly ratio: number;
		readonly queueMax: number;
		readonly node: string;
		readonly zone: string;
	};
}

export type ToWorker =
	| { readonly kind: 'directory'; readonly snapshot: DirectorySnapshot }
	/** LoRA adapters of the rows that changed. */
	| { readonly kind: 'loras'; readonly sets: readonly LoraSet[] }
	| { readonly kind: 'strategy'; readonly strategy: StrategyModule }
	| {
			readonly kind: 'state';
			readonly versionId: number;
			readonly poolIndex: number;
			readonly shared: StateBlockShared;
	  }
	| { readonly kind: 'forget'; readonly versionId: number }
	| { readonly kind: 'prepare'; readonly plan: RoutingPlan }
	| ({ readonly kind: 'access' } & AccessSnapshot)
	| { readonly kind: 'quotaGranted'; readonly tenants: readonly number[] }
	/** Of waiting requests elsewhere in the mesh: what waits now, and what was served since the last time. */
	| { readonly kind: 'flowsHeard'; readonly flows: readonly RoomChange[] }
	| { readonly kind: 'tls'; readonly tls: DataPlaneTls }
	/** Ports to the threads that tokenise, in place of those before. */
	| { readonly kind: 'tokenizers'; readonly ports: readonly MessagePort[] }
	| { readonly kind: 'listen' }
	| { readonly kind: 'explain'; readonly query: number; readonly decisionId: string }
	/** Record decisions into this ring, this share of them. */
	| { readonly kind: 'record'; readonly ring: SharedArrayBuffer; readonly sample: number }
	| { readonly kind: 'recordEnd' }
	| { readonly kind: 'logLevel'; readonly level: LogLevel }
	| { readonly kind: 'close'; readonly graceMs: number };

export type FromWorker =
	| { readonly kind: 'listening'; readonly port: number }
	| { readonly kind: 'prepared'; readonly generation: number; readonly error: string | undefined }
	| { readonly kind: 'outcomes'; readonly batch: OutcomeBatch }
	/** What was counted of cohorts of experiments since the last time. */
	| { readonly kind: 'cohorts'; readonly deltas: readonly CohortDelta[] }
	/** What has been counted of shadows, now and then while there are any, and once when there are none any more. */
	| { readonly kind: 'shadows'; readonly counts: readonly TrialCounts[] }
	| { readonly kind: 'quotaWanted'; readonly tenant: number }
	/** Of waiting requests here, likewise. */
	| { readonly kind: 'flows'; readonly flows: readonly RoomChange[] }
	| { readonly kind: 'strike'; readonly strike: StrikeReport }
	| { readonly kind: 'strategyLog'; readonly label: string; readonly text: string }
	| { readonly kind: 'explained'; readonly query: number; readonly decision: ExplainedDecision | undefined }
	| { readonly kind: 'failed'; readonly message: string }
	| { readonly kind: 'closed' };
