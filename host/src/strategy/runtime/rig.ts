// Owns a synthetic pool of any size with plausible, seeded signals, private to its maker: what conformance, calibration and benchmarks run
// strategies on. It is the same table, view and instance as in production, with nobody else writing.
import { SeededRandom } from '@infermesh/proto';
import { type ColumnDef, columns, HITS_MAX, TargetState } from '@infermesh/sdk';
import {
	createInflight,
	DECODE_TOKENS,
	DECODES,
	InflightReader,
	InflightWriter,
	PREFILL_PAIRS,
	PREFILL_TOKENS,
	REQUESTS,
} from '../../fleet/inflight.js';
import { PoolView } from '../../fleet/pool-view.js';
import { createFleetTable, FleetTableReader, FleetTableWriter, LOAD_BASE_COLUMN } from '../../fleet/table.js';
import { targetHash } from '../../fleet/target-hash.js';
import { emptyFeatures, type PrefixHits, type RequestFeatures } from './decision.js';

/** Plausible range of each f32 column; those not named stay at their initial value. */
const ranges: Readonly<Record<string, readonly [low: number, high: number]>> = {
	weight: [1, 1],
	queue_depth: [0, 8],
	running: [0, 64],
	kv_usage: [0, 0.98],
	kv_free_blocks: [100, 26_000],
	kv_total_blocks: [26_000, 27_000],
	prefill_rate: [4000, 24_000],
	decode_rate: [500, 3000],
	ttft_ms: [20, 900],
	ttft_p95_ms: [60, 3000],
	tpot_ms: [8, 60],
	tpot_p95_ms: [10, 120],
	error_ratio: [0, 0.05],
	rtt_ms: [0.1, 40],
	bandwidth_mbps: [1000, 40_000],
	vram_used_mib: [20_000, 79_000],
	vram_total_mib: [80_000, 80_000],
	sm_utilization: [0, 1],
	memory_utilization: [0, 1],
	temperature_c: [30, 85],
	cost: [1, 4],
	health: [0.9, 1],
	speed: [0.7, 1.2],
	max_sequences: [256, 256],
	prefix_hit_ratio: [0, 0.6],
	preemptions_per_s: [0, 0.2],
};

export interface Rig {
	readonly rows: number;
	readonly view: PoolView;
	readonly table: FleetTableWriter;
	readonly inflight: InflightWriter;
	/** The same table and counters as workers read them, for deciders with views of their own. */
	readonly tableReader: FleetTableReader;
	readonly counters: InflightReader;
	readonly random: SeededRandom;
	/** Gives one row new signals and publishes, as a scrape would. */
	touch(row: number): void;
	/** New random request, written over `features`. */
	nextRequest(): void;
	readonly features: RequestFeatures;
	readonly hits: PrefixHits;
}

/** Mesh clock of a rig's telemetry. */
const NOW_MS = 1_000_000;
const NOW_US = 1_750_000_000_000_000;

export function createRig(rows: number, seed: number): Rig {
	const random = new SeededRandom(seed, rows);
	const shared = createFleetTable(rows);
	const counters = createInflight(rows, 1);
	const table = new FleetTableWriter(shared);
	const inflight = new InflightWriter(counters, 0);
	const fill = (row: number): void => {
		for (const column of columns) fillCell(table, column, row, random);
		table.setF32(LOAD_BASE_COLUMN, row, Math.floor(random.nextFloat() * 40));
	};
	for (let row = 0; row < rows; row++) {
		table.resetRow(row);
		fill(row);
		const requests = random.nextU32() % 12;
		inflight.add(REQUESTS, row, requests);
		const tokens = random.nextU32() % 2000;
		inflight.add(PREFILL_TOKENS, row, requests * tokens);
		inflight.add(PREFILL_PAIRS, row, Math.round((requests * tokens * tokens) / 2 ** 20));
		inflight.beginPrefill(row, NOW_MS - tokens);
		inflight.add(DECODES, row, requests >> 1);
		inflight.add(DECODE_TOKENS, row, (requests >> 1) * 1000);
	}
	table.publish();
	const tableReader = new FleetTableReader(shared);
	const inflightReader = new InflightReader(counters);
	const view = new PoolView(
		tableReader,
		inflightReader,
		Array.from({ length: rows }, (_, row) => row),
	);
	const hits: PrefixHits = {
		count: 0,
		rows: new Uint32Array(HITS_MAX),
		tokens: new Uint32Array(HITS_MAX),
		tiers: new Uint8Array(HITS_MAX),
		flags: new Uint8Array(HITS_MAX),
	};
	const features: RequestFeatures = { ...emptyFeatures(), ...ordinary };
	return {
		rows,
		view,
		table,
		inflight,
		tableReader,
		counters: inflightReader,
		random,
		features,
		hits,
		touch(row) {
			fill(row);
			table.publish();
		},
		nextRequest() {
			randomRequest(features, random);
			randomHits(hits, rows, features.tokensIn, random);
		},
	};
}

function fillCell(table: FleetTableWriter, column: ColumnDef, row: number, random: SeededRandom): void {
	if (column.name === 'state')
		table.setU32(column.id, row, random.nextU32() % 50 === 0 ? TargetState.draining : TargetState.ready);
	else if (column.name === 'telemetry_at_ms' || column.name === 'observed_at_ms')
		table.setU32(column.id, row, NOW_MS - (random.nextU32() % 1000));
	else if (column.name === 'target') table.setU32(column.id, row, row + 1);
	else if (column.name === 'target_hash') table.setU32(column.id, row, targetHash(`target-${row}`));
	else if (column.name === 'zone' || column.name === 'region') table.setU32(column.id, row, 1 + (random.nextU32() % 3));
	else if (column.type === 'f32') {
		const range = ranges[column.name];
		if (range !== undefined) table.setF32(column.id, row, range[0] + random.nextFloat() * (range[1] - range[0]));
	}
}

/** What a request of a rig has until `nextRequest` draws another. */
const ordinary: Partial<RequestFeatures> = {
	nowUs: NOW_US,
	nowMs: NOW_MS,
	seedLow: 1,
	seedHigh: 2,
	model: 1,
	tokensIn: 512,
	tokensOut: 128,
	tokensOutMax: 256,
	tenant: 1,
};

function randomRequest(features: RequestFeatures, random: SeededRandom): void {
	features.nowUs += 1000;
	features.seedLow = random.nextU32();
	features.seedHigh = random.nextU32();
	features.sessionLow = random.nextU32();
	features.sessionHigh = random.nextU32();
	features.promptHashLow = random.nextU32();
	features.promptHashHigh = random.nextU32();
	features.tokensIn = 1 + (random.nextU32() % 8000);
	features.tokensOut = 1 + (random.nextU32() % 600);
}

/** Up to four rows hold some of the prompt: what a prefix index finds in practice. */
function randomHits(hits: PrefixHits, rows: number, tokensIn: number, random: SeededRandom): void {
	const count = Math.min(rows, random.nextU32() % 5);
	const chosen = new Set<number>();
	while (chosen.size < count) chosen.add(random.nextU32() % rows);
	let at = 0;
	for (const row of [...chosen].sort((a, b) => a - b)) {
		hits.rows[at] = row;
		hits.tokens[at] = random.nextU32() % (tokensIn + 1);
		hits.tiers[at] = random.nextU32() % 2;
		at++;
	}
	hits.count = count;
}
