import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPlugins, type ConfigValues, createKit, type HitValues, type RowValues } from '@infermesh/sdk';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { HybridMeshReference } from '../bench/hybrid-mesh-reference.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
let wasm = new Uint8Array(0);

test.before(async () => {
	await buildPlugins(root);
	wasm = new Uint8Array(readFileSync(path.join(root, 'plugins/hybrid_mesh/build/hybrid_mesh.wasm')));
});

/** Few distinct values, so that equal costs are common, and some that break arithmetic. */
const cell = (values: readonly number[], max: number) =>
	fc.oneof(
		{ weight: 6, arbitrary: fc.constantFrom(...values) },
		{ weight: 4, arbitrary: fc.float({ min: 0, max, noNaN: true }) },
	);

const row: fc.Arbitrary<RowValues> = fc.record({
	prefill_rate: cell([8000, 4000, 0, 1e9], 40_000),
	pending_prefill_tokens: cell([0, 512, 1024], 100_000),
	pending_prefill_pairs: cell([0, 1], 20_000),
	prefill_at_ms: fc.constantFrom(0, 999_000, 999_990, 1_000_010, 0xffffffff),
	fetches_prefixes: fc.constantFrom(0, 1),
	bandwidth_mbps: cell([0, 1000], 40_000),
	load: cell([0, 1, 2], 300),
	kv_usage: cell([0, 1, 0.5], 1),
	kv_free_blocks: cell([0, 10, 30_000], 40_000),
	kv_block_tokens: fc.constantFrom(16, 64),
	rtt_ms: cell([0, 0.25], 200),
	error_ratio: cell([0, Number.NaN, Number.POSITIVE_INFINITY], 1),
	health: cell([1, 0], 1),
	slow_start: cell([1, 0.1], 1),
	weight: cell([1, 2], 4),
	telemetry_at_ms: fc.constantFrom(0, 997_000, 999_990, 1_000_010, 0xffffffff),
});

interface Decision {
	readonly rows: readonly RowValues[];
	readonly barred: readonly number[];
	readonly hits: readonly HitValues[];
	readonly config: ConfigValues;
	readonly request: Readonly<Record<string, number | bigint>>;
}

const decision: fc.Arbitrary<Decision> = fc.record({
	rows: fc.array(row, { minLength: 1, maxLength: 200, size: 'max' }),
	// Some rows, or whole groups of 32 and all but a few of the others.
	barred: fc.oneof(
		{ weight: 3, arbitrary: fc.array(fc.nat(199), { maxLength: 60 }) },
		{
			weight: 1,
			arbitrary: fc.nat(199).map((left) => Array.from({ length: 200 }, (_, at) => at).filter((at) => at !== left)),
		},
	),
	hits: fc.uniqueArray(
		fc.record({
			row: fc.nat(199),
			tokens: fc.nat(5000),
			tier: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
			flags: fc.constantFrom(0, 0, 1, 2),
		}),
		{ maxLength: 20, selector: (hit) => hit.row },
	),
	config: fc.record({
		own_weight: fc.constantFrom(0, 0.25, 3),
		busy_weight: fc.constantFrom(0, 2, 30),
		shortage_weight: fc.constantFrom(0, 2),
		stale_after_ms: fc.constantFrom(0, 2000),
		output_share: fc.constantFrom(0, 0.25),
		lora_load_ms: fc.constantFrom(0, 250),
		attention_per_token: fc.constantFrom(0, 0.000035),
		queue_floor: fc.constantFrom(0, 0.15),
		crowd_weight: fc.constantFrom(0, 0.7),
		crowd_ms: fc.constantFrom(1, 850),
		service_ms: fc.constantFrom(1, 500),
		fetch: fc.boolean(),
		fetch_ms: fc.constantFrom(0, 10),
	}),
	request: fc.record({
		tokens_in: fc.oneof(fc.constantFrom(0, 1, 2000), fc.nat(200_000)),
		tokens_out: fc.nat(4000),
		seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
		top_k: fc.integer({ min: 1, max: 16 }),
	}),
});

function agree(t: ExecutionContext, given: Decision, hitsCapacity: number): void {
	const size = given.rows.length;
	const kit = createKit(wasm, { rows: given.rows, config: given.config, hitsCapacity });
	const hits = given.hits.filter((hit) => hit.row < size);
	// What a decision over all rows leaves behind must not be taken for one over fewer.
	kit.rank(given.request, hits);
	for (const barred of given.barred) if (barred < size) kit.setEligible(barred, false);
	const answer = kit.rank(given.request, hits);
	const twin = new HybridMeshReference(kit.frame.layout, kit.frame.u32, kit.frame.f32);
	const found = twin.rank();
	t.is(answer.status, found ? 0 : 1);
	t.deepEqual(answer.rows, [...twin.rows.subarray(0, twin.count)]);
	t.deepEqual(answer.scores, [...twin.scores.subarray(0, twin.count)]);
	t.is(answer.fetchFromRow, twin.fetchFromRow);
}

test('the strategy and its TypeScript twin give the same rows and the same bits', (t) => {
	fc.assert(
		fc.property(decision, (given) => agree(t, given, 20)),
		{ numRuns: 400 },
	);
});

/** Rows of a large pool repeat a few, with some more to wait for, so that costs are close, equal and spread. */
const largeDecision: fc.Arbitrary<Decision> = fc
	.record({
		few: decision,
		count: fc.integer({ min: 1030, max: 3000 }),
		spread: fc.constantFrom(0, 1, 40, 700),
		idle: fc.boolean(),
		alone: fc.boolean(),
	})
	.map(({ few, count, spread, idle, alone }) => {
		const kinds = few.rows.length;
		const rows = Array.from({ length: count }, (_, at) => {
			const kind = few.rows[(at * 7) % kinds] as RowValues;
			const more = (at * 31) % (spread + 1);
			return { ...kind, pending_prefill_tokens: (idle ? 0 : (kind['pending_prefill_tokens'] ?? 0)) + more };
		});
		const hits = few.hits.map((hit) => ({ ...hit, row: (hit.row * 13) % count }));
		const distinct = hits.filter(({ row }, at) => hits.findIndex((other) => other.row === row) === at);
		// Whole groups of rows without one that may be chosen.
		const barred = alone ? rows.map((_, row) => row).filter((row) => row % 100 > 3) : few.barred;
		return Object.assign({}, few, { rows, hits: distinct, barred });
	});

test('rows that are not looked at in full could not have been ranked: as the twin, which looks at all, in pools of thousands', (t) => {
	fc.assert(
		fc.property(largeDecision, (given) => agree(t, given, 20)),
		{ numRuns: 60 },
	);
});
