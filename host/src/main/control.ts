// Owns what the admin API can ask of a running mesh: the calls of MeshControl over the target service, the strategy manager and the workers.
import type { EngineStatus } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import type { CapacityRow } from '../admin/capacity-routes.js';
import type { MeshControl } from '../admin/control.js';
import type { GpuRow } from '../admin/gpu-routes.js';
import type { StrategyView, TargetRequest, TargetView } from '../admin/schemas.js';
import { trafficOf } from '../admin/traffic.js';
import type { CapacityView } from '../capacity/advisor.js';
import type { LoadedConfig } from '../config/load.js';
import { targetSchema } from '../config/schema/targets.js';
import type { MeshConfig, TargetConfig } from '../config/schema.js';
import { configRows } from '../config/show.js';
import { experimentErrors } from '../experiments/errors.js';
import type { ExperimentOperations } from '../experiments/operations.js';
import { fleetErrors } from '../fleet/errors.js';
import type { InflightReader } from '../fleet/inflight.js';
import type { TargetRecord } from '../fleet/registry.js';
import type { FleetTableWriter } from '../fleet/table.js';
import { meshErrors } from '../mesh/errors.js';
import type { MeshOperations } from '../mesh/operations.js';
import { storedOf } from '../mesh/target-sync.js';
import { type LifecycleState, recordKinds } from '../records/kinds.js';
import type { Reports } from '../reports/reports.js';
import { reportSamples } from '../reports/samples.js';
import type { FuelBudget } from '../strategy/runtime/instance.js';
import { type CollectedSample, renderMetrics } from '../telemetry/exposition.js';
import type { Log } from '../telemetry/logger.js';
import { systemClock } from './clock.js';
import { fabricNodeErrors } from './fabric/errors.js';
import type { MeshFabric } from './fabric.js';
import type { GpuPart } from './gpu-part.js';
import { gpuRows, gpuSamples } from './gpu-views.js';
import { memberSigns } from './member-signs.js';
import type { MeshState } from './mesh-state.js';
import { targetSpec } from './options.js';
import type { RouterPart } from './router-part.js';
import { type StrategyShelf, strategyShelf } from './strategy-shelf.js';
import type { TargetService } from './target-service.js';
import { collectSamples, fabricSamples, targetView } from './views.js';

/** This node has this long to follow what it has written itself. */
const FOLLOW_MS = 10_000;

/** An engine that does not say how it stands within this time has no quorum for a probe. */
const QUORUM_ANSWER_MS = 500;
/** A node about which this was decided asks for no requests. */
const notServing: ReadonlySet<LifecycleState> = new Set(['draining', 'drained', 'quarantined']);

export interface ControlParts {
	readonly loaded: LoadedConfig;
	readonly version: string;
	readonly development: boolean;
	readonly targets: TargetService;
	readonly gpus: GpuPart;
	readonly state: MeshState;
	readonly mesh: MeshOperations;
	readonly experiments: ExperimentOperations;
	readonly fabric: MeshFabric;
	/** Undefined where no data plane runs. */
	readonly router: RouterPart | undefined;
	readonly table: FleetTableWriter;
	readonly counters: InflightReader;
	readonly reports: Reports;
	readonly agentMetrics: SharedArrayBuffer;
	readonly processMetrics: { text(): Promise<string> };
	readonly fuel: FuelBudget;
	/** Gauges of parts that only some nodes have. */
	readonly samples: () => readonly CollectedSample[];
	readonly log: Log;
	readonly adminUrl: () => string;
}

