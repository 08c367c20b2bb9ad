// Owns what the admin API shows of targets and strategies: reads of the table and the registries, no decisions.
import {
	COLUMN_BANDWIDTH_MBPS,
	COLUMN_ERROR_RATIO,
	COLUMN_HEALTH,
	COLUMN_KV_USAGE,
	COLUMN_LINK_CLASS,
	COLUMN_QUEUE_DEPTH,
	COLUMN_RTT_BASIS,
	COLUMN_RTT_MS,
	COLUMN_RUNNING,
	COLUMN_TPOT_MS,
	COLUMN_TTFT_MS,
	COLUMN_WEIGHT,
	LinkClass,
	RttBasis,
} from '@infermesh/sdk';
import type { StrategyView, TargetView } from '../admin/schemas.js';
import { type InflightReader, REQUESTS } from '../fleet/inflight.js';
import type { TargetRecord } from '../fleet/registry.js';
import { type FleetTableWriter, LOAD_BASE_COLUMN } from '../fleet/table.js';
import type { NodeView } from '../mesh/nodes.js';
import type { CollectedSample } from '../telemetry/exposition.js';
import type { TargetService } from './target-service.js';

const basisNames = Object.keys(RttBasis);
const linkClassNames = Object.keys(LinkClass);

export function targetView(
	record: TargetRecord,
	targets: TargetService,
	table: FleetTableWriter,
	counters: InflightReader,
	nowMs: number,
): TargetView {
	const { row, spec } = record;
	const status = targets.fusion.status(record);
	const inFlight = counters.total(REQUESTS, row);
	return {
		id: spec.id,
		url: spec.url,
		models: [...spec.models],
		runtime: spec.runtime,
		revision: spec.revision ?? null,
		quant: spec.quant ?? null,
		role: spec.role,
		node: spec.node,
		zone: spec.zone,
		region: spec.region,
		cell: spec.cell ?? null,
		weight: table.getF32(COLUMN_WEIGHT, row),
		state: targets.watched(record) ? status.state : 'unwatched',
		heldBy: [...status.heldBy],
		draining: record.hold !== 'none',
		health: table.getF32(COLUMN_HEALTH, row),
		inFlight,
		load: Math.max(inFlight, table.getF32(LOAD_BASE_COLUMN, row) + inFlight),
		queueDepth: table.getF32(COLUMN_QUEUE_DEPTH, row),
		running: table.getF32(COLUMN_RUNNING, row),
		kvUsage: table.getF32(COLUMN_KV_USAGE, row),
		ttftMs: table.getF32(COLUMN_TTFT_MS, row),
		tpotMs: table.getF32(COLUMN_TPOT_MS, row),
		errorRatio: table.getF32(COLUMN_ERROR_RATIO, row),
		rttMs: table.getF32(COLUMN_RTT_MS, row),
		rttBasis: basisNames[table.getU32(COLUMN_RTT_BASIS, row)] ?? 'unknown',
		linkClass: linkClassNames[table.getU32(COLUMN_LINK_CLASS, row)] ?? 'unknown',
		bandwidthMbps: table.getF32(COLUMN_BANDWIDTH_MBPS, row),
		telemetryAgeMs: status.reportedMs === undefined ? null : Math.max(0, nowMs - status.reportedMs),
	};
}

/** What the fabric's state says, as gauges of `/metrics`. */
export function fabricSamples(
	nodes: readonly NodeView[],
	inTouch: boolean,
	{ quorum, noSpace }: { readonly quorum: boolean; readonly noSpace: boolean },
	{ level, own }: { readonly level: number; readonly own: number },
): CollectedSample[] {
	return [
		{ metric: 'fabricInTouch', labels: [], value: inTouch ? 1 : 0 },
		{ metric: 'fabricQuorum', labels: [], value: quorum ? 1 : 0 },
		{ metric: 'fabricNoSpace', labels: [], value: noSpace ? 1 : 0 },
		{ metric: 'compatLevel', labels: ['node'], value: own },
		{ metric: 'compatLevel', labels: ['mesh'], value: level },
		...nodes.map(({ name, state }) => ({ metric: 'nodeLifecycle' as const, labels: [name, state], value: 1 })),
	];
}

/** The gauges of `/metrics` that are read from the mesh's state rather than kept in blocks. */
export function collectSamples(
	targets: readonly TargetView[],
	strategies: readonly StrategyView[],
	version: string,
	nodeVersion: string,
): CollectedSample[] {
	const samples: CollectedSample[] = [{ metric: 'buildInfo', labels: [version, nodeVersion], value: 1 }];
	for (const target of targets) {
		const model = target.models[0] ?? '';
		const labels = [target.id, model, target.node, target.zone];
		const info = [
			target.id,
			model,
			target.revision ?? '',
			target.quant ?? '',
			target.runtime,
			target.node,
			target.zone,
			target.region,
			target.role,
			'',
			'',
		];
		samples.push(
			{ metric: 'targetInfo', labels: info, value: 1 },
			{ metric: 'targetState', labels: [target.id, target.state], value: 1 },
			{ metric: 'targetHealth', labels, value: target.health },
			{ metric: 'targetInFlight', labels, value: target.inFlight },
			{ metric: 'targetLoad', labels, value: target.load },
			{ metric: 'targetQueueDepth', labels, value: target.queueDepth },
			{ metric: 'targetRunning', labels, value: target.running },
			{ metric: 'targetKvUsage', labels, value: target.kvUsage },
			{ metric: 'targetTtft', labels, value: target.ttftMs / 1000 },
			{ metric: 'targetErrorRatio', labels, value: target.errorRatio },
		);
		if (target.telemetryAgeMs !== null)
			samples.push({ metric: 'targetTelemetryAge', labels, value: target.telemetryAgeMs / 1000 });
	}
	for (const strategy of strategies) {
		samples.push({
			metric: 'strategyInfo',
			labels: [`${strategy.name}@${strategy.version}`, strategy.digest, strategy.stage, strategy.runs],
			value: 1,
		});
	}
	return samples;
}
