import type { ModelStateDelta } from '@infermesh/proto';
import {
	COLUMN_ERROR_RATIO,
	COLUMN_GPU_AT_MS,
	COLUMN_HEALTH,
	COLUMN_KV_USAGE,
	COLUMN_MIG_FRACTION,
	COLUMN_PREFILL_RATE,
	COLUMN_QUEUE_DEPTH,
	COLUMN_QUEUE_MS,
	COLUMN_REQUEST_MS,
	COLUMN_RTT_MS,
	COLUMN_RUNNING,
	COLUMN_SPEED,
	COLUMN_STATE,
	COLUMN_TELEMETRY_AT_MS,
	COLUMN_THROTTLE,
	COLUMN_TTFT_MS,
	COLUMN_VRAM_USED_MIB,
	TargetState,
} from '@infermesh/sdk';
import test from 'ava';
import { type AttemptReport, FleetFusion, type FusionOptions } from './fusion.js';
import { createInflight, InflightReader, InflightWriter, REQUESTS } from './inflight.js';
import { NameTable } from './interner.js';
import { type TargetRecord, TargetRegistry } from './registry.js';
import { createFleetTable, FleetTableWriter, LOAD_BASE_COLUMN } from './table.js';

const options: FusionOptions = {
	healthyAfter: 2,
	unhealthyAfter: 3,
	consecutiveFailures: 5,
	errorRatio: 0.5,
	requestsMin: 20,
	windowMs: 10_000,
	ejectionMs: 10_000,
	ejectionMaxMs: 300_000,
	unreachableMs: 1000,
	trialRequests: 2,
	trialSuccesses: 2,
	slowStartMs: 10_000,
	staleAfterMs: 5000,
	smoothingMs: 5000,
	ejectedMaxRatio: 0.5,
};

const T0 = 1_000_000;

function fleet(count: number, healthPath = '') {
	const table = new FleetTableWriter(createFleetTable(32));
	const shared = createInflight(32, 1);
	const names = new NameTable(64);
	const registry = new TargetRegistry(
		table,
		{
			targets: names,
			nodes: names,
			zones: names,
			regions: names,
			models: names,
			revisions: names,
		},
		0,
	);
	const fusion = new FleetFusion(options, table, new InflightReader(shared), registry);
	const add = (id: string): TargetRecord => {
		const record = registry.add({
			id,
			url: 'http://127.0.0.1:9',
			models: ['m'],
			runtime: 'auto',
			apiKey: undefined,
			upstreamModel: undefined,
			revision: undefined,
			quant: undefined,
			weight: 1,
			role: 'both',
			node: '',
			zone: '',
			region: '',
			costPerHour: 0,
			metricsPath: '',
			healthPath,
		});
		fusion.follow(record, T0);
		return record;
	};
	const records = Array.from({ length: count }, (_, index) => add(`t${index}`));
	return { table, registry, fusion, add, records, inflight: new InflightWriter(shared, 0) };
}

function delta(values: Partial<ModelStateDelta>): ModelStateDelta {
	return { observedAtMs: 0, unread: [], ...values };
}

function attempt({ row, generation }: TargetRecord, more: Partial<AttemptReport> = {}): AttemptReport {
	return {
		tableRow: row,
		generation,
		ok: true,
		failed: false,
		ttftMs: 100,
		tpotMs: 10,
		uncachedTokens: 1000,
		...more,
	};
}

const failure = { ok: false, failed: true, ttftMs: 0, tpotMs: 0 };

test('a report becomes columns, with its age; what it does not say stays', (t) => {
	const { table, fusion, records } = fleet(1);
	const [record] = records as [TargetRecord];
	fusion.report(record, delta({ queueDepth: 3, running: 5, kvUsage: 0.4 }), T0 + 10);
	fusion.report(record, delta({ queueDepth: 4, kvUsage: Number.NaN }), T0 + 20);
	t.is(table.getF32(COLUMN_QUEUE_DEPTH, record.row), 4);
	t.is(table.getF32(COLUMN_RUNNING, record.row), 5);
	t.true(Math.abs(table.getF32(COLUMN_KV_USAGE, record.row) - 0.4) < 1e-6, 'not a number is no report');
	t.is(table.getU32(COLUMN_TELEMETRY_AT_MS, record.row), T0 + 20);
	t.is(fusion.status(record).reportedMs, T0 + 20);
});

test('load’s base is what others sent: the report less what this mesh has there', (t) => {
	const { table, fusion, records, inflight } = fleet(1);
	const [record] = records as [TargetRecord];
	inflight.add(REQUESTS, record.row, 4);
	fusion.report(record, delta({ queueDepth: 3, running: 6 }), T0);
	t.is(table.getF32(LOAD_BASE_COLUMN, record.row), 5);
});

