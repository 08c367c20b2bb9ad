// The composition root of meshd: builds the agent from one configuration, loads the strategy that decides, starts the data-plane workers and
// the admin API, and takes all of it down again in the reverse order.
import './v8-flags.js';
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { createAdminServer } from '../admin/server.js';
import { trafficOf } from '../admin/traffic.js';
import type { LoadedConfig } from '../config/load.js';
import { isLoopback } from '../config/rules.js';
import { createInflight, InflightReader } from '../fleet/inflight.js';
import { NameTable } from '../fleet/interner.js';
import { HOLE, PoolView } from '../fleet/pool-view.js';
import { createFleetTable, FleetTableReader, FleetTableWriter } from '../fleet/table.js';
import { type AccessSnapshot, accessOf } from '../mesh/access.js';
import { MeshOperations } from '../mesh/operations.js';
import { knownNodes, linkToTarget, nodeOfTarget } from '../mesh/target-distances.js';
import { StrategyManager } from '../strategy/registry/manager.js';
import type { Admit } from '../strategy/registry/ports.js';
import { CONTROL_BYTES } from '../strategy/runtime/plan.js';
import { INSTANCES_MAX } from '../strategy/runtime/plan-runtimes.js';
import { createMetricsBuffer, MetricsBlock } from '../telemetry/block.js';
import type { Log } from '../telemetry/logger.js';
import { watchLoopLag } from '../telemetry/loop-lag.js';
import { createMeshMetrics } from '../telemetry/mesh-metrics.js';
import { createProcessMetrics } from '../telemetry/process-metrics.js';
import { AdmissionService, admissionServiceDefaults } from './admission-service.js';
import { announceTargets } from './announce.js';
import { systemClock, systemRandom } from './clock.js';
import { compileInThread } from './compile-thread.js';
import { createControl } from './control.js';
import { startMeshFabric } from './fabric/mesh-fabric.js';
import { startLocalFabric } from './fabric.js';
import { createFetcher } from './fetcher.js';
import { inFlightOf } from './in-flight.js';
import { MeshState } from './mesh-state.js';
import { nodeRecordOf } from './node-record.js';
import { fuelBudget, namePolicy, quarantineOptions, routerOptions, targetServiceOptions } from './options.js';
import { attemptsOf, observedOf } from './outcome-wire.js';
import { checkPort } from './port-check.js';
import { openStrategySource } from './strategy-source.js';
import { TargetService } from './target-service.js';
import { meshVersion } from './version.js';
import { type SpawnWorker, WorkerGroup, workerGroupDefaults } from './worker-group.js';
import type { WorkerStart } from './worker-protocol.js';

export interface MeshDeps {
	readonly log: Log;
	/** Loopback only, no credentials asked. */
	readonly development: boolean;
	/** Whether `fabric.mode: auto` means a mesh; by default it does not. */
	readonly fabric?: 'alone' | 'mesh';
	/** Aborts a start that waits for the mesh. */
	readonly signal?: AbortSignal;
	/** Judges modules; by default a child process for each. */
	readonly admit?: Admit;
	/** Starts the thread of a data-plane worker; by default one that runs worker.js. */
	readonly spawnWorker?: SpawnWorker;
}

export interface MeshHandle {
	/** `http://host:port` of the data plane. */
	readonly dataUrl: string;
	/** `http://host:port` of the admin API, status page and metrics. */
	readonly adminUrl: string;
	/** Streams may finish for `data.shutdown_grace_ms`; then everything ends. May be called twice. */
	close(): Promise<void>;
}

/** A node that starts waits this long for the mesh's strategies before it serves. */
const STRATEGIES_WAIT_MS = 30_000;
/** How often strategies with a `tick` hook are called. */
const TICK_MS = 1000;
const LORAS_MAX = 4096;

