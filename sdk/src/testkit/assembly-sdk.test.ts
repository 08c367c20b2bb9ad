// The AssemblyScript SDK, seen through a probe strategy that exports its functions.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import * as fc from 'fast-check';
import { structs } from '../../abi/definition.js';
import { buildStrategy } from '../build/build-strategy.js';
import * as abi from '../gen/abi.js';
import { buildFleet, createKit, type StrategyKit } from './kit.js';

const yaml = `name: probe
version: 1.0.0
columns: [queue_depth, load, telemetry_at_ms]
hooks: [rank, admit, observe, tick]
factors: [first, second]
hits: true
state_bytes: 64
log_bytes: 40
`;

const trainingYaml = `name: planner
version: 1.0.0
kind: training
hooks: [plan]
`;

const scalars = structs.flatMap((struct) =>
	struct.fields
		.filter((field) => field.count === undefined)
		.map(({ name, offsetBytes }) => ({ struct: struct.name, name, offsetBytes })),
);

const probe = `import * as im from 'infermesh';
import { columns, FACTOR_SECOND } from './manifest';
export { init } from 'infermesh';

/** Ranks by queue depth, credit for cached tokens. */
export function rank(frame: usize): i32 {
	im.begin(frame);
	const cost = im.scratch(0);
	im.fillCosts(cost, 0);
	im.addWeighted(cost, columns.queue_depth, 1);
	im.creditHits(cost, 0.5, 0.5, 0.25);
	const status = im.rankLowest(cost);
	im.setFactorCount(2);
	for (let i: u32 = 0; i < im.rankedCount(); i++) im.putFactor(i, FACTOR_SECOND, im.stateF32(im.rankedRow(i)));
	return status;
}

export function admit(frame: usize): i32 {
	im.begin(frame);
	const request = im.request();
	if (request.priority < 0) return im.hold(<f32>request.tokens_in);
	if (request.tokens_in > 1000) return im.reject(im.RejectReason.saturated, 250);
	im.hedge(30, 1);
	return im.Status.ok;
}

/** Counts outcomes by row. */
export function observe(frame: usize, count: i32): i32 {
	im.begin(frame);
	for (let i = 0; i < count; i++) {
		const row = im.outcome(i).row;
		im.putStateF32(row, im.stateF32(row) + im.outcome(i).ttft_ms);
	}
	return im.Status.ok;
}

export function tick(frame: usize): i32 {
	im.begin(frame);
	im.logText('rows ');
	im.logU32(im.rowCount());
	im.logText(', half ');
	im.logF32(-0.5);
	im.logLine();
	im.logText('and much more than there is room for');
	return im.Status.ok;
}

export function normalised(frame: usize): i32 {
	im.begin(frame);
	const cost = im.scratch(0);
	im.fillCosts(cost, 10);
	im.addNormalised(cost, columns.load, 4);
	return im.rankLowest(cost);
}

export function exp32(x: f32): f32 { return im.exp32(x); }
export function log32(x: f32): f32 { return im.log32(x); }
export function hash64(key: u64, seed: u32): u32 { return im.hash64(key, seed); }
export function nextEligible(frame: usize, row: i32): i32 { im.begin(frame); return im.nextEligible(row); }
export function isEligible(frame: usize, row: i32): i32 { im.begin(frame); return im.isEligible(row) ? 1 : 0; }
export function ageMs(frame: usize, row: i32): u32 { im.begin(frame); return columns.telemetry_at_ms.ageMs(row); }
export function lowest(frame: usize): f32 { im.begin(frame); return im.lowestOf(columns.load); }
export function highest(frame: usize): f32 { im.begin(frame); return im.highestOf(columns.load); }
export function findHit(frame: usize, row: i32): i32 { im.begin(frame); return im.findHit(row); }
export function secondRandom(frame: usize): u32 { im.begin(frame); im.random32(); return im.random32(); }
export function randomFloat(frame: usize): f32 { im.begin(frame); return im.randomFloat(); }
export function randomBelow(frame: usize, limit: u32): u32 { im.begin(frame); return im.randomBelow(limit); }
${scalars.map((field) => `export function at_${field.struct}_${field.name}(): usize { return offsetof<im.${field.struct}>('${field.name}'); }`).join('\n')}
`;

