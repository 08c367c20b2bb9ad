// The composition root of meshd: builds the agent from one configuration and its roles, loads the strategy that decides, starts the data plane where
// one is wanted and the admin API, and takes all of it down again in the reverse order.
import './v8-flags.js';
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { releaseMemoryOnceSettled } from '@infermesh/fabric';
import type { Timer } from '@infermesh/proto';
import { COLUMN_QUEUE_DEPTH } from '@infermesh/sdk';
import { createAdminServer } from '../admin/server.js';
import { trafficOf } from '../admin/traffic.js';
import { addAgentApi } from '../agent-api/agent-api.js';
import type { LoadedConfig } from '../config/load.js';
import { createInflight, InflightReader } from '../fleet/inflight.js';
import { NameTable } from '../fleet/interner.js';
import { LimitLearner } from '../fleet/limit-learner.js';
import type { TargetRecord } from '../fleet/registry.js';
import { createFleetTable, FleetTableWriter } from '../fleet/table.js';
import { type AccessSnapshot, accessOf } from '../mesh/access.js';
import { ownLevel } from '../mesh/level-keeper.js';
import { MeshOperations } from '../mesh/operations.js';
import { StreamBounds } from '../mesh/stream-bounds.js';
import { TargetLinks } from '../mesh/target-distances.js';
import { Reports } from '../reports/reports.js';
import { degradationRow } from '../reports/routes.js';
import { createTargetLimits, TargetLimits } from '../router/admission/target-limits.js';
import { isFull, StrategyJudge } from '../strategy/registry/judge.js';
import type { Admit } from '../strategy/registry/ports.js';
import type { Grade, InlineRule } from '../strategy/signing/grade.js';
import { createMetricsBuffer, MetricsBlock } from '../telemetry/block.js';
import type { Log } from '../telemetry/logger.js';
import { watchLoopLag } from '../telemetry/loop-lag.js';
import { createMeshMetrics } from '../telemetry/mesh-metrics.js';
import { createProcessMetrics } from '../telemetry/process-metrics.js';
import { AdmissionService, admissionServiceDefaults } from './admission-service.js';
import { announceTargets } from './announce.js';
import { followCells } from './cell-targets.js';
import { systemClock, systemRandom } from './clock.js';
import { closeAll } from './close-all.js';
import { createControl } from './control.js';
import { followSources } from './discovery.js';
import { ExperimentPart } from './experiment-part.js';
import { startMeshFabric } from './fabric/mesh-fabric.js';
import { startLocalFabric } from './fabric.js';
import { createFetcher } from './fetcher.js';
import { GpuPart } from './gpu-part.js';
import { inFlightOf } from './in-flight.js';
import { keptResponseKey } from './kept-response-key.js';
import { type LiveTlsPorts, liveAdminTls, liveDataTls } from './live-tls.js';
import { LookingThread } from './looks/looks.js';
import { MeshState } from './mesh-state.js';
import { nodeRecordOf } from './node-record.js';
import {
	adminTokensOf,
	fuelBudget,
	gpuSignalsOptions,
	gpuSources,
	limitOptions,
	looksStart,
	namePolicy,
	nativeCompiler,
	nativeLimits,
	roomOptions,
	routes,
	targetServiceOptions,
} from './options.js';
import { outlast } from './outlast.js';
import { OwnAdapters } from './own-adapters-part.js';
import { PeerLoad } from './peer-load.js';
import {
	type LoopbackReports,
	openLoopbackReports,
	receiverOptions,
	reportSinks,
	reportsOptions,
} from './report-part.js';
import type { RouterPart } from './router-part.js';
import { shadowSamples } from './shadow-samples.js';
import { openStrategySource } from './strategy-source.js';
import { TargetService } from './target-service.js';
import { meshVersion } from './version.js';
import type { SpawnWorker } from './worker-group.js';

export interface MeshDeps {
	readonly log: Log;
	/** Loopback only, no credentials asked. */
	readonly development: boolean;
	/** Whether `fabric.mode: auto` means a mesh; by default it does not. */
	readonly fabric?: 'alone' | 'mesh';
	/**
	 * Folder in which a lone node keeps what outlives it, its experiments and the key of stored responses; undefined = both end with it. A mesh has its replicated
	 * state.
	 */
	readonly keepIn?: string;
	/** Aborts a start that waits for the mesh. */
	readonly signal?: AbortSignal;
	/** Judges modules; by default a child process for each. */
	readonly admit?: Admit;
	/** Starts the thread of a data-plane worker; by default one that runs worker.js. */
	readonly spawnWorker?: SpawnWorker;
}