/** A target as the admin API takes it, with the defaults of the configuration's own schema. */
function configured(request: TargetRequest, config: MeshConfig): TargetConfig {
	const defaults = Object.fromEntries(
		Object.entries(targetSchema.properties).flatMap(([key, schema]) =>
			'default' in schema ? [[key, schema.default]] : [],
		),
	) as unknown as TargetConfig;
	const { apiKey, upstreamModel, dataParallelRank, bootstrapPort, fetchesPrefixes, ...others } = request;
	const { costPerHour, gpuShare, metricsPath, healthPath, kvEvents, ...same } = others;
	const given = {
		...same,
		api_key: apiKey,
		upstream_model: upstreamModel,
		data_parallel_rank: dataParallelRank,
		bootstrap_port: bootstrapPort,
		fetches_prefixes: fetchesPrefixes,
		cost_per_hour: costPerHour,
		gpu_share: gpuShare,
		metrics_path: metricsPath,
		health_path: healthPath,
		kv_events: kvEvents?.map((publisher) => Object.assign({ topic: '' }, publisher)),
	};
	const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
	return {
		...defaults,
		zone: config.node.zone,
		region: config.node.region,
		...present,
	};
}

function capacityRow(view: CapacityView, nowMs: number): CapacityRow {
	const { objectives, atMs, sustainablePerS, goodRatio, drainFirst, ...same } = view;
	return {
		...same,
		...objectives,
		sustainablePerS: sustainablePerS ?? null,
		goodRatio: goodRatio ?? null,
		drainFirst: [...drainFirst],
		ageMs: nowMs - atMs,
	};
}

