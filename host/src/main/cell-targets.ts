// The joining of cells with the targets of a router: what a gateway tells of them, and rows for what other cells tell.
import {
	COLUMN_KV_USAGE,
	COLUMN_MAX_SEQUENCES,
	COLUMN_QUEUE_DEPTH,
	COLUMN_RUNNING,
	COLUMN_STATE,
	COLUMN_TTFT_MS,
	COLUMN_TTFT_P95_MS,
	TargetState,
} from '@infermesh/sdk';
import { CellRows } from '../cells/rows.js';
import type { SummarisedTarget } from '../cells/summary.js';
import type { MeshConfig } from '../config/schema.js';
import { type InflightReader, REQUESTS } from '../fleet/inflight.js';
import type { TargetRecord } from '../fleet/registry.js';
import { type FleetTableWriter, LOAD_BASE_COLUMN } from '../fleet/table.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshMetrics } from '../telemetry/mesh-metrics.js';
import type { MeshFabric } from './fabric.js';
import { REMOTE_SHARE } from './options.js';
import type { TargetService } from './target-service.js';

export interface CellTargetsParts {
	readonly config: MeshConfig;
	readonly fabric: MeshFabric;
	readonly targets: TargetService;
	readonly table: FleetTableWriter;
	readonly counters: InflightReader;
	readonly metrics: MeshMetrics;
	readonly log: Log;
}

/** Answers how to stop. */
export function followCells({ config, fabric, targets, table, counters, metrics, log }: CellTargetsParts): () => void {
	const { cells } = fabric;
	if (cells === undefined) return () => undefined;
	const { registry } = targets;
	cells.describe(() =>
		registry
			.records()
			.filter(({ spec, hold }) => spec.cell === undefined && hold === 'none')
			.map((record) => summarised(record, table, counters)),
	);
	if (!config.fabric.cells.route) return () => undefined;
	const rows = new CellRows(
		{
			nodeId: fabric.nodeId,
			place: config.node,
			apiKey: config.fabric.cells.api_key,
			rowsMax: Math.floor(Math.min(config.fleet.targets_max, config.fleet.models_max) / REMOTE_SHARE),
		},
		{
			current: () =>
				new Map(
					registry
						.records()
						.filter(({ spec }) => spec.cell !== undefined)
						.map(({ spec }) => [spec.id, spec]),
				),
			add: (spec) => void targets.add(spec),
			remove: (id) => void targets.remove(id),
			report: (id, report) => targets.reportCell(id, report),
		},
		(what, error) => {
			metrics.cellRowsRefused(error.code);
			log.warn({ error: error.message, code: error.code }, what);
		},
	);
	return cells.onChange(() => rows.apply(cells.others()));
}

function summarised({ spec, row }: TargetRecord, table: FleetTableWriter, counters: InflightReader): SummarisedTarget {
	const state = table.getU32(COLUMN_STATE, row);
	const inFlight = counters.total(REQUESTS, row);
	return {
		models: spec.models,
		zone: spec.zone,
		region: spec.region,
		healthy: state === TargetState.ready || state === TargetState.degraded,
		capacity: table.getF32(COLUMN_MAX_SEQUENCES, row),
		load: Math.max(inFlight, table.getF32(LOAD_BASE_COLUMN, row) + inFlight),
		queue: table.getF32(COLUMN_QUEUE_DEPTH, row),
		running: table.getF32(COLUMN_RUNNING, row),
		kvUsage: table.getF32(COLUMN_KV_USAGE, row),
		ttftMs: table.getF32(COLUMN_TTFT_MS, row),
		ttftP95Ms: table.getF32(COLUMN_TTFT_P95_MS, row),
	};
}