/** Starts a mesh node. Rejects with a MeshError when a part cannot start; what had started is taken down again. */
export async function startMesh(loaded: LoadedConfig, deps: MeshDeps): Promise<MeshHandle> {
	const { config } = loaded;
	const { log, development } = deps;
	const clock = systemClock;
	const random = systemRandom();
	const workerCount = config.data.workers === 0 ? Math.max(1, availableParallelism() - 1) : config.data.workers;

	const tableShared = createFleetTable(config.fleet.targets_max);
	const inflightShared = createInflight(config.fleet.targets_max, workerCount);
	const control = new SharedArrayBuffer(CONTROL_BYTES);
	const table = new FleetTableWriter(tableShared);
	const counters = new InflightReader(inflightShared);
	const agentMetrics = createMetricsBuffer();
	const workerMetrics = Array.from({ length: workerCount }, () => createMetricsBuffer());
	const agentBlock = new MetricsBlock(agentMetrics);
	const meshMetrics = createMeshMetrics(agentBlock);
	const lag = watchLoopLag(agentBlock, clock, 'main', config.telemetry.loop_lag_period_ms);
	const fuel = fuelBudget(config);
	const seed = randomBytes(8);
	const meshSeed: readonly [number, number] = [seed.readUInt32LE(0), seed.readUInt32LE(4)];
	const names = {
		targets: new NameTable(config.fleet.targets_max * 4),
		nodes: new NameTable(config.fleet.targets_max),
		zones: new NameTable(1024),
		regions: new NameTable(1024),
		models: new NameTable(config.fleet.models_max),
		revisions: new NameTable(config.fleet.models_max * 4),
	};
	const tenants = new NameTable(config.fleet.tenants_max);
	let access: AccessSnapshot = accessOf(tenants, config.keys, [], [], clock.wallMs());
	const mode = config.fabric.mode === 'auto' ? (deps.fabric ?? 'alone') : config.fabric.mode;
	const fabric =
		mode === 'mesh'
			? await startMeshFabric(config, { log, version: meshVersion, signal: deps.signal })
			: startLocalFabric(config.node.id, (error) => log.error({ error: String(error) }, 'a watcher of records failed'));

	const makeStart = (worker: number, port: number): WorkerStart => ({
		worker,
		host: config.data.host,
		port,
		table: tableShared,
		inflight: inflightShared,
		control,
		metrics: workerMetrics[worker] as SharedArrayBuffer,
		router: routerOptions(config),
		prefixIndex: {
			blocksMax: config.data.prefix_index.blocks_max,
			blockTokens: config.data.prefix_index.block_tokens,
			lookupBlocksMax: config.data.prefix_index.lookup_blocks_max,
		},
		fuel,
		spares: config.strategy.spares,
		topK: config.strategy.ranked_rows,
		witnessEvery: config.strategy.witness_every,
		explainEntriesMax: config.data.decisions_kept_max,
		meshSeed,
		zone: names.zones.intern(config.node.zone),
		region: names.regions.intern(config.node.region),
		openWithoutKeys: isLoopback(config.data.host),
		keys: access.keys,
		tenants: access.tenants,
		tenantsMax: config.fleet.tenants_max,
		lorasMax: LORAS_MAX,
		log: { level: log.level(), requests: config.telemetry.log_requests },
		loopLagPeriodMs: config.telemetry.loop_lag_period_ms,
		tracing: {
			endpoint: config.telemetry.otlp_endpoint ?? process.env['OTEL_EXPORTER_OTLP_ENDPOINT'],
			ratio: config.telemetry.trace_ratio,
			queueMax: config.telemetry.trace_queue_max,
			node: config.node.id,
			zone: config.node.zone,
		},
	});

	const admission = new AdmissionService(
		{
			...admissionServiceDefaults,
			timeoutMs: config.strategy.admission_timeout_ms,
			memoryMib: config.strategy.admission_memory_mib,
		},
		clock,
	);
	const workers: WorkerGroup = new WorkerGroup(
		workerGroupDefaults,
		clock,
		control,
		makeStart,
		(send) => {
			strategies.introduce({
				addStrategy: (strategy) => send({ kind: 'strategy', strategy }),
				addState: (versionId, poolIndex, shared) => send({ kind: 'state', versionId, poolIndex, shared }),
			});
			send({ kind: 'prepare', plan: strategies.currentPlan() });
			send({ kind: 'directory', snapshot: targets.snapshot() });
		},
		{
			outcomes(batch) {
				targets.attempts(attemptsOf(batch));
				if (strategies.observes) strategies.observe(observedOf(batch));
			},
			strike: (strike) => strategies.strike(strike),
			strategyLog: (label, text) => log.info({ strategy: label, text }, 'strategy log'),
			died(worker, message) {
				meshMetrics.workerRestarted();
				log.error({ worker, error: message }, 'a data-plane worker ended and is being replaced');
			},
		},
		deps.spawnWorker,
	);
	const fetcher = createFetcher(clock);
	const targets: TargetService = new TargetService(targetServiceOptions(config), {
		clock,
		random,
		table,
		counters,
		names,
		fetch: fetcher.fetch,
		metrics: meshMetrics,
		links() {
			const nodes = knownNodes(
				state.nodes.all().map(({ value }) => value),
				(id) => state.targets.get(id)?.value.announcedBy,
			);
			const links = new Map(fabric.topology().links.map(({ nodeId, estimate }) => [nodeId, estimate]));
			const from = { nodeId: fabric.nodeId, place: config.node, links };
			return (spec) => linkToTarget(spec, nodeOfTarget(spec, nodes), from);
		},
		onDirectory(pools, snapshot) {
			strategies.poolsChanged(pools);
			workers.directory(snapshot);
		},
	});
	const strategies: StrategyManager = new StrategyManager(
		{
			fuel,
			moduleBytesMax: config.strategy.module_max_bytes,
			loadedMax: config.strategy.loaded_max,
			instancesMax: INSTANCES_MAX,
			instancesPerPool: 1 + config.strategy.spares,
			quarantine: quarantineOptions(config),
			statePublishMs: config.strategy.state_publish_ms,
			meshSeed,
			settings: config.strategy.settings,
		},
		{
			clock,
			admit: deps.admit ?? ((bytes, admitOptions) => admission.admit(bytes, admitOptions)),
			compile: (wasm) => compileInThread(wasm, config.strategy.admission_timeout_ms, clock),
			workers,
			pools: () => targets.registry.pools(),
			openView: (pool) =>
				new PoolView(
					new FleetTableReader(tableShared),
					counters,
					pool.targets.map((target) => target?.tableRow ?? HOLE),
					pool.targets.map((target) => target?.generation ?? 0),
					pool.policy.allowed,
				),
			events: {
				admitted: (label, admitted, durationMs) => {
					meshMetrics.admitted(admitted ? 'admitted' : 'refused', durationMs);
					log.info({ strategy: label, admitted, durationMs: Math.round(durationMs) }, 'strategy admission');
				},
				swapped: (label, kind) => {
					meshMetrics.swapped(label, kind);
					log.info({ strategy: label, kind }, 'routing plan changed');
				},
				struck: (label, cause, place) => log.warn({ strategy: label, cause, place }, 'strike against a strategy'),
				quarantined: (label) => {
					meshMetrics.quarantined(label);
					log.error({ strategy: label }, 'strategy quarantined; the built-in least_queue decides');
				},
			},
		},
	);
	const state: MeshState = new MeshState({
		clock,
		engine: fabric.engine,
		blobs: fabric.blobs,
		nodeId: fabric.nodeId,
		nodeName: config.node.id,
		lease: fabric.lease,
		manager: strategies,
		targets: {
			current: () =>
				new Map(targets.registry.records().map((record) => [record.spec.id, { spec: record.spec, hold: record.hold }])),
			add: (spec) => void targets.add(spec),
			remove: (id) => void targets.remove(id),
			hold: (id, hold) => void targets.hold(id, hold),
		},
		setPolicies: (policies, policyNames) => targets.setPolicies(policies, policyNames),
		configuredNames: namePolicy(config),
		tenants,
		configuredKeys: config.keys,
		setAccess: (next) => {
			access = next;
			workers.access(next.keys, next.tenants);
		},
		inFlight: (nodeId) =>
			nodeId === fabric.nodeId
				? trafficOf(workerMetrics).inFlight
				: inFlightOf(targets.registry.records(), state, counters, nodeId),
		handOver: async () => {
			if (fabric.group?.leads() === true) await fabric.group.transferLeadership(undefined);
		},
		failed: (what, error) => log.warn({ error: error instanceof Error ? error.message : error }, what),
	});
	const mesh = new MeshOperations({
		clock,
		engine: fabric.engine,
		version: meshVersion,
		mirrors: state,
		fabric,
		until: (holds, timeoutMs, late) => state.until(holds, timeoutMs, late),
		randomBytes,
		audit: (entry) => log.info({ ...entry }, 'audit'),
	});
	let linksSeen = fabric.topology();
	const unlink = fabric.onChange(() => {
		if (fabric.topology() === linksSeen) return;
		linksSeen = fabric.topology();
		targets.relink();
	});
	const ticking = clock.every(TICK_MS, () => strategies.tick(), { unref: true });

	let adminUrl = '';
	const dataUrl = (): string => `http://${hostInUrl(config.data.host)}:${workers.port}`;
	const admin = createAdminServer(
		{
			token: config.admin.token,
			bodyMaxBytes: config.admin.body_max_bytes,
			requestTimeoutMs: config.admin.request_timeout_ms,
			version: meshVersion,
			log,
		},
		createControl({
			loaded,
			version: meshVersion,
			development,
			targets,
			strategies,
			state,
			mesh,
			fabric,
			workers,
			workerCount,
			table,
			counters,
			metricsBuffers: [agentMetrics, ...workerMetrics],
			processMetrics: createProcessMetrics(),
			fuel,
			log,
			addresses: () => ({ dataUrl: dataUrl(), adminUrl }),
		}),
	);

	let closing: Promise<void> | undefined;
	const close = (): Promise<void> => {
		closing ??= (async () => {
			await admin.close();
			await workers.close(config.data.shutdown_grace_ms);
			ticking.cancel();
			unlink();
			state.close();
			targets.close();
			strategies.close();
			await fabric.leave();
			await fabric.close();
			lag.stop();
			await fetcher.close();
		})();
		return closing;
	};

	try {
		await checkPort(config.data.host, config.data.port);
		targets.start();
		await state.ready();
		const startedMs = clock.wallMs();
		// Before anything is written under it: from here on a lease may end at any moment.
		fabric.onLease(() => state.leaseRenewed());
		await state.register(nodeRecordOf(config, fabric, startedMs));
		await announceTargets(state, targets, loaded, fabric.nodeId);
		if (state.staging.all().length === 0) {
			const { wasm, sourceMap } = await openStrategySource(config.strategy.active, clock);
			await state.registry.seed({ module: wasm, sourceMap, settings: undefined, activate: true, model: undefined });
		}
		await state.strategiesInForce(STRATEGIES_WAIT_MS);
		await workers.start(workerCount, config.data.port);
		adminUrl = await admin.listen({ host: config.admin.host, port: config.admin.port });
		await state.register(nodeRecordOf(config, fabric, startedMs, { admin: adminUrl, data: dataUrl() }));
	} catch (error) {
		await close();
		throw error;
	}
	return { dataUrl: dataUrl(), adminUrl, close };
}

function hostInUrl(host: string): string {
	return host.includes(':') ? `[${host}]` : host;
}
