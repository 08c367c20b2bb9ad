import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPlugins, type ConfigValues, createKit, type HitValues, type RowValues } from '@infermesh/sdk';
import test from 'ava';
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
	active_decodes: cell([0, 1], 256),
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
	barred: fc.array(fc.nat(199), { maxLength: 60 }),
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
		congestion_weight: fc.constantFrom(0, 0.5, 3),
		stall_weight: fc.constantFrom(0, 0.3),
		shortage_weight: fc.constantFrom(0, 2),
		stale_after_ms: fc.constantFrom(0, 2000),
		output_share: fc.constantFrom(0, 0.25),
		lora_load_ms: fc.constantFrom(0, 250),
		attention_per_token: fc.constantFrom(0, 0.000035),
		queue_floor: fc.constantFrom(0, 0.15),
		crowd_weight: fc.constantFrom(0, 0.4),
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

test('the strategy and its TypeScript twin give the same rows and the same bits', (t) => {
	fc.assert(
		fc.property(decision, (given) => {
			const size = given.rows.length;
			const kit = createKit(wasm, { rows: given.rows, config: given.config, hitsCapacity: 20 });
			for (const barred of given.barred) if (barred < size) kit.setEligible(barred, false);
			const hits = given.hits.filter((hit) => hit.row < size);
			const answer = kit.rank(given.request, hits);
			const twin = new HybridMeshReference(kit.frame.layout, kit.frame.u32, kit.frame.f32);
			const found = twin.rank();
			t.is(answer.status, found ? 0 : 1);
			t.deepEqual(answer.rows, [...twin.rows.subarray(0, twin.count)]);
			t.deepEqual(answer.scores, [...twin.scores.subarray(0, twin.count)]);
			t.is(answer.fetchFromRow, twin.fetchFromRow);
		}),
		{ numRuns: 400 },
	);
});