test('a stale report degrades its target and no longer adds load; a new one mends both', (t) => {
	const { table, fusion, records } = fleet(1);
	const [record] = records as [TargetRecord];
	fusion.report(record, delta({ queueDepth: 9, running: 0 }), T0);
	fusion.refresh(T0 + 5000);
	t.is(table.getU32(COLUMN_STATE, record.row), TargetState.ready);
	fusion.refresh(T0 + 5001);
	t.is(table.getU32(COLUMN_STATE, record.row), TargetState.degraded);
	t.is(table.getF32(LOAD_BASE_COLUMN, record.row), 0);
	t.is(table.getF32(COLUMN_HEALTH, record.row), 0.5);
	fusion.report(record, delta({ queueDepth: 2, running: 0 }), T0 + 6000);
	fusion.refresh(T0 + 6000);
	t.is(fusion.status(record).state, 'ready');
	t.is(table.getF32(LOAD_BASE_COLUMN, record.row), 2);
});

test('a target that has not changed is passed over, and goes stale in its time all the same', (t) => {
	const { table, fusion, records } = fleet(2);
	const [record] = records as [TargetRecord, TargetRecord];
	const stateAt = (ms: number): number => {
		fusion.refresh(T0 + ms);
		return table.getU32(COLUMN_STATE, record.row);
	};
	// Steady without end, until its first report gives it one.
	for (const ms of [200, 400, 600]) t.is(stateAt(ms), TargetState.ready);
	fusion.report(record, delta({ queueDepth: 1, running: 0 }), T0 + 1000);
	for (const ms of [1200, 5000, 6000]) t.is(stateAt(ms), TargetState.ready, `${ms}`);
	t.is(stateAt(6001), TargetState.degraded);
	fusion.report(record, delta({ queueDepth: 1, running: 0 }), T0 + 7000);
	t.is(stateAt(7100), TargetState.ready);
	// Each report puts it off.
	fusion.report(record, delta({ queueDepth: 1, running: 0 }), T0 + 9000);
	for (const ms of [9200, 12_500, 14_000]) t.is(stateAt(ms), TargetState.ready, `${ms}`);
	t.is(stateAt(14_001), TargetState.degraded);
	t.is(table.getU32(COLUMN_STATE, (records[1] as TargetRecord).row), TargetState.ready);
});

test('reports and outcomes of a row’s former owner are dropped', (t) => {
	const { table, registry, fusion, records, add } = fleet(1);
	const [old] = records as [TargetRecord];
	registry.remove('t0');
	fusion.forget(old);
	registry.release(old);
	const fresh = add('fresh');
	t.is(fresh.row, old.row);
	fusion.report(old, delta({ queueDepth: 50 }), T0);
	fusion.checked(old, false, undefined, T0);
	t.false(
		fusion.attempts(
			Array.from({ length: 9 }, () => attempt(old, failure)),
			T0,
		),
	);
	t.is(table.getF32(COLUMN_QUEUE_DEPTH, fresh.row), 0);
	t.is(fusion.status(fresh).state, 'ready');
	t.is(table.getF32(COLUMN_ERROR_RATIO, fresh.row), 0);
});

test('failures eject, that is told, and refused requests or cancellations are nobody’s failure', (t) => {
	const { fusion, records } = fleet(2);
	const [first] = records as [TargetRecord];
	const neither = { ok: false, failed: false };
	t.false(
		fusion.attempts(
			Array.from({ length: 50 }, () => attempt(first, neither)),
			T0,
		),
	);
	t.false(
		fusion.attempts(
			Array.from({ length: 4 }, () => attempt(first, failure)),
			T0,
		),
	);
	t.true(fusion.attempts([attempt(first, failure)], T0 + 1), 'the state changed');
	t.is(fusion.status(first).state, 'ejected');
	t.is(fusion.status(first).ejections, 1);
	fusion.refresh(T0 + 1 + options.ejectionMs);
	t.is(fusion.status(first).state, 'ready');
});

test('regression: connections that fail are judged by their own rule alone, however many, and on trial too', (t) => {
	const { fusion, records } = fleet(4);
	const [gone] = records as [TargetRecord];
	const unreachable = { ...failure, unreachable: true };
	let nowMs = T0;
	for (const outMs of [1000, 2000, 4000]) {
		fusion.attempts(
			Array.from({ length: 30 }, () => attempt(gone, unreachable)),
			nowMs,
		);
		fusion.refresh(nowMs + outMs - 1);
		t.is(fusion.status(gone).state, 'ejected');
		nowMs += outMs;
		fusion.refresh(nowMs);
		t.is(fusion.status(gone).state, 'ready', `out for ${outMs} ms`);
	}
});

