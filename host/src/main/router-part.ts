// The data plane of one node: worker threads that decide and forward, the strategies they run, and the shared memory between them and the agent. Only
// a node with the role `router` or `edge` has one; any other never loads this file.
import { randomBytes, randomUUID } from 'node:crypto';
import type { ConsensusEngine } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';
import { isLoopback } from '../config/rules.js';
import type { MeshConfig } from '../config/schema.js';
import type { TargetReading } from '../experiments/telemetry/reading.js';
import { RouterTelemetry } from '../experiments/telemetry/router-telemetry.js';
import type { DirectorySnapshot } from '../fleet/directory.js';
import { InflightReader, type InflightShared, REQUESTS } from '../fleet/inflight.js';
import type { NameTable } from '../fleet/interner.js';
import { LoraSets } from '../fleet/lora-sets.js';
import { HOLE, PoolView } from '../fleet/pool-view.js';
import type { TargetRecord } from '../fleet/registry.js';
import { FleetTableReader, type FleetTableShared } from '../fleet/table.js';
import type { AccessSnapshot } from '../mesh/access.js';
import { createKvTable, type KvTableShared } from '../prefix/precise/shared-table.js';
import type { TargetLimitsShared } from '../router/admission/target-limits.js';
import type { RouterOptionsInput } from '../router/options.js';
import type { ModelPool } from '../router/ports.js';
import type { DataPlaneTls } from '../router/tls.js';
import { isLibrary } from '../strategy/native/code.js';
import { buildNativeEngine } from '../strategy/native/engine.js';
import type { StrategyJudge } from '../strategy/registry/judge.js';
import { StrategyManager } from '../strategy/registry/manager.js';
import type { StrategyWorkers } from '../strategy/registry/ports.js';
import { CONTROL_BYTES } from '../strategy/runtime/plan.js';
import { type ShadowReport, shadowReports } from '../strategy/shadow/report.js';
import type { TrialCounts } from '../strategy/shadow/trial.js';
import type { Grade } from '../strategy/signing/grade.js';
import { createMetricsBuffer, type MetricsBlock } from '../telemetry/block.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import { createNativeMetrics } from '../telemetry/native-metrics.js';
import { admissionServiceDefaults } from './admission-service.js';
import { CapacityPart } from './capacity-part.js';
import { compileInThread } from './compile-thread.js';
import { FlowExchange } from './flow-exchange.js';
import { KvEvents } from './kv-events.js';
import type { LiveTls } from './live-tls.js';
import {
	fuelBudget,
	nativeCompiler,
	nativeLimits,
	quarantineOptions,
	recorderOptions,
	roomOptions,
	routerOptions,
	tokenClientOptions,
	tokenServiceOptions,
} from './options.js';
import { attemptsOf, observedOf } from './outcome-wire.js';
import { checkPort } from './port-check.js';
import { QuotaPart } from './quota-part.js';
import { RecorderPart } from './recorder-part.js';
import type { TargetService } from './target-service.js';
import { Tokenizers } from './tokenizers.js';
import { meshVersion } from './version.js';
import { type SpawnWorker, WorkerGroup, workerGroupDefaults } from './worker-group.js';
import type { WorkerStart } from './worker-protocol.js';

/** How often strategies with a `tick` hook are called. */
const TICK_MS = 1000;
const LORAS_MAX = 4096;

export interface RouterPartDeps {
	readonly config: MeshConfig;
	readonly clock: Clock;
	readonly log: Log;
	readonly workerCount: number;
	readonly table: FleetTableShared;
	readonly inflight: InflightShared;
	readonly limits: TargetLimitsShared;
	readonly names: { readonly zones: NameTable; readonly regions: NameTable };
	readonly tenants: NameTable;
	readonly engine: ConsensusEngine;
	/** UUID of this node. */
	readonly nodeId: string;
	readonly targets: TargetService;
	readonly judge: StrategyJudge;
	/** What the signature of a loaded strategy is worth now. */
	readonly gradeOf: (label: string) => Grade;
	readonly metrics: MeshMetrics;
	/** Of the thread this runs in. */
	readonly block: MetricsBlock;
	/** Bytes of a loaded strategy; undefined when they are not to be had. */
	readonly moduleOf: (label: string) => Promise<Uint8Array | undefined>;
	/** Keys and tenants as they stand, for a worker that starts. */
	readonly access: () => AccessSnapshot;
	/** Requests waiting in the engine of a row, at its last report. */
	readonly queueDepth: (row: number) => number;
	readonly spawnWorker: SpawnWorker | undefined;
	readonly tls: LiveTls;
}

