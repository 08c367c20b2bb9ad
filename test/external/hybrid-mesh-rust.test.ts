// hybrid_mesh in Rust, as a module, in a sandbox and inline, against the AssemblyScript original: the same decisions, bit for bit, on random frames.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { buildStrategy, createKit, type HitValues, type RowValues, type StrategyKit } from '@infermesh/sdk';
import test from 'ava';
import { NativeLibrary } from '../support/native-kit.js';
import { temporaryFolder } from '../support/programs.js';
import { useRust } from '../support/rust.js';

const project = path.join(fileURLToPath(new URL('../../../', import.meta.url)), 'plugins/hybrid_mesh');
/** All of them in `npm run test:long`. */
const long = process.env['INFERMESH_TEST_LONG'] === '1';
const FRAMES = long ? 100_000 : 5000;
/** Fleets, each with a pair of instances; every frame changes some rows, the eligible ones, the hits and the request. */
const SIZES = [1, 3, 16, 17, 70, 200, 1100];
const CHANGED_ROWS = 12;

/** xorshift32; never 0. */
class Draw {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0 || 1;
	}

	below(limit: number): number {
		this.#state ^= this.#state << 13;
		this.#state ^= this.#state >>> 17;
		this.#state ^= this.#state << 5;
		return (this.#state >>> 0) % limit;
	}

	/** One of few values, so that equal costs are common and some break arithmetic, or any up to `max`. */
	cell(values: readonly number[], max: number): number {
		return this.below(10) < 6 ? (values[this.below(values.length)] ?? 0) : (this.below(1 << 24) / (1 << 24)) * max;
	}

	of<T>(values: readonly [T, ...T[]]): T {
		return values[this.below(values.length)] ?? values[0];
	}
}

function rowOf(draw: Draw): RowValues {
	return {
		prefill_rate: draw.cell([8000, 4000, 0, 1e9], 40_000),
		pending_prefill_tokens: draw.cell([0, 512, 1024], 100_000),
		pending_prefill_pairs: draw.cell([0, 1], 20_000),
		prefill_at_ms: draw.of([0, 999_000, 999_990, 1_000_010, 0xffffffff]),
		fetches_prefixes: draw.below(2),
		bandwidth_mbps: draw.cell([0, 1000], 40_000),
		load: draw.cell([0, 1, 2], 300),
		kv_usage: draw.cell([0, 1, 0.5], 1),
		kv_free_blocks: draw.cell([0, 10, 30_000], 40_000),
		kv_block_tokens: draw.of([16, 64]),
		rtt_ms: draw.cell([0, 0.25], 200),
		error_ratio: draw.cell([0, 0, 0, Number.NaN, Number.POSITIVE_INFINITY], 1),
		health: draw.cell([1, 0], 1),
		slow_start: draw.cell([1, 0.1], 1),
		weight: draw.cell([1, 2], 4),
		telemetry_at_ms: draw.of([0, 997_000, 999_990, 1_000_010, 0xffffffff]),
	};
}

function hitsOf(draw: Draw, size: number): HitValues[] {
	const rows = new Set(Array.from({ length: draw.below(12) }, () => draw.below(size)));
	return [...rows].map((row) => ({
		row,
		tokens: draw.below(5000),
		tier: draw.of([0, 1, 2, 3] as const),
		flags: draw.of([0, 0, 1, 2]),
	}));
}

function configOf(draw: Draw): Record<string, number | boolean> {
	return {
		own_weight: draw.of([0, 0.25, 3]),
		busy_weight: draw.of([0, 2, 30]),
		shortage_weight: draw.of([0, 2]),
		stale_after_ms: draw.of([0, 2000]),
		output_share: draw.of([0, 0.25]),
		lora_load_ms: draw.of([0, 250]),
		queue_floor: draw.of([0, 0.15]),
		crowd_weight: draw.of([0, 0.7]),
		crowd_ms: draw.of([1, 850]),
		service_ms: draw.of([1, 500]),
		fetch: draw.below(4) > 0,
		hold_above_ms: draw.of([0, 0, 50, 5000]),
	};
}

/** The next frame, written to the first and copied to the others byte for byte; their answers. */
function decide(kits: readonly StrategyKit[], draw: Draw, size: number) {
	const changed = Array.from(
		{ length: CHANGED_ROWS },
		() => [draw.below(size), rowOf(draw), draw.below(5) > 0] as const,
	);
	const hits = hitsOf(draw, size);
	const request = {
		tokens_in: draw.of([0, 1, 2000, draw.below(200_000)]),
		tokens_out: draw.below(4000),
		seed: BigInt(draw.below(2 ** 32)) << 20n,
		top_k: 1 + draw.below(16),
		waited_ms: draw.of([0, 30_000]),
		held_count: draw.of([0, 300]),
	};
	const [first, ...others] = kits;
	for (const [row, values, eligible] of changed) {
		first?.set(row, values);
		first?.setEligible(row, eligible);
	}
	first?.frame.request(request, hits);
	for (const { frame } of others) frame.u32.set(first?.frame.u32 ?? []);
	return kits.map((kit) => kit.answer(kit.call('rank')));
}

test(`hybrid_mesh in Rust decides as in AssemblyScript on ${FRAMES} random frames`, async (t) => {
	t.timeout(long ? 3_600_000 : 600_000);
	useRust();
	const folder = temporaryFolder(t);
	const inAssembly = await buildStrategy(project, { dryRun: true });
	const source = 'rust/src/lib.rs';
	const inRust = await buildStrategy(project, { dryRun: true, source });
	const outFile = path.join(folder, 'hybrid_mesh.so');
	await buildStrategy(project, { source, target: 'native', outFile });
	const native = await NativeLibrary.open(outFile);
	const seed = 20_261_126;
	t.log(`seed ${seed}`);
	const draw = new Draw(seed);
	const perFleet = 500;
	let [frames, routed, held, fetched] = [0, 0, 0, 0];
	while (frames < FRAMES) {
		const size = SIZES[(frames / perFleet) % SIZES.length] ?? 1;
		const options = { rows: size, config: configOf(draw), hitsCapacity: 20 };
		const sandboxed = native.kit('process', options);
		const kits = [
			createKit(inAssembly.wasm, options),
			createKit(inRust.wasm, options),
			native.kit('inline', options),
			sandboxed,
		];
		for (let frame = 0; frame < perFleet; frame++, frames++) {
			const [original, ...others] = decide(kits, draw, size);
			for (const [index, other] of others.entries()) {
				if (isDeepStrictEqual(original, other)) continue;
				t.deepEqual(other, original, `frame ${frames}, ${size} rows, ${['module', 'inline', 'sandbox'][index]}`);
				return;
			}
			if (original?.status === 0 && original.verdict === 'route') routed++;
			if (original?.verdict === 'hold') held++;
			if (original !== undefined && original.fetchFromRow >= 0) fetched++;
		}
		sandboxed.close();
	}
	t.log(`${routed} routed, ${held} held, ${fetched} with a fetch`);
	t.true(routed > FRAMES / 2 && held > FRAMES / 100 && fetched > FRAMES / 100);
});