test('no more than a share of a pool is ejected, whoever fails', (t) => {
	const { fusion, records } = fleet(5);
	for (const record of records)
		fusion.attempts(
			Array.from({ length: 9 }, () => attempt(record, failure)),
			T0,
		);
	t.is(records.filter((record) => fusion.status(record).state === 'ejected').length, 2);
	const { fusion: alone, records: one } = fleet(1);
	alone.attempts(
		Array.from({ length: 50 }, () => attempt(one[0] as TargetRecord, failure)),
		T0,
	);
	t.is(alone.status(one[0] as TargetRecord).state, 'ready');
});

test('errors fade from the columns with time, and at once when a target comes back', (t) => {
	const { table, fusion, records } = fleet(3);
	const [avoided, ejected] = records as [TargetRecord, TargetRecord];
	fusion.attempts([attempt(avoided), ...Array.from({ length: 3 }, () => attempt(avoided, failure))], T0);
	fusion.attempts(
		Array.from({ length: 5 }, () => attempt(ejected, failure)),
		T0,
	);
	const before = table.getF32(COLUMN_ERROR_RATIO, avoided.row);
	t.true(before > 0);
	t.is(table.getF32(COLUMN_ERROR_RATIO, ejected.row), 1);
	fusion.refresh(T0 + 5000);
	t.true(Math.abs(table.getF32(COLUMN_ERROR_RATIO, avoided.row) - before / Math.E) < 1e-4);
	fusion.refresh(T0 + 10_000);
	t.is(fusion.status(ejected).state, 'ready');
	t.is(table.getF32(COLUMN_ERROR_RATIO, ejected.row), 0, 'slow start decides what it gets');
	t.is(table.getF32(COLUMN_HEALTH, ejected.row), 1);
	fusion.refresh(T0 + 100_000);
	t.is(table.getF32(COLUMN_ERROR_RATIO, avoided.row), 0);
});

test('draining shows at the next refresh and ends as it began', (t) => {
	const { table, fusion, records } = fleet(1);
	const [record] = records as [TargetRecord];
	record.hold = 'draining';
	fusion.refresh(T0);
	t.is(table.getU32(COLUMN_STATE, record.row), TargetState.draining);
	record.hold = 'none';
	fusion.refresh(T0);
	t.is(table.getU32(COLUMN_STATE, record.row), TargetState.ready);
});

test('what is learned of latency reaches the columns; equal engines get one rate, an outlier its own', (t) => {
	const { table, fusion, records } = fleet(4);
	const rates = [10_000, 11_000, 12_000, 2000];
	records.forEach((record, index) => {
		const reports = Array.from({ length: 20 }, () => attempt(record, { ttftMs: 1_000_000 / (rates[index] ?? 1) }));
		fusion.attempts(reports, T0);
	});
	fusion.refresh(T0);
	const median = table.getF32(COLUMN_PREFILL_RATE, (records[0] as TargetRecord).row);
	t.true(median >= 10_000 && median <= 12_000);
	for (const index of [0, 1, 2]) {
		const { row } = records[index] as TargetRecord;
		t.is(table.getF32(COLUMN_PREFILL_RATE, row), median);
		t.is(table.getF32(COLUMN_SPEED, row), 1);
	}
	const { row } = records[3] as TargetRecord;
	t.is(Math.round(table.getF32(COLUMN_PREFILL_RATE, row)), 2000);
	t.true(table.getF32(COLUMN_SPEED, row) < 0.21);
	t.is(table.getF32(COLUMN_TTFT_MS, row), 500);
});

test('a load report on a response counts like a scrape made when it came: what was sent since is added', (t) => {
	const { table, fusion, records, inflight } = fleet(1);
	const [record] = records as [TargetRecord];
	const { row, generation } = record;
	const load = (orca: string, inFlight: number, atMs: number): void =>
		fusion.loads([{ tableRow: row, generation, orca, inFlight, atMs }]);
	const queued = 'TEXT named_metrics.kv_cache_usage_perc=0.75, named_metrics.num_requests_waiting=7';
	inflight.add(REQUESTS, row, 5);
	load(queued, 2, T0 + 3);
	t.is(table.getF32(COLUMN_QUEUE_DEPTH, row), 7);
	t.is(fusion.status(record).reportedMs, T0 + 3);
	t.is(table.getF32(LOAD_BASE_COLUMN, row), 5, '7 there, 2 of them the mesh’s: with the 5 it has now the load is 10');
	load(queued.replace('=7', '=1'), 2, T0 + 2);
	t.is(table.getF32(COLUMN_QUEUE_DEPTH, row), 7, 'one that is older than what is known changes nothing');
	fusion.loads([
		{ tableRow: row, generation: generation + 1, orca: queued.replace('=7', '=1'), inFlight: 0, atMs: T0 + 9 },
	]);
	t.is(table.getF32(COLUMN_QUEUE_DEPTH, row), 7, 'nor does one of another target that had the row');

	// Once scrapes tell what runs, a report of the queue alone is no sum.
	fusion.report(record, delta({ queueDepth: 0, running: 10 }), T0 + 20);
	t.is(table.getF32(LOAD_BASE_COLUMN, row), 5);
	load(queued, 1, T0 + 30);
	t.is(table.getF32(COLUMN_QUEUE_DEPTH, row), 7);
	t.is(table.getF32(LOAD_BASE_COLUMN, row), 5);
	load(`${queued}, named_metrics.num_requests_running=4`, 3, T0 + 31);
	t.is(table.getF32(LOAD_BASE_COLUMN, row), 8);
});

