// Owns the raw cost of a hybrid_mesh decision: the unmetered module against the same policy in plain TypeScript, on the same frames, in
// interleaved rounds. Prints a table; asserts nothing. Run: node test/dist/bench/rank-raw.bench.js
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Random, SeededRandom } from '@infermesh/proto';
import { buildFleet, buildPlugins, createKit, type RowValues, type StrategyKit } from '@infermesh/sdk';
import { HybridMeshReference } from './hybrid-mesh-reference.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const sizes = [16, 128, 1024, 10_240];
const ROUNDS = 41;
const SEED = 20_260_801;

function busyRow(random: Random): RowValues {
	const upTo = (limit: number) => random.nextFloat() * limit;
	return {
		prefill_rate: 4000 + upTo(8000),
		pending_prefill_tokens: Math.floor(upTo(20_000)),
		load: Math.floor(upTo(30)),
		active_decodes: Math.floor(upTo(20)),
		kv_usage: upTo(1),
		kv_free_blocks: upTo(30_000),
		rtt_ms: upTo(3),
		error_ratio: upTo(1) < 0.1 ? upTo(0.1) : 0,
		speed: 0.7 + upTo(0.6),
		telemetry_at_ms: 1_000_000 - Math.floor(upTo(3000)),
	};
}

function prepare(wasm: Uint8Array<ArrayBuffer>, rows: readonly RowValues[]): StrategyKit {
	const kit = createKit(wasm, { rows });
	const hits = [
		{ row: 3, tokens: 1500 },
		{ row: 11, tokens: 700, tier: 1 as const },
	];
	kit.frame.request({ tokens_in: 2000, tokens_out: 200, seed: 77n, top_k: 4 }, hits);
	return kit;
}

/** Nanoseconds a call, over `calls` calls. */
function timeNs(calls: number, call: () => void): number {
	const started = process.hrtime.bigint();
	for (let index = 0; index < calls; index++) call();
	return Number(process.hrtime.bigint() - started) / calls;
}

function percentile(values: readonly number[], share: number): number {
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function measure(wasm: Uint8Array<ArrayBuffer>, rows: readonly RowValues[]) {
	const kit = prepare(wasm, rows);
	const rank = kit.exports['rank'] as (frame: number) => number;
	const twin = new HybridMeshReference(kit.frame.layout, kit.frame.u32, kit.frame.f32);
	const calls = Math.max(20, Math.floor(200_000 / rows.length));
	const strategy = () => void rank(kit.baseBytes);
	const typescript = () => void twin.rank();
	for (let warm = 0; warm < 10; warm++) for (const call of [strategy, typescript]) timeNs(calls, call);
	const wasmNs: number[] = [];
	const twinNs: number[] = [];
	for (let round = 0; round < ROUNDS; round++) {
		wasmNs.push(timeNs(calls, strategy));
		twinNs.push(timeNs(calls, typescript));
	}
	return { wasmNs, twinNs };
}

/** Prints the table. */
export async function rankRaw(): Promise<void> {
	await buildPlugins(root);
	const wasm = new Uint8Array(readFileSync(path.join(root, 'plugins/hybrid_mesh/build/hybrid_mesh.wasm')));
	const random = new SeededRandom(SEED);
	process.stdout.write(`hybrid_mesh, unmetered, ns a decision (seed ${SEED})\n`);
	process.stdout.write('fleet  targets   wasm p50   wasm p99   typescript p50   typescript / wasm\n');
	for (const [name, row] of [['busy', () => busyRow(random)] as const, ['idle', () => ({})] as const]) {
		for (const size of sizes) {
			const { wasmNs, twinNs } = measure(wasm, buildFleet(size, row));
			const p50 = percentile(wasmNs, 0.5);
			const cells = [
				String(size).padStart(9),
				p50.toFixed(0).padStart(10),
				percentile(wasmNs, 0.99).toFixed(0).padStart(10),
				percentile(twinNs, 0.5).toFixed(0).padStart(16),
				(percentile(twinNs, 0.5) / p50).toFixed(2).padStart(19),
			];
			process.stdout.write(`${name}${cells.join(' ')}\n`);
		}
	}
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await rankRaw();