export function createControl(parts: ControlParts): MeshControl {
	const { loaded, targets, state, router, table, counters, log } = parts;
	const { config } = loaded;
	const metricsBuffers = [parts.agentMetrics, ...(router?.metricsBuffers ?? [])];
	const startedMs = systemClock.wallMs();
	const viewTarget = (record: TargetRecord): TargetView =>
		targetView(record, targets, table, counters, systemClock.wallMs());
	const largestPool = (): number =>
		targets.registry.pools().reduce((most, pool) => Math.max(most, pool.targets.length), 0);
	const shelf: StrategyShelf = strategyShelf({
		manager: router?.strategies,
		state,
		fuelBudget: () => parts.fuel.base + parts.fuel.perTarget * largestPool(),
		nowMs: () => systemClock.nowMs(),
	});
	const listTargets = (): TargetView[] => targets.registry.records().map(viewTarget);
	const listGpus = (): GpuRow[] =>
		gpuRows(parts.gpus.signals, targets.registry.records(), parts.gpus.heldBack, Math.floor(systemClock.wallMs()));
	const gpuRow = (uuid: string): GpuRow => listGpus().find(({ id }) => id === uuid) as GpuRow;
	/** What only a router can answer. IM_NODE_ROLE says who could. */
	const mustRoute = (): RouterPart => {
		if (router !== undefined) return router;
		const routers = state.nodes.all().filter(({ value }) => value.addresses.data !== undefined);
		const named = routers.map(({ value }) => value.name).sort();
		const who = named.length === 0 ? 'no node of the mesh does' : named.join(', ');
		throw new MeshError(
			meshErrors,
			'IM_NODE_ROLE',
			`${config.node.id} runs no router (roles: ${config.roles.join(', ')}); these do: ${who}`,
		);
	};
	const mustKnow = (id: string): void => {
		if (state.targets.get(id) === undefined)
			throw new MeshError(fleetErrors, 'IM_TARGET_UNKNOWN', `no target has the id ${id}`);
	};
	/** As far as is known at once: probes and scrapes wait for nobody. */
	const stateNow = (): Promise<Pick<EngineStatus, 'quorum' | 'noSpace'>> => {
		const unknown = { quorum: false, noSpace: false };
		const status = parts.fabric.engine.status().catch(() => unknown);
		const late = Promise.withResolvers<typeof unknown>();
		const timer = systemClock.after(QUORUM_ANSWER_MS, () => late.resolve(unknown), { unref: true });
		return Promise.race([status, late.promise]).finally(() => timer.cancel());
	};
	/** Waits until this node follows what was written about a target. */
	const followed = (id: string, holds: () => boolean): Promise<void> =>
		state.until(
			() => holds() || state.targetSync.refusal(id) !== undefined,
			FOLLOW_MS,
			() => new MeshError(fleetErrors, 'IM_TARGET_LAGGING', `target ${id}: written, and not followed here yet`),
		);
	return {
		status() {
			const all = listTargets();
			const models = targets.registry.pools().filter((pool) => pool.targets.some((target) => target !== undefined));
			return {
				version: parts.version,
				nodeVersion: process.version,
				node: config.node.id,
				startedAt: new Date(startedMs).toISOString(),
				uptimeS: (systemClock.wallMs() - startedMs) / 1000,
				roles: [...config.roles],
				level: { node: state.level.own, mesh: state.level.level },
				dataUrl: router?.dataUrl ?? null,
				adminUrl: parts.adminUrl(),
				development: parts.development,
				workers: router?.workers.listening ?? 0,
				models: [...new Set(models.map((pool) => pool.model))].sort(),
				targets: {
					total: all.length,
					watched: targets.registry.records().filter((record) => targets.watched(record)).length,
					serving: all.filter(({ state }) => state === 'ready' || state === 'degraded').length,
				},
				activeStrategy: shelf.activeLabel(),
				modelStrategies: ownStrategies(shelf.list()),
				traffic: trafficOf(metricsBuffers),
			};
		},
		async readiness() {
			const reasons: string[] = [];
			const own = state.ownLifecycle();
			if (own !== undefined && notServing.has(own.state))
				reasons.push(`this node is ${own.state}${own.reason === '' ? '' : `: ${own.reason}`}`);
			if (router !== undefined && router.workers.listening < router.workerCount)
				reasons.push(`${router.workers.listening} of ${router.workerCount} data-plane workers listen`);
			// A node asks only about what it is there for: a router needs some target, the node of engines one of its own, any other none.
			const watched = targets.registry.records().filter((record) => targets.watched(record));
			const serving = watched.map(viewTarget).some(({ state }) => state === 'ready' || state === 'degraded');
			if (!serving && (router !== undefined || watched.length > 0)) reasons.push('no target is serving');
			const certificate = parts.fabric.certificate();
			if (certificate !== undefined && certificate.expiresMs <= systemClock.wallMs())
				reasons.push('IM_IDENTITY_EXPIRED: this node’s certificate has expired, and other nodes refuse it');
			const apart = state.level.refusal();
			if (apart !== undefined) reasons.push(apart);
			const degraded: string[] = [];
			if (!parts.fabric.inTouch()) degraded.push('local-only: cut off from gossip');
			const member = memberSigns(parts.fabric.memberEnded());
			reasons.push(...member.reasons);
			degraded.push(...member.degraded);
			degraded.push(...parts.fabric.degraded());
			const { quorum, noSpace } = await stateNow();
			if (!quorum) degraded.push('no quorum of coordinators: the last configuration serves on and cannot be changed');
			if (noSpace)
				degraded.push('no space for replicated state: the last configuration serves on and cannot be changed');
			return { ready: reasons.length === 0, reasons, degraded };
		},
		mesh: parts.mesh,
		experiments: parts.experiments,
		reports: parts.reports,
		gpus: {
			list: listGpus,
			hold(uuid, by) {
				parts.gpus.hold(uuid, by);
				return gpuRow(uuid);
			},
			release(uuid) {
				parts.gpus.release(uuid);
				return gpuRow(uuid);
			},
		},
		capacity: () => (router?.capacity.views() ?? []).map((view) => capacityRow(view, systemClock.nowMs())),
		listTargets,
		async addTarget(request) {
			const spec = await targets.complete(targetSpec(configured(request, config), config));
			try {
				await state.records.put(recordKinds.targets, spec.id, storedOf(spec, undefined), { ifRevision: 0 });
			} catch (error) {
				if (!(error instanceof MeshError) || error.code !== 'IM_RECORD_CONFLICT') throw error;
				throw new MeshError(fleetErrors, 'IM_TARGET_EXISTS', `target ${spec.id} exists already`);
			}
			await followed(spec.id, () => targets.registry.has(spec.id));
			const refusal = state.targetSync.refusal(spec.id);
			if (refusal === undefined) return viewTarget(targets.registry.get(spec.id));
			await state.records.remove(recordKinds.targets, spec.id);
			throw refusal;
		},
		async removeTarget(id) {
			mustKnow(id);
			const view = viewTarget(targets.registry.get(id));
			await state.records.remove(recordKinds.targets, id);
			await followed(id, () => !targets.registry.has(id));
			return view;
		},
		async drainTarget(id, draining) {
			mustKnow(id);
			const written = await state.records.update(recordKinds.targets, id, (present) =>
				present === undefined ? undefined : { ...present, draining },
			);
			await followed(id, () => (state.targets.get(id)?.revision ?? 0) >= (written?.revision ?? 0));
			return viewTarget(targets.registry.get(id));
		},
		listStrategies: () => shelf.list(),
		async loadStrategy(request) {
			const { label, admissionMs, report } = await state.registry.load(request);
			return { strategy: shelf.view(label), admissionMs, report };
		},
		async stageStrategy(name, { stage, percent, model, force = false }, asker) {
			if (force && stage !== 'loaded')
				throw new MeshError(experimentErrors, 'IM_EXPERIMENT_FORCE', `force cannot make ${name} ${stage}`);
			if (force) await parts.experiments.stopOn(model, `${name} was taken back with force`, asker);
			return shelf.view(await state.registry.stage(name, stage, { percent, model }));
		},
		async rollbackStrategy({ model, force = false }, asker) {
			if (force) await parts.experiments.stopOn(model, 'the strategy was rolled back with force', asker);
			const label = await state.registry.rollback(model);
			return label === undefined ? undefined : shelf.view(label);
		},
		async unloadStrategy(name) {
			const view = shelf.view(state.registry.find(name));
			await state.registry.unload(name);
			return view;
		},
		explain: async (decisionId) => mustRoute().workers.explain(decisionId),
		quotas: async () => mustRoute().quotas.views(),
		shadows: () => mustRoute().shadows(),
		recorder: {
			view: () => mustRoute().recorder.view(),
			start: (request) => mustRoute().recorder.start(request),
			stop: () => mustRoute().recorder.stop(),
		},
		async createJoinToken({ ttlMs, uses, label }) {
			const { authority, tokens } = parts.fabric;
			if (authority === undefined || tokens === undefined)
				throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NO_AUTHORITY', 'this node does not hold the authority');
			const nowMs = Math.floor(systemClock.wallMs());
			const made = await tokens.create(
				{ ttlMs, uses: uses ?? 1, ...(label === undefined ? {} : { label }) },
				authority.fingerprint,
				nowMs,
			);
			return { id: made.id, token: made.text, expiresAtMs: nowMs + ttlMs };
		},
		config: () => configRows(loaded),
		async metrics() {
			const { fabric, mesh } = parts;
			const samples = [
				...collectSamples(listTargets(), shelf.list(), parts.version, process.version),
				...fabricSamples(mesh.nodes.list(), fabric.inTouch(), await stateNow(), state.level),
				...fabric.metrics(),
				...reportSamples(parts.reports),
				...gpuSamples(parts.gpus.signals, Math.floor(systemClock.wallMs())),
				...parts.samples(),
			];
			return renderMetrics(metricsBuffers, samples) + (await parts.processMetrics.text());
		},
		logLevel: () => log.level(),
		setLogLevel(level) {
			log.setLevel(level);
			router?.workers.logLevel(level);
		},
	};
}

/** What decides for models that say otherwise than the mesh, by model. */
function ownStrategies(strategies: readonly StrategyView[]): Record<string, string> {
	const active = strategies.filter(({ stage }) => stage === 'active');
	return Object.fromEntries(
		active.flatMap(({ name, version, models }) => models.map((model) => [model, `${name}@${version}`] as const)),
	);
}