export class RouterPart {
	readonly strategies: StrategyManager;
	readonly workers: WorkerGroup;
	readonly quotas: QuotaPart;
	/** Where the queues of the workers meet, and those of other routers. */
	readonly flows: FlowExchange;
	readonly workerCount: number;
	/** One for each worker, and the one of KV events behind them. */
	readonly metricsBuffers: readonly SharedArrayBuffer[];
	readonly #kvTable: KvTableShared;
	readonly #kvEvents: KvEvents;
	readonly #targets: TargetService;
	readonly #loras: LoraSets;
	readonly #tokenizers: Tokenizers;
	readonly #config: MeshConfig;
	readonly #log: Log;
	readonly #tls: LiveTls;
	readonly capacity: CapacityPart;
	/** What is counted here of experiments. */
	readonly experiments: RouterTelemetry;
	readonly recorder: RecorderPart;
	/** What each worker has last told of its shadows. */
	readonly #shadows = new Map<number, readonly TrialCounts[]>();
	readonly #stopTicking: () => void;

	constructor(deps: RouterPartDeps) {
		const { config, clock, log, targets, metrics, workerCount } = deps;
		this.#config = config;
		this.#log = log;
		this.workerCount = workerCount;
		this.#tls = deps.tls;
		deps.tls.onChange((tls) => {
			this.workers.tls(tls);
			this.#tokenizers.setTls(tls.upstream);
		});
		const kvMetrics = createMetricsBuffer();
		this.metricsBuffers = [...Array.from({ length: workerCount }, () => createMetricsBuffer()), kvMetrics];
		const { kv_events: kv } = config.data;
		this.#targets = targets;
		this.#kvTable = createKvTable(config.fleet.targets_max, kv.blocks_max);
		this.#kvEvents = new KvEvents(
			{
				table: this.#kvTable,
				blocksMax: kv.blocks_max,
				options: {
					messageBytesMax: kv.message_max_bytes,
					waitingMax: kv.waiting_max,
					connectTimeoutMs: kv.connect_timeout_ms,
					replayTimeoutMs: kv.replay_timeout_ms,
					reconnectMsMax: kv.reconnect_max_ms,
				},
				metrics: kvMetrics,
				logLevel: log.level(),
				loopLagPeriodMs: config.telemetry.loop_lag_period_ms,
			},
			clock,
			log,
		);
		this.quotas = new QuotaPart({
			leaseMs: config.data.quota.lease_ms,
			periodMs: config.data.quota.period_ms,
			tenantsMax: config.fleet.tenants_max,
			workerCount,
			engine: deps.engine,
			clock,
			tenants: deps.tenants,
			nodeId: deps.nodeId,
			granted: (tenants) => this.workers.quotaGranted(tenants),
			failed: (what, error) => log.warn({ error: error instanceof Error ? error.message : error }, what),
		});
		this.flows = new FlowExchange({
			clock,
			workerCount,
			tenants: deps.tenants,
			send: (worker, flows) => this.workers.tell(worker, { kind: 'flowsHeard', flows }),
			dropped: (flows) => metrics.flowsDropped(flows),
		});
		this.#tokenizers = new Tokenizers(
			config.data.tokenizer.threads,
			{ options: tokenServiceOptions(config), logLevel: log.level(), tls: deps.tls.current.upstream },
			log,
		);
		const control = new SharedArrayBuffer(CONTROL_BYTES);
		const counters = new InflightReader(deps.inflight);
		this.capacity = new CapacityPart({ config, clock, targets, counters, buffers: this.metricsBuffers });
		this.experiments = new RouterTelemetry({
			incarnation: randomUUID(),
			blockOf: (model, tag) => {
				const experiment = this.strategies.staging.get(model)?.experiment;
				return experiment?.tag === tag ? experiment.block : undefined;
			},
			targetsOf: (model) => targetReadings(targets, counters, deps.queueDepth, model),
		});
		const seed = randomBytes(8);
		const meshSeed: readonly [number, number] = [seed.readUInt32LE(0), seed.readUInt32LE(4)];
		this.#loras = new LoraSets(clock, config.fleet.publish_ms, (sets) => this.workers.loras(sets));
		this.workers = new WorkerGroup(
			{ ...workerGroupDefaults, prepareTimeoutMs: config.strategy.prepare_timeout_ms },
			clock,
			control,
			(worker, port) => this.#workerStart(deps, control, meshSeed, worker, port),
			(send, worker) => {
				this.strategies.introduce({
					addStrategy: (strategy) => send({ kind: 'strategy', strategy }),
					addState: (versionId, poolIndex, shared) => send({ kind: 'state', versionId, poolIndex, shared }),
				});
				send({ kind: 'prepare', plan: this.strategies.currentPlan() });
				send({ kind: 'directory', snapshot: targets.snapshot() });
				send({ kind: 'loras', sets: this.#loras.all() });
				this.#tokenizers.introduce(send);
				this.recorder.introduce(worker, send);
			},
			{
				outcomes: (batch) => {
					targets.attempts(attemptsOf(batch), batch.loads);
					this.capacity.observe(batch);
					if (this.strategies.observes) this.strategies.observe(observedOf(batch));
				},
				cohorts: (deltas) => this.experiments.merge(deltas),
				shadows: (worker, counts) => void this.#shadows.set(worker, counts),
				strike: (strike) => this.strategies.strike(strike),
				quotaWanted: (tenant) => this.quotas.want(tenant),
				flows: (worker, changes) => this.flows.fromWorker(worker, changes),
				strategyLog: (label, text) => log.info({ strategy: label, text }, 'strategy log'),
				died: (worker, message) => {
					this.quotas.board.reclaim(worker);
					this.flows.died(worker);
					metrics.workerRestarted();
					log.error({ worker, error: message }, 'a data-plane worker ended and is being replaced');
				},
			},
			deps.spawnWorker,
		);
		this.strategies = new StrategyManager(
			{
				...roomOptions(config),
				fuel: fuelBudget(config),
				quarantine: quarantineOptions(config),
				statePublishMs: config.strategy.state_publish_ms,
				meshSeed,
			},
			{
				clock,
				judge: deps.judge,
				gradeOf: deps.gradeOf,
				native: createNativeMetrics(deps.block, (versionId) => this.strategies.labelOf(versionId)),
				compile: async ({ wasm }, native) =>
					isLibrary(wasm)
						? {
								native,
								library: wasm,
								engine: await buildNativeEngine(nativeCompiler(config)),
								limits: nativeLimits(config),
							}
						: compileInThread(wasm, config.strategy.admission_timeout_ms * admissionServiceDefaults.clockFactor, clock),
				workers: recordedWorkers(this.workers, () => this.recorder),
				pools: () => targets.registry.pools(),
				openView: (pool) =>
					new PoolView(
						new FleetTableReader(deps.table),
						counters,
						pool.targets.map((target) => target?.tableRow ?? HOLE),
						pool.targets.map((target) => target?.generation ?? 0),
						pool.policy.allowed,
					),
				events: {
					swapped: (label, kind) => {
						metrics.swapped(label, kind);
						log.info({ strategy: label, kind }, 'routing plan changed');
					},
					struck: (label, cause, place) => log.warn({ strategy: label, cause, place }, 'strike against a strategy'),
					quarantined: (label) => {
						metrics.quarantined(label);
						log.error({ strategy: label }, 'strategy quarantined; the built-in least_queue decides');
					},
				},
			},
		);
		this.recorder = new RecorderPart(recorderOptions(config), {
			clock,
			log,
			node: config.node.id,
			version: meshVersion,
			meshSeed,
			blockTokens: config.data.prefix_index.block_tokens,
			workerCount,
			fuel: fuelBudget(config),
			strategies: () => this.strategies.list().map(({ strategy }) => strategy),
			moduleOf: deps.moduleOf,
			tell: (worker, message) => this.workers.tell(worker, message),
		});
		const ticking = clock.every(TICK_MS, () => this.strategies.tick(), { unref: true });
		this.#stopTicking = () => ticking.cancel();
	}

	/** The shadows of this router, over all its workers. */
	shadows(): ShadowReport[] {
		return shadowReports([...this.#shadows.values()].flat());
	}

	/** `http(s)://host:port` where clients send requests. */
	get dataUrl(): string {
		const { host } = this.#config.data;
		const scheme = this.#config.data.tls.cert_file === undefined ? 'http' : 'https';
		return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${this.workers.port}`;
	}

	/** Rejects with EADDRINUSE when another process has the port: workers share theirs, so none of them would notice. */
	checkPort(): Promise<void> {
		return checkPort(this.#config.data.host, this.#config.data.port);
	}

	/** Rejects when a worker cannot listen; that decisions cannot be recorded is said, and keeps nobody from serving. */
	async start(): Promise<void> {
		await this.workers.start(this.workerCount, this.#config.data.port);
		if (!this.#config.recorder.enabled) return;
		await this.recorder
			.start()
			.catch((error: unknown) => this.#log.error({ error: String(error) }, 'decisions are not recorded'));
	}

	directory(pools: readonly ModelPool[], snapshot: DirectorySnapshot): void {
		this.flows.setPools(pools);
		this.strategies.poolsChanged(pools);
		this.workers.directory(snapshot);
		this.#kvEvents.directory(this.#targets.registry.records(), pools);
		this.#loras.retain(this.#targets.registry.records());
	}

	/** A target's report says which LoRA adapters are loaded there. */
	lorasReported(record: TargetRecord, names: readonly string[]): void {
		this.#loras.reported(record, names);
	}

	/** Streams may finish for `data.shutdown_grace_ms`. */
	async close(): Promise<void> {
		this.#loras.close();
		await this.recorder.close();
		await this.workers.close(this.#config.data.shutdown_grace_ms);
		this.flows.close();
		await this.quotas.close();
		this.#stopTicking();
		this.capacity.close();
		this.strategies.close();
		await this.#kvEvents.close();
		await this.#tokenizers.close();
	}

	#workerStart(
		{ config, log, names, access, table, inflight, limits, workerCount }: RouterPartDeps,
		control: SharedArrayBuffer,
		meshSeed: readonly [number, number],
		worker: number,
		port: number,
	): WorkerStart {
		const { data, node, strategy, telemetry, fleet } = config;
		const { keys, tenants, responseKey } = access();
		return {
			worker,
			host: data.host,
			port,
			table,
			inflight,
			limits,
			quotas: this.quotas.shared,
			control,
			metrics: this.metricsBuffers[worker] as SharedArrayBuffer,
			router: withTls(routerOptions(config), this.#tls.current),
			prefixIndex: {
				blocksMax: data.prefix_index.blocks_max,
				blockTokens: data.prefix_index.block_tokens,
				lookupBlocksMax: data.prefix_index.lookup_blocks_max,
				targetTokens: data.prefix_index.target_tokens,
				speculativeMs: data.prefix_index.speculative_ms,
				workers: workerCount,
			},
			kvTable: this.#kvTable,
			tokens: tokenClientOptions(config),
			fuel: fuelBudget(config),
			spares: strategy.spares,
			topK: strategy.ranked_rows,
			spreadRatio: strategy.spread_ratio,
			explorationRatio: strategy.exploration_ratio,
			witnessEvery: strategy.witness_every,
			explainEntriesMax: data.decisions_kept_max,
			shadow: {
				cpuShare: strategy.shadow_cpu_ratio,
				rerunEvery: strategy.shadow_rerun_every,
				workers: workerCount,
			},
			meshSeed,
			zone: names.zones.intern(node.zone),
			region: names.regions.intern(node.region),
			openWithoutKeys: isLoopback(data.host),
			keys,
			tenants,
			responseKey,
			tenantsMax: fleet.tenants_max,
			lorasMax: LORAS_MAX,
			log: { level: log.level(), requests: telemetry.log_requests },
			loopLagPeriodMs: telemetry.loop_lag_period_ms,
			tracing: {
				endpoint: telemetry.otlp_endpoint ?? process.env['OTEL_EXPORTER_OTLP_ENDPOINT'],
				ratio: telemetry.trace_ratio,
				queueMax: telemetry.trace_queue_max,
				node: node.id,
				zone: node.zone,
			},
		};
	}
}

/** The workers, with the recorder told of a strategy before any of them can decide with it. */
function recordedWorkers(workers: WorkerGroup, recorder: () => RecorderPart): StrategyWorkers {
	return {
		addStrategy(strategy) {
			void recorder().strategy(strategy);
			workers.addStrategy(strategy);
		},
		addState: (versionId, poolIndex, shared) => workers.addState(versionId, poolIndex, shared),
		removeStrategy: (versionId) => workers.removeStrategy(versionId),
		commit: (plan) => workers.commit(plan),
	};
}

function withTls(options: RouterOptionsInput, { port, upstream }: DataPlaneTls): RouterOptionsInput {
	return { ...options, tls: port, upstream: { ...options.upstream, tls: upstream } };
}

/** How busy the targets of a model are, as this router has part in it. Those that take no requests are left out: nothing is expected of them. */
function targetReadings(
	targets: TargetService,
	counters: InflightReader,
	queueDepth: (row: number) => number,
	model: string,
): TargetReading[] {
	return targets.registry
		.records()
		.filter(({ spec, hold }) => spec.models.includes(model) && spec.cell === undefined && hold === 'none')
		.filter((record) => ['ready', 'degraded'].includes(targets.fusion.status(record).state))
		.map((record) => ({
			id: record.spec.id,
			inFlight: counters.own(REQUESTS, record.row),
			waiting: targets.fusion.status(record).reportedMs === undefined ? undefined : queueDepth(record.row),
		}));
}