const planner = `import { assignRank, begin, header, link, place, planRequest, rankRow } from 'infermesh';
export { init } from 'infermesh';

/** Puts ranks on rows round and round; predicts the sum of latencies. */
export function plan(frame: usize): i32 {
	begin(frame);
	let latency: f32 = 0;
	for (let i: u32 = 0; i < header().links_count; i++) latency += link(i).latency_us;
	const ranks = planRequest().ranks;
	for (let i: u32 = 0; i < ranks; i++) assignRank(i, i % header().row_count);
	return place(rankRow(ranks - 1) + 1, latency);
}
`;

let wasm = new Uint8Array(0);
let plannerWasm = new Uint8Array(0);

async function build(manifest: string, source: string): Promise<Uint8Array<ArrayBuffer>> {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-probe-'));
	mkdirSync(path.join(dir, 'assembly'));
	writeFileSync(path.join(dir, 'strategy.yaml'), manifest);
	writeFileSync(path.join(dir, 'assembly/index.ts'), source);
	const built = await buildStrategy(dir, { dryRun: true });
	rmSync(dir, { recursive: true });
	return built.wasm;
}

test.before(async () => {
	wasm = await build(yaml, probe);
	plannerWasm = await build(trainingYaml, planner);
});

type Numeric = (...parameters: ReadonlyArray<number | bigint>) => number;

function exported(kit: StrategyKit, name: string): Numeric {
	return kit.exports[name] as Numeric;
}

test('fields lie where the definition says', (t) => {
	const kit = createKit(wasm, { rows: 1 });
	for (const field of scalars)
		t.is(exported(kit, `at_${field.struct}_${field.name}`)(), field.offsetBytes, `${field.struct}.${field.name}`);
});

test('exp32 and log32 keep their stated errors', (t) => {
	const kit = createKit(wasm, { rows: 1 });
	const [exp32, log32] = [exported(kit, 'exp32'), exported(kit, 'log32')];
	let expError = 0;
	let logError = 0;
	for (let step = 0; step <= 100_000; step++) {
		const x = Math.fround(-87 + (175 * step) / 100_000);
		expError = Math.max(expError, Math.abs(exp32(x) / Math.exp(x) - 1));
		const y = Math.fround(2 ** (-120 + (240 * step) / 100_000));
		const exact = Math.log(y);
		logError = Math.max(logError, Math.abs(log32(y) - exact) / Math.max(Math.abs(exact), 1 / 3));
	}
	t.log(`exp32 ${expError.toExponential(2)}, log32 ${logError.toExponential(2)}`);
	t.true(expError < 1.5e-7);
	t.true(logError < 1.5e-7);
	t.is(exp32(0), 1);
	t.is(log32(1), 0);
	t.is(exp32(1000), exp32(88));
	t.is(exp32(-1000), exp32(-87));
	t.true(Number.isNaN(log32(Number.NaN)));
	t.true(log32(-1) < -87.3 && log32(0) < -87.3);
});

test('hash64 is xxHash32 of the eight bytes', (t) => {
	const hash64 = exported(createKit(wasm, { rows: 1 }), 'hash64');
	t.is(hash64(0n, 0) >>> 0, 3_736_311_059);
	t.is(hash64(1n, 0) >>> 0, 149_775_153);
	t.is(hash64(0x0123456789abcdefn, 0) >>> 0, 279_839_387);
	t.is(hash64(-1n, 7) >>> 0, 3_271_027_068);
});

test('random numbers come from the seed alone, and spread evenly', (t) => {
	const kit = createKit(wasm, { rows: 1 });
	const below = exported(kit, 'randomBelow');
	const second = exported(kit, 'secondRandom');
	const float = exported(kit, 'randomFloat');
	const counts = Array.from({ length: 10 }, () => 0);
	for (let seed = 0; seed < 10_000; seed++) {
		kit.frame.request({ seed });
		const drawn = below(kit.baseBytes, 10);
		t.is(drawn, below(kit.baseBytes, 10));
		counts[drawn] = (counts[drawn] ?? 0) + 1;
		const share = float(kit.baseBytes);
		if (share < 0 || share >= 1) t.fail(`randomFloat gave ${share}`);
	}
	for (const count of counts) t.true(Math.abs(count - 1000) < 150, String(counts));
	kit.frame.request({ seed: 1n });
	const low = second(kit.baseBytes);
	kit.frame.request({ seed: 1n << 32n });
	t.not(second(kit.baseBytes), low);
});