export interface MeshHandle {
	/** `http://host:port` of the data plane; undefined where none runs. */
	readonly dataUrl: string | undefined;
	/** `http(s)://host:port` of the admin API, status page and metrics. */
	readonly adminUrl: string;
	/** Streams may finish for `data.shutdown_grace_ms`; then everything ends. May be called twice. */
	close(): Promise<void>;
}

const RESPONSE_KEY_BYTES = 32;

/** A key for stored responses, where the mesh has none yet; the one in `keepIn`, where there is one. Throws IM_ROUTE_RESPONSE_KEY_FILE. */
function responseKey(keepIn: string | undefined, log: Log): string {
	const made = randomBytes(RESPONSE_KEY_BYTES).toString('base64url');
	if (keepIn === undefined) return made;
	const { key, unkept } = keptResponseKey(path.join(keepIn, 'node'), made, String(process.pid));
	if (unkept !== undefined)
		log.warn(
			{ code: unkept.code, file: unkept.where, error: unkept.message },
			'stored responses will not outlive this node',
		);
	return key;
}

/** A node that starts waits this long for the mesh's strategies before it serves. */
const STRATEGIES_WAIT_MS = 30_000;

/** Starts a mesh node. Rejects with a MeshError when a part cannot start; what had started is taken down again. */
export async function startMesh(loaded: LoadedConfig, deps: MeshDeps): Promise<MeshHandle> {
	const { config } = loaded;
	const { log, development } = deps;
	const clock = systemClock;
	const random = systemRandom();
	const workerCount = config.data.workers === 0 ? Math.max(1, availableParallelism() - 1) : config.data.workers;

	const tableShared = createFleetTable(config.fleet.targets_max);
	const inflightShared = createInflight(config.fleet.targets_max, routes(config) ? workerCount : 1);
	const table = new FleetTableWriter(tableShared);
	const counters = new InflightReader(inflightShared);
	const limitsShared = createTargetLimits(config.fleet.targets_max, config.data.flow.target_requests_max > 0);
	const agentMetrics = createMetricsBuffer();
	const agentBlock = new MetricsBlock(agentMetrics);
	const meshMetrics = createMeshMetrics(agentBlock);
	const lag = watchLoopLag(agentBlock, clock, 'main', config.telemetry.loop_lag_period_ms);
	const names = {
		targets: new NameTable(config.fleet.targets_max * 4),
		nodes: new NameTable(config.fleet.targets_max),
		zones: new NameTable(1024),
		regions: new NameTable(1024),
		models: new NameTable(config.fleet.models_max),
		revisions: new NameTable(config.fleet.models_max * 4),
	};
	const tenants = new NameTable(config.fleet.tenants_max);
	let access: AccessSnapshot = accessOf(tenants, config.keys, [], [], clock.wallMs(), config.data.response_key);
	// A level that is none is refused before anything has started.
	const level = ownLevel(config.fabric.compat_level);
	const mode = config.fabric.mode === 'auto' ? (deps.fabric ?? 'alone') : config.fabric.mode;
	const keepIn = mode === 'mesh' ? undefined : deps.keepIn;
	const newKey = routes(config) && config.data.response_key === undefined ? responseKey(keepIn, log) : undefined;
	const fabric =
		mode === 'mesh'
			? await startMeshFabric(config, { log, version: meshVersion, signal: deps.signal })
			: startLocalFabric(config.node.id, (error) => log.error({ error: String(error) }, 'a watcher of records failed'));

	const admission = new AdmissionService(
		{
			...admissionServiceDefaults,
			timeoutMs: config.strategy.admission_timeout_ms,
			memoryMib: config.strategy.admission_memory_mib,
			compiler: nativeCompiler(config),
			native: nativeLimits(config),
		},
		clock,
	);
	const judge = new StrategyJudge(
		{
			fuel: fuelBudget(config),
			moduleBytesMax: config.strategy.module_max_bytes,
			settings: config.strategy.settings,
		},
		{
			clock,
			admit: deps.admit ?? ((bytes, admitOptions) => admission.admit(bytes, admitOptions)),
			admitted: (label, admitted, durationMs) => {
				meshMetrics.admitted(admitted ? 'admitted' : 'refused', durationMs);
				log.info({ strategy: label, admitted, durationMs: Math.round(durationMs) }, 'strategy admission');
			},
		},
	);
	const reloading: LiveTlsPorts = { clock, log, reloaded: (of, result) => meshMetrics.tlsReloaded(of, result) };
	const tls = liveDataTls(config.data, reloading);
	const adminTls = liveAdminTls(config.admin, reloading);
	const { upstream: upstreamTls } = tls.current;
	const fetcher = createFetcher(clock, upstreamTls);
	const looks = new LookingThread<TargetRecord>(
		looksStart(config, [random.nextU32(), random.nextU32()], upstreamTls),
		clock,
		(error) => log.error({ error: String(error) }, 'the looking thread has failed and is started anew'),
	);
	tls.onChange(({ upstream }) => {
		fetcher.setTls(upstream);
		looks.setTls(upstream);
	});
	let router: RouterPart | undefined;
	let peerLoad: PeerLoad | undefined;
	const targets: TargetService = new TargetService(targetServiceOptions(config), {
		clock,
		table,
		counters,
		names,
		fetch: fetcher.fetch,
		looks,
		metrics: meshMetrics,
		limits: new LimitLearner(limitOptions(config), table, counters, new TargetLimits(limitsShared)),
		links: () => links.lookUp(),
		watches: (id) =>
			routes(config) || (config.roles.includes('gpu') && state.targets.get(id)?.value.announcedBy === fabric.nodeId),
		onLoras: (record, names) => router?.lorasReported(record, names),
		onDirectory: (pools, snapshot) => {
			router?.directory(pools, snapshot);
			peerLoad?.rowsChanged();
			gpus.targetsChanged();
		},
	});
	const gpus = new GpuPart(gpuSignalsOptions(config), {
		clock,
		log,
		metrics: meshMetrics,
		targets,
		sources: gpuSources(config),
		quarantineRatioMax: config.gpu.quarantine_ratio_max,
		changed: (said) =>
			void state
				.reportGpus({ name: config.node.id, ...said })
				.catch((error: unknown) => log.warn({ error: String(error) }, 'telling the mesh of GPUs')),
	});
	if (routes(config)) {
		const part = await import('./router-part.js');
		router = new part.RouterPart({
			config,
			clock,
			log,
			workerCount,
			table: tableShared,
			inflight: inflightShared,
			limits: limitsShared,
			names,
			tenants,
			engine: fabric.engine,
			nodeId: fabric.nodeId,
			targets,
			judge,
			gradeOf: (label) => state.gradeOf(label),
			metrics: meshMetrics,
			block: agentBlock,
			moduleOf: async (label) => {
				const blob = state.strategies.get(label)?.value.blob;
				return blob === undefined ? undefined : fabric.blobs.get(blob);
			},
			access: () => access,
			queueDepth: (row) => table.getF32(COLUMN_QUEUE_DEPTH, row),
			spawnWorker: deps.spawnWorker,
			tls,
		});
	}
	const state: MeshState = new MeshState({
		clock,
		engine: fabric.engine,
		blobs: fabric.blobs,
		nodeId: fabric.nodeId,
		nodeName: config.node.id,
		lease: fabric.lease,
		judge,
		full: () => isFull(state.strategies.all().length, servedPools(targets), roomOptions(config)),
		manager: router?.strategies,
		targets: {
			current: () =>
				new Map(
					targets.registry
						.records()
						.filter(({ spec }) => spec.cell === undefined)
						.map((record) => [record.spec.id, { spec: record.spec, hold: record.hold }]),
				),
			add: (spec) => void targets.add(spec),
			remove: (id) => void targets.remove(id),
			hold: (id, hold) => void targets.hold(id, hold),
		},
		setPolicies: (policies, policyNames) => targets.setPolicies(policies, policyNames),
		setQuotas: (quotas) => router?.quotas.set(quotas),
		setGpus: (others) => gpus.elsewhere(others),
		configuredNames: namePolicy(config),
		tenants,
		configuredKeys: config.keys,
		responseKey: config.data.response_key,
		requiredGrade: config.strategy.require as Grade,
		inlineRule: config.strategy.native.inline as InlineRule,
		setAccess: (next) => {
			access = next;
			router?.workers.access(next);
		},
		inFlight: inFlightBy(
			router,
			(nodeId) => inFlightOf(targets.registry.records(), state, counters, nodeId),
			fabric.nodeId,
		),
		level: {
			own: level,
			raises: config.roles.includes('coordinator'),
			members: () => {
				const group = fabric.state();
				return group === undefined ? [] : [...group.voters, ...group.learners];
			},
			settleMs: 2 * config.fabric.lease_ttl_ms,
			changed: (next) => {
				log.info({ level: next }, 'level of the mesh');
				fabric.setLevel(next);
			},
		},
		handOver: async () => {
			if (fabric.group?.leads() === true) await fabric.group.transferLeadership(undefined);
		},
		failed: (what, error) => log.warn({ error: error instanceof Error ? error.message : error }, what),
	});
	const links = new TargetLinks({
		nodeId: fabric.nodeId,
		place: config.node,
		nodes: () => nodesOf(),
		announcedBy: (id) => state.targets.get(id)?.value.announcedBy,
		topology: fabric.topology,
	});
	const mesh = new MeshOperations({
		clock,
		engine: fabric.engine,
		version: meshVersion,
		mirrors: state,
		fabric,
		onChange: (listener) => state.onChange(listener),
		until: (holds, timeoutMs, late) => state.until(holds, timeoutMs, late),
		randomBytes,
		audit: (entry) => log.info({ ...entry }, 'audit'),
	});
	const experiments = new ExperimentPart({
		config,
		clock,
		random,
		fabric,
		state,
		targets,
		router,
		audit: (entry) => log.info({ ...entry }, 'audit'),
		log,
		keepIn: keepIn === undefined ? undefined : path.join(keepIn, 'experiments'),
	});
	let linksSeen = fabric.topology();
	const unlink = fabric.onChange(() => {
		if (router === undefined || fabric.topology() === linksSeen) return;
		linksSeen = fabric.topology();
		targets.relink();
	});

	const nodesOf = () => ({ revision: state.nodes.revision, all: state.nodes.all().map(({ value }) => value) });
	if (router !== undefined && fabric.server !== undefined)
		peerLoad = new PeerLoad({
			config,
			clock,
			random,
			inflight: inflightShared,
			fabric,
			targets,
			flows: router.flows,
			nodes: nodesOf,
			onChange: (listener) => state.onChange(listener),
			metrics: meshMetrics,
			log,
		});
	const stopCells =
		router === undefined
			? () => undefined
			: followCells({ config, fabric, targets, table, counters, metrics: meshMetrics, log });
	const reports = new Reports(reportsOptions(config), {
		clock,
		degraded: (inForce) => {
			const record = { name: config.node.id, inForce: inForce.map(degradationRow) };
			gpus.network(record.inForce);
			log.warn({ degradations: record.inForce }, 'degradations of links, ranks and stores');
			state
				.reportDegradations(record)
				.catch((error: unknown) => log.warn({ error: String(error) }, 'telling the mesh of degradations'));
		},
	});
	const reporting = {
		sinks: reportSinks(targets, reports, (delta, { ageMs }) => gpus.reported(delta, ageMs)),
		options: receiverOptions(config),
		streamsMax: config.reports.streams_max,
	};
	const adminTokens = adminTokensOf(config);
	const streams = new StreamBounds((open) => meshMetrics.agentStreams(open));
	let adminUrl = '';
	const meshControl = createControl({
		loaded,
		version: meshVersion,
		development,
		targets,
		gpus,
		state,
		mesh,
		experiments: experiments.operations,
		fabric,
		router,
		table,
		counters,
		reports,
		agentMetrics,
		processMetrics: createProcessMetrics(),
		fuel: fuelBudget(config),
		samples: () => [
			...(peerLoad?.samples() ?? []),
			...(router?.capacity.samples() ?? []),
			...(router?.recorder.samples() ?? []),
			...shadowSamples(router?.shadows() ?? []),
			...(router?.quotas.samples() ?? []),
			...experiments.samples(),
		],
		log,
		adminUrl: () => adminUrl,
	});
	const admin = createAdminServer(
		{
			tokens: adminTokens,
			bodyMaxBytes: config.admin.body_max_bytes,
			requestTimeoutMs: config.admin.request_timeout_ms,
			version: meshVersion,
			log,
			streams,
			tls: adminTls.current,
		},
		meshControl,
	);
	adminTls.onChange((next) => {
		if (next !== undefined) admin.setTls(next);
	});
	const agentApi =
		fabric.server === undefined
			? undefined
			: addAgentApi(fabric.server, {
					mesh,
					self: {
						nodeId: fabric.nodeId,
						name: config.node.id,
						version: meshVersion,
						roles: config.roles,
						certificate: fabric.certificate,
					},
					readiness: () => meshControl.readiness(),
					tokens: adminTokens,
					callers: {
						admins: config.admin.spiffe_admins,
						readers: config.admin.spiffe_readers,
						clientsChange: !fabric.sharedTrustDomain,
					},
					clock,
					log,
					metrics: meshMetrics,
					bounds: streams,
					reports: reporting,
				});

	let loopback: LoopbackReports | undefined;
	let endDiscovery = (): void => undefined;
	let ownAdapters: OwnAdapters | undefined;
	let settling: Timer | undefined;
	let closing: Promise<void> | undefined;
	const close = (): Promise<void> => {
		closing ??= closeAll(
			[
				() => settling?.cancel(),
				() => agentApi?.close(),
				() => loopback?.close(),
				() => ownAdapters?.close(),
				() => reports.close(),
				() => endDiscovery(),
				() => admin.close(),
				() => experiments.close(),
				() => router?.close(),
				unlink,
				stopCells,
				() => peerLoad?.close(),
				() => state.close(),
				() => targets.close(),
				() => gpus.close(),
				() => looks.close(),
				() => fabric.leave(),
				() => fabric.close(),
				() => lag.stop(),
				() => fetcher.close(),
				() => tls.close(),
				() => adminTls.close(),
			],
			(error) => log.warn({ error: String(error) }, 'a part of this node does not end'),
		);
		return closing;
	};

	try {
		const failed = (what: string, error: unknown): void => log.warn({ error: String(error) }, what);
		const waiting = { clock, signal: deps.signal, failed };
		await router?.checkPort();
		targets.start();
		looks.gpus((look) => gpus.looked(look));
		await state.ready();
		const startedMs = clock.wallMs();
		// Before anything is written under it: from here on a lease may end at any moment.
		fabric.onLease(() => state.leaseRenewed());
		await outlast('the level of the mesh', () => state.level.admit(), waiting);
		await state.register(nodeRecordOf(config, fabric, startedMs));
		// The mesh may have moved on just before it heard of this node; from here on it waits for it.
		await outlast('the level of the mesh', () => state.level.admit(), waiting);
		await outlast('announcing targets', () => announceTargets(state, targets, loaded, fabric.nodeId), waiting);
		endDiscovery = followSources({ config, state, targets, clock, random, metrics: meshMetrics, log });
		if (newKey !== undefined)
			await state
				.keepResponseKey(newKey)
				.catch((error: unknown) => failed('making the key of stored responses', error));
		if (state.staging.all().length === 0) {
			const { wasm, sourceMap } = await openStrategySource(config.strategy.active, clock);
			const seed = { module: wasm, sourceMap, settings: undefined, activate: true, model: undefined };
			await outlast('the first strategy', () => state.registry.seed(seed), waiting);
		}
		await state.strategiesInForce(STRATEGIES_WAIT_MS);
		await router?.start();
		await experiments.resume();
		ownAdapters = await OwnAdapters.open(config, { clock, reports, log });
		if (fabric.server === undefined)
			loopback = await openLoopbackReports(config.fabric.agent_port, {
				...reporting,
				tokens: adminTokens,
				bounds: streams,
				clock,
				log,
				metrics: meshMetrics,
			});
		adminUrl = await admin.listen({ host: config.admin.host, port: config.admin.port });
		await state.register(nodeRecordOf(config, fabric, startedMs, { admin: adminUrl, data: router?.dataUrl }));
	} catch (error) {
		await close();
		throw error;
	}
	settling = releaseMemoryOnceSettled(clock);
	return { dataUrl: router?.dataUrl, adminUrl, close };
}

/** Requests a node's draining waits for: all this router has, for the node it runs on; those to the node's targets, for any other. */
function inFlightBy(
	router: RouterPart | undefined,
	onTargetsOf: (nodeId: string) => number,
	self: string,
): ((nodeId: string) => number) | undefined {
	if (router === undefined) return undefined;
	return (nodeId) => (nodeId === self ? trafficOf(router.metricsBuffers).inFlight : onTargetsOf(nodeId));
}

function servedPools(targets: TargetService): number {
	return targets.registry.pools().filter((pool) => pool.targets.some((target) => target !== undefined)).length;
}
