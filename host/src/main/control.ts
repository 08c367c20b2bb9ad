// Owns what the admin API can ask of a running mesh: the calls of MeshControl over the target service, the strategy manager and the workers.
import { MeshError } from '@infermesh/proto';
import type { MeshControl } from '../admin/control.js';
import type { StrategyView, TargetRequest, TargetView } from '../admin/schemas.js';
import { trafficOf } from '../admin/traffic.js';
import type { LoadedConfig } from '../config/load.js';
import { type MeshConfig, type TargetConfig, targetSchema } from '../config/schema.js';
import { configRows } from '../config/show.js';
import { fleetErrors } from '../fleet/errors.js';
import type { InflightReader } from '../fleet/inflight.js';
import type { TargetRecord } from '../fleet/registry.js';
import type { FleetTableWriter } from '../fleet/table.js';
import type { MeshOperations } from '../mesh/operations.js';
import { storedOf } from '../mesh/target-sync.js';
import { type LifecycleState, recordKinds } from '../records/kinds.js';
import type { LoadedStrategy, StrategyManager } from '../strategy/registry/manager.js';
import { WHOLE_MESH } from '../strategy/registry/staging.js';
import { LEAST_QUEUE_NAME } from '../strategy/runtime/fallback.js';
import type { FuelBudget } from '../strategy/runtime/instance.js';
import { renderMetrics } from '../telemetry/exposition.js';
import type { Log } from '../telemetry/logger.js';
import { systemClock } from './clock.js';
import { fabricNodeErrors } from './fabric/errors.js';
import type { MeshFabric } from './fabric.js';
import type { MeshState } from './mesh-state.js';
import { targetSpec } from './options.js';
import type { TargetService } from './target-service.js';
import { collectSamples, fabricSamples, strategyView, targetView } from './views.js';
import type { WorkerGroup } from './worker-group.js';

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
	readonly strategies: StrategyManager;
	readonly state: MeshState;
	readonly mesh: MeshOperations;
	readonly fabric: MeshFabric;
	readonly workers: WorkerGroup;
	readonly workerCount: number;
	readonly table: FleetTableWriter;
	readonly counters: InflightReader;
	readonly metricsBuffers: readonly SharedArrayBuffer[];
	readonly processMetrics: { text(): Promise<string> };
	readonly fuel: FuelBudget;
	readonly log: Log;
	readonly addresses: () => { readonly dataUrl: string; readonly adminUrl: string };
}

/** A target as the admin API takes it, with the defaults of the configuration's own schema. */
function configured(request: TargetRequest, config: MeshConfig): TargetConfig {
	const defaults = Object.fromEntries(
		Object.entries(targetSchema.properties).flatMap(([key, schema]) =>
			'default' in schema ? [[key, schema.default]] : [],
		),
	) as unknown as TargetConfig;
	const { apiKey, upstreamModel, costPerHour, metricsPath, healthPath, ...same } = request;
	const given = {
		...same,
		api_key: apiKey,
		upstream_model: upstreamModel,
		cost_per_hour: costPerHour,
		metrics_path: metricsPath,
		health_path: healthPath,
	};
	const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
	return {
		...defaults,
		zone: config.node.zone,
		region: config.node.region,
		...present,
	};
}

export function createControl(parts: ControlParts): MeshControl {
	const { loaded, targets, strategies, state, workers, table, counters, metricsBuffers, log } = parts;
	const { config } = loaded;
	const startedMs = systemClock.wallMs();
	const nowMs = (): number => systemClock.nowMs();
	const viewTarget = (record: TargetRecord): TargetView =>
		targetView(record, targets.fusion, table, counters, systemClock.wallMs());
	const largestPool = (): number =>
		targets.registry.pools().reduce((most, pool) => Math.max(most, pool.targets.length), 0);
	const viewStrategy = (version: LoadedStrategy): StrategyView =>
		strategyView(strategies, version, parts.fuel, largestPool(), nowMs());
	const listTargets = (): TargetView[] => targets.registry.records().map(viewTarget);
	const activeLabel = (): string => strategies.active(WHOLE_MESH) ?? LEAST_QUEUE_NAME;
	const viewLabel = (label: string): StrategyView => viewStrategy(strategies.find(label));
	const mustKnow = (id: string): void => {
		if (state.targets.get(id) === undefined)
			throw new MeshError(fleetErrors, 'IM_TARGET_UNKNOWN', `no target has the id ${id}`);
	};
	/** As far as is known at once: probes and scrapes wait for nobody. */
	const hasQuorum = (): Promise<boolean> => {
		const status = parts.fabric.engine.status().then(
			({ quorum }) => quorum,
			() => false,
		);
		const late = Promise.withResolvers<boolean>();
		const timer = systemClock.after(QUORUM_ANSWER_MS, () => late.resolve(false), { unref: true });
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
				...parts.addresses(),
				development: parts.development,
				workers: workers.listening,
				models: models.map((pool) => pool.model).sort(),
				targets: {
					total: all.length,
					serving: all.filter(({ state }) => state === 'ready' || state === 'degraded').length,
				},
				activeStrategy: activeLabel(),
				traffic: trafficOf(metricsBuffers),
			};
		},
		async readiness() {
			const reasons: string[] = [];
			const own = state.ownLifecycle();
			if (own !== undefined && notServing.has(own.state))
				reasons.push(`this node is ${own.state}${own.reason === '' ? '' : `: ${own.reason}`}`);
			if (workers.listening < parts.workerCount)
				reasons.push(`${workers.listening} of ${parts.workerCount} data-plane workers listen`);
			const serving = listTargets().filter(({ state }) => state === 'ready' || state === 'degraded').length;
			if (serving === 0) reasons.push('no target is serving');
			const degraded: string[] = [];
			if (!parts.fabric.inTouch()) degraded.push('local-only: cut off from gossip');
			if (!(await hasQuorum()))
				degraded.push('no quorum of coordinators: the last configuration serves on and cannot be changed');
			return { ready: reasons.length === 0, reasons, degraded };
		},
		mesh: parts.mesh,
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
		listStrategies: () => strategies.list().map(viewStrategy),
		async loadStrategy(request) {
			const { label, admissionMs, report } = await state.registry.load(request);
			return { strategy: viewLabel(label), admissionMs, report };
		},
		async stageStrategy(name, { stage, percent, model }) {
			return viewLabel(await state.registry.stage(name, stage, { percent, model }));
		},
		async rollbackStrategy(model) {
			const label = await state.registry.rollback(model);
			return label === undefined ? undefined : viewLabel(label);
		},
		async unloadStrategy(name) {
			const view = viewLabel(state.registry.find(name));
			await state.registry.unload(name);
			return view;
		},
		explain: (decisionId) => workers.explain(decisionId),
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
				...collectSamples(listTargets(), strategies.list().map(viewStrategy), parts.version, process.version),
				...fabricSamples(mesh.nodes.list(), fabric.inTouch(), await hasQuorum()),
			];
			return renderMetrics(metricsBuffers, samples) + fabric.metrics() + (await parts.processMetrics.text());
		},
		logLevel: () => log.level(),
		setLogLevel(level) {
			log.setLevel(level);
			workers.logLevel(level);
		},
	};
}