test('eligible rows are walked as a filter would', (t) => {
	fc.assert(
		fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 150 }), (eligible) => {
			const kit = createKit(wasm, { rows: eligible.length });
			eligible.forEach((value, row) => kit.setEligible(row, value));
			const [next, is] = [exported(kit, 'nextEligible'), exported(kit, 'isEligible')];
			const walked: number[] = [];
			for (let row = next(kit.baseBytes, 0); row >= 0; row = next(kit.baseBytes, row + 1)) walked.push(row);
			t.deepEqual(
				walked,
				eligible.flatMap((value, row) => (value ? [row] : [])),
			);
			t.deepEqual(
				eligible.map((_, row) => is(kit.baseBytes, row) === 1),
				eligible,
			);
		}),
		{ numRuns: 100 },
	);
});

const depth = fc.oneof(
	{ weight: 8, arbitrary: fc.nat(5) },
	{ weight: 4, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }) },
	{ weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY) },
);

test('ranking gives exactly the lowest finite costs of eligible rows', (t) => {
	fc.assert(
		fc.property(
			fc.array(fc.tuple(depth, fc.boolean()), { minLength: 1, maxLength: 300, size: 'max' }),
			fc.integer({ min: 1, max: 16 }),
			fc.nat(1000),
			(rows, topK, seed) => {
				const kit = createKit(wasm, { rows: rows.map(([queue_depth]) => ({ queue_depth })) });
				rows.forEach(([, eligible], row) => kit.setEligible(row, eligible));
				const answer = kit.rank({ top_k: topK, seed });
				const finite = rows.flatMap(([cost, eligible]) =>
					eligible && Number.isFinite(cost) ? [Math.fround(cost)] : [],
				);
				const expected = finite.sort((a, b) => a - b).slice(0, topK);
				t.is(answer.status, expected.length === 0 ? abi.Status.decline : abi.Status.ok);
				t.deepEqual(
					answer.scores.map(Number),
					expected.map((cost) => cost + 0),
				);
				t.is(new Set(answer.rows).size, answer.rows.length);
				for (const [position, row] of answer.rows.entries()) {
					t.true(rows[row]?.[1]);
					t.is(Math.fround(rows[row]?.[0] ?? Number.NaN) + 0, answer.scores[position] ?? Number.NaN);
				}
			},
		),
		{ numRuns: 200 },
	);
});

test('rows with the same cost are equally likely, wherever they stand', (t) => {
	const tied = [0, 1, 2, 3, 63, 64, 130, 199];
	const kit = createKit(wasm, { rows: buildFleet(200, (row) => ({ queue_depth: tied.includes(row) ? 1 : 2 })) });
	const counts = new Map<number, number>();
	for (let seed = 0; seed < 8000; seed++) {
		const [first = -1] = kit.rank({ seed, top_k: 2 }).rows;
		counts.set(first, (counts.get(first) ?? 0) + 1);
	}
	t.deepEqual(
		[...counts.keys()].sort((a, b) => a - b),
		tied,
	);
	// 1,000 expected, standard deviation 30.
	for (const count of counts.values()) t.true(Math.abs(count - 1000) < 150, JSON.stringify([...counts]));
});

test('prefix hits are found by row and credited by tier', (t) => {
	const kit = createKit(wasm, { rows: buildFleet(5, { queue_depth: 100 }) });
	const hits = [
		{ row: 3, tokens: 40, tier: abi.CacheTier.host },
		{ row: 1, tokens: 40 },
		{ row: 4, tokens: 40, tier: abi.CacheTier.remote },
	];
	const answer = kit.rank({}, hits);
	t.deepEqual(answer.rows.slice(0, 3), [1, 3, 4]);
	t.deepEqual(answer.scores.slice(0, 3), [80, 90, 95]);
	const find = exported(kit, 'findHit');
	t.deepEqual(
		[0, 1, 2, 3, 4].map((row) => find(kit.baseBytes, row)),
		[-1, 0, -1, 1, 2],
	);
});