test('the round trip is the least seen of warm checks, and near is zero', (t) => {
	const { table, fusion, records } = fleet(1, '/health');
	const [record] = records as [TargetRecord];
	t.is(fusion.status(record).state, 'unknown');
	fusion.checked(record, true, 400, T0);
	t.is(fusion.status(record).state, 'ready');
	t.is(table.getF32(COLUMN_RTT_MS, record.row), 0, 'the first one opened the connection');
	for (const rtt of [50, 43, 300, 120]) fusion.checked(record, true, rtt, T0);
	const rtt = table.getF32(COLUMN_RTT_MS, record.row);
	t.true(rtt >= 43 && rtt <= 46, `${rtt}`);
	fusion.checked(record, true, 2, T0);
	t.is(table.getF32(COLUMN_RTT_MS, record.row), 0);
});

test('a runtime that tells no load is heard of, and one that takes no requests is out', (t) => {
	const { table, fusion, records } = fleet(1);
	const [record] = records as [TargetRecord];
	fusion.report(record, delta({ runtime: 'torchserve', requestMsMean: 20, queueMsMean: 5, maxSequences: 4 }), T0);
	fusion.refresh(T0);
	t.is(fusion.status(record).state, 'ready');
	t.is(fusion.status(record).reportedMs, T0);
	t.is(table.getF32(COLUMN_REQUEST_MS, record.row), 20);
	t.is(table.getF32(COLUMN_QUEUE_MS, record.row), 5);
	fusion.report(record, delta({ runtime: 'kserve', ready: false }), T0 + 1);
	fusion.refresh(T0 + 1);
	t.is(fusion.status(record).state, 'unhealthy');
});

test('a target that is one rank of an engine has that rank’s load', (t) => {
	const { table, fusion, registry } = fleet(0);
	const [whole] = fleet(1).records as [TargetRecord];
	const record = registry.add({ ...whole.spec, id: 'rank-1', dataParallelRank: 1 });
	fusion.follow(record, T0);
	const ranks = [
		{ rank: 0, queueDepth: 9, running: 1 },
		{ rank: 1, queueDepth: 2, running: 3, kvUsage: 0.5 },
	];
	fusion.report(record, delta({ runtime: 'vllm', queueDepth: 11, running: 4, kvUsage: 0.9, ranks }), T0);
	t.is(table.getF32(COLUMN_QUEUE_DEPTH, record.row), 2);
	t.is(table.getF32(COLUMN_RUNNING, record.row), 3);
	t.is(table.getF32(COLUMN_KV_USAGE, record.row), 0.5);
});

test('the devices of a target show in its columns, its state and its health', (t) => {
	const { table, fusion, records } = fleet(1);
	const [record] = records as [TargetRecord];
	const summary = {
		standing: 'sound',
		quarantine: undefined,
		health: 0.9,
		heardMs: T0 - 5,
		vramUsedMib: 10,
		vramTotalMib: 20,
		computeRatio: 0.5,
		memoryRatio: undefined,
		temperatureC: 70,
		powerW: 300,
		powerLimitW: 700,
		throttle: 4,
		eccUncorrected: 0,
		shareRatio: 0.25,
		uuids: ['GPU-a'],
		rules: ['xid_fatal'],
	} as const;
	fusion.devices(record, summary, T0);
	t.is(table.getF32(COLUMN_VRAM_USED_MIB, record.row), 10);
	t.is(table.getF32(COLUMN_MIG_FRACTION, record.row), 0.25);
	t.is(table.getU32(COLUMN_THROTTLE, record.row), 4);
	t.is(table.getU32(COLUMN_GPU_AT_MS, record.row), T0 - 5);
	t.is(Math.fround(table.getF32(COLUMN_HEALTH, record.row)), Math.fround(0.9));
	fusion.devices(record, { ...summary, standing: 'degraded', health: 0.5 }, T0);
	t.is(fusion.status(record).state, 'degraded');
	fusion.devices(record, { ...summary, standing: 'quarantined', health: 0 }, T0);
	t.is(fusion.status(record).state, 'quarantined');
	t.deepEqual(fusion.status(record).heldBy, ['xid_fatal']);
	fusion.devices(record, undefined, T0);
	t.is(fusion.status(record).state, 'ready');
});
