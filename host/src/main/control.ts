// Owns what the admin API can ask of a running mesh: the calls of MeshControl over the target service, the strategy manager and the workers.
import type { MeshControl } from '../admin/control.js';
import type { StrategyView, TargetRequest, TargetView } from '../admin/schemas.js';
import { trafficOf } from '../admin/traffic.js';
import type { LoadedConfig } from '../config/load.js';
import { type MeshConfig, type TargetConfig, targetSchema } from '../config/schema.js';
import { configRows } from '../config/show.js';
import type { InflightReader } from '../fleet/inflight.js';
import type { TargetRecord } from '../fleet/registry.js';
import type { FleetTableWriter } from '../fleet/table.js';
import type { LoadedStrategy, StrategyManager } from '../strategy/registry/manager.js';
import { WHOLE_MESH } from '../strategy/registry/staging.js';
import { LEAST_QUEUE_NAME } from '../strategy/runtime/fallback.js';
import type { FuelBudget } from '../strategy/runtime/instance.js';
import { renderMetrics } from '../telemetry/exposition.js';
import type { Log } from '../telemetry/logger.js';
import { systemClock } from './clock.js';
import { targetSpec } from './options.js';
import type { TargetService } from './target-service.js';
import { collectSamples, strategyView, targetView } from './views.js';
import type { WorkerGroup } from './worker-group.js';

export interface ControlParts {
	readonly loaded: LoadedConfig;
	readonly version: string;
	readonly development: boolean;
	readonly targets: TargetService;
	readonly strategies: StrategyManager;
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
	const { loaded, targets, strategies, workers, table, counters, metricsBuffers, log } = parts;
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
	const activeLabel = (): string => {
		const versionId = strategies.staging.get(WHOLE_MESH)?.history.at(-1);
		return (versionId === undefined ? undefined : strategies.label(versionId)) ?? LEAST_QUEUE_NAME;
	};
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
		readiness() {
			const reasons: string[] = [];
			if (workers.listening < parts.workerCount)
				reasons.push(`${workers.listening} of ${parts.workerCount} data-plane workers listen`);
			const serving = listTargets().filter(({ state }) => state === 'ready' || state === 'degraded').length;
			if (serving === 0) reasons.push('no target is serving');
			return { ready: reasons.length === 0, reasons };
		},
		listTargets,
		async addTarget(request) {
			return viewTarget(await targets.add(targetSpec(configured(request, config), config)));
		},
		removeTarget(id) {
			const view = viewTarget(targets.registry.get(id));
			targets.remove(id);
			return Promise.resolve(view);
		},
		drainTarget: (id, draining) => Promise.resolve(viewTarget(targets.drain(id, draining))),
		listStrategies: () => strategies.list().map(viewStrategy),
		async loadStrategy({ module, sourceMap, settings, activate, model }) {
			const done = await strategies.load(module, { sourceMap, settings, activate, model });
			return { strategy: viewStrategy(done.loaded), admissionMs: done.admissionMs, report: done.report };
		},
		async stageStrategy(name, { stage, percent, model }) {
			return viewStrategy(await strategies.stage(name, stage, { percent, model }));
		},
		async rollbackStrategy(model) {
			const version = await strategies.rollback(model);
			return version === undefined ? undefined : viewStrategy(version);
		},
		async unloadStrategy(name) {
			const view = viewStrategy(strategies.find(name));
			await strategies.unload(name);
			return view;
		},
		explain: (decisionId) => workers.explain(decisionId),
		config: () => configRows(loaded),
		async metrics() {
			const samples = collectSamples(
				listTargets(),
				strategies.list().map(viewStrategy),
				parts.version,
				process.version,
			);
			return renderMetrics(metricsBuffers, samples) + (await parts.processMetrics.text());
		},
		logLevel: () => log.level(),
		setLogLevel(level) {
			log.setLevel(level);
			workers.logLevel(level);
		},
	};
}