test('ranges and normalisation look at eligible rows only', (t) => {
	const kit = createKit(wasm, { rows: [3, 1, 7, 100].map((load) => ({ load })) });
	kit.setEligible(3, false);
	t.is(exported(kit, 'lowest')(kit.baseBytes), 1);
	t.is(exported(kit, 'highest')(kit.baseBytes), 7);
	kit.frame.request({});
	const answer = kit.answer(kit.call('normalised'));
	t.deepEqual(answer.rows, [1, 0, 2]);
	t.deepEqual(
		answer.scores.map((score) => score.toFixed(3)),
		['10.000', '11.333', '14.000'],
	);
});

test('ages are right across the wrap of the clock', (t) => {
	const kit = createKit(wasm, { rows: [{ telemetry_at_ms: 0xfffffff0 }] });
	kit.frame.request({ now_ms: 20 });
	t.is(exported(kit, 'ageMs')(kit.baseBytes, 0), 36);
});

test('admit can refuse, hold and hedge', (t) => {
	const kit = createKit(wasm, { rows: 2 });
	const admit = (request: Record<string, number>) => {
		kit.frame.request(request);
		return kit.answer(kit.call('admit'));
	};
	const refused = admit({ tokens_in: 2000 });
	t.is(refused.verdict, 'reject');
	t.is(refused.reason, abi.RejectReason.saturated);
	t.is(refused.retryAfterMs, 250);
	const held = admit({ tokens_in: 600, priority: -1 });
	t.is(held.verdict, 'hold');
	t.is(held.holdKey, 600);
	const passed = admit({ tokens_in: 10 });
	t.is(passed.verdict, 'route');
	t.is(passed.hedgeDelayMs, 30);
	t.is(passed.hedgeCopies, 1);
});

test('observe writes the state block, rank reads it; beyond its end nothing happens', (t) => {
	const kit = createKit(wasm, { rows: 2, outcomesCapacity: 4 });
	t.is(
		kit.observe([
			{ row: 1, ttft_ms: 20 },
			{ row: 1, ttft_ms: 5 },
			{ row: 1000, ttft_ms: 9 },
		]),
		abi.Status.ok,
	);
	const answer = kit.rank({ seed: 3 });
	t.is(answer.rows.length, 2);
	for (const [position, row] of answer.rows.entries()) t.is(answer.factors[position]?.['second'], row === 1 ? 25 : 0);
});

test('log text is bounded by the manifest', (t) => {
	const kit = createKit(wasm, { rows: 12 });
	kit.frame.request({});
	t.is(kit.answer(kit.call('tick')).log, 'rows 12, half -0.500\nand much more than ');
});

test('a training strategy reads job and links and assigns ranks', (t) => {
	const kit = createKit(plannerWasm, { rows: 3, planRanksCapacity: 8, linksCapacity: 2 });
	const { u32, f32, layout } = kit.frame;
	u32[layout.planRequestOffset / 4 + abi.PLAN_REQUEST_RANKS_WORD] = 8;
	f32[layout.linksOffset / 4 + abi.LINK_LEVEL_LATENCY_US_WORD] = 2;
	f32[(layout.linksOffset + abi.LINK_LEVEL_BYTES) / 4 + abi.LINK_LEVEL_LATENCY_US_WORD] = 5;
	t.is(kit.call('plan'), abi.Status.ok);
	const output = layout.planOutputOffset / 4;
	t.deepEqual([...u32.subarray(output + 128, output + 136)], [0, 1, 2, 0, 1, 2, 0, 1]);
	t.is(u32[output + abi.PLAN_OUTPUT_RANKS_WORD], 2);
	t.is(f32[output + abi.PLAN_OUTPUT_PREDICTED_STEP_US_WORD], 7);
});
