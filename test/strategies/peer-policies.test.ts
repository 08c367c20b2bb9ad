// The policies of other routers decide as their formulas in plain TypeScript do, on thousands of frames from one seed: the same rows in the same
// order with the same scores, ties included; and what preble remembers is what it was told.
import { SeededRandom } from '@infermesh/proto';
import { createKit, type StrategyKit } from '@infermesh/sdk';
import test, { type ExecutionContext } from 'ava';
import { shipped } from '../support/strategies.js';
import * as oracle from './peer-policies-oracle.js';

const SEED = Number(process.env['INFERMESH_TEST_SEED'] ?? 20_261_126);

const wasmOf = (name: string) => new Uint8Array(shipped(name));

type Config = Readonly<Record<string, number | boolean>>;
type Policy = (frame: oracle.OracleFrame) => oracle.OracleAnswer;

/** Each policy, and configurations under which every branch of it is taken. */
const policies: ReadonlyArray<readonly [name: string, policy: Policy, configs: readonly Config[]]> = [
	[
		'smg_cache_aware',
		oracle.smgCacheAware,
		[{}, { kv_events: true }, { balance_abs: 1, balance_rel: 3 }, { kv_overload: 0.9, kv_spread: 0.6 }],
	],
	['smg_least_load', oracle.smgLeastLoad, [{}, { kv_weight: 5, unreported_tokens: 10 }]],
	['llmd_default', oracle.llmdDefault, [{}, { host_share: 0.8, disk_share: 0.5, long_prefix_weight: 0.5 }]],
	['llmd_affinity', oracle.llmdAffinity, [{}, { ttft_penalty_max_ms: 100, affinity_threshold: 0.5, host_share: 0.8 }]],
	['dynamo_linear', oracle.dynamoLinear, [{}, { prefill_scale: 2, request_weight: 10, credit_decay: 0.5 }]],
	['dynamo_lmetric', oracle.dynamoLmetric, [{}, { block_tokens: 64, shared_credit: 1, credit_decay: 2 }]],
	['vllm_smetric', oracle.vllmSmetric, [{}, { attention_cost: 0.0001, history_share: 1, ttft_base_ms: 100 }]],
	[
		'preble',
		oracle.preble,
		[
			{},
			{ past_weight: 1, decode_weight: 1 },
			{ exploit_ratio: 0.2, rebalance_ratio: 1.2, eviction_weight: 3, past_weight: 1, decode_weight: 0.5 },
		],
	],
];

/** Uniform in 0 … limit − 1. */
const below = (random: SeededRandom, limit: number) => Math.floor(random.nextFloat() * limit);

/** One of a few values, so that equal costs are common, or any number up to `max`. */
function cell(random: SeededRandom, values: readonly number[], max: number): number {
	return below(random, 10) < 7 ? (values[below(random, values.length)] ?? 0) : Math.fround(random.nextFloat() * max);
}

/** A row. `crowd` lets the counts of some frames differ by more than others'. */
function drawRow(random: SeededRandom, crowd: number): Record<string, number> {
	return {
		target: below(random, 1000),
		target_hash: random.nextU32(),
		inflight: below(random, crowd),
		queue_depth: below(random, 4),
		pending_prefill_tokens: cell(random, [0, 0, 512, 16_000], 200_000),
		pending_prefill_pairs: cell(random, [0, 0, 1], 2000),
		active_decodes: below(random, 20),
		active_decode_tokens: cell(random, [0, 1600], 500_000),
		prefill_rate: cell(random, [8000, 8000, 0], 40_000),
		decode_rate: cell(random, [1000, 1000, 0], 4000),
		kv_usage: cell(random, [0, 0.5, 1], 1),
		kv_free_blocks: below(random, 2000),
		kv_block_tokens: 16,
		prefix_hit_ratio: cell(random, [0, 0.5], 1),
		telemetry_at_ms: below(random, 6) === 0 ? 0 : 999_900,
	};
}

function drawHits(random: SeededRandom, rows: number, prompt: number): Map<number, oracle.OracleHit> {
	const hits = new Map<number, oracle.OracleHit>();
	const wanted = below(random, Math.min(rows, 8) + 1);
	const depths = [0.1, 0.5, 0.85, 1].map((share) => Math.floor(prompt * share));
	for (let index = 0; index < wanted; index++) {
		const tokens = depths[below(random, depths.length)] ?? 0;
		hits.set(below(random, rows), { tokens, tier: ([0, 0, 0, 1, 2, 3] as const)[below(random, 6)] ?? 0 });
	}
	return hits;
}

/** The manifest's defaults with `config` over them, as numbers. */
function settings(kit: StrategyKit, config: Config): Record<string, number> {
	const defaults = kit.manifest.config.map(({ name, default: value }) => [name, Number(value)] as const);
	return {
		...Object.fromEntries(defaults),
		...Object.fromEntries(Object.entries(config).map(([n, v]) => [n, Number(v)])),
	};
}

function drawFrame(random: SeededRandom, size: number, config: Record<string, number>): oracle.OracleFrame {
	const crowd = [3, 6, 200][below(random, 3)] ?? 3;
	const tokensIn = cell(random, [0, 1, 2048, 10_000], 100_000) >>> 0;
	return {
		rows: Array.from({ length: size }, () => drawRow(random, crowd)),
		eligible: Array.from({ length: size }, () => below(random, 8) > 0),
		hits: drawHits(random, size, tokensIn),
		tokensIn,
		tokensOut: below(random, 1000),
		promptHash: BigInt(below(random, 2 ** 31)) << 20n,
		seed: (BigInt(below(random, 2 ** 31)) << 33n) | BigInt(below(random, 2 ** 31)),
		phase: below(random, 4),
		topK: 1 + below(random, 8),
		config,
	};
}

function decide(kit: StrategyKit, frame: oracle.OracleFrame) {
	frame.rows.forEach((values, row) => kit.set(row, values));
	frame.eligible.forEach((eligible, row) => kit.setEligible(row, eligible));
	return kit.rank(
		{
			tokens_in: frame.tokensIn,
			tokens_out: frame.tokensOut,
			prompt_hash: frame.promptHash,
			seed: frame.seed,
			phase: frame.phase,
			top_k: frame.topK,
		},
		(kit.manifest.hits ? [...frame.hits] : []).map(([row, hit]) => ({ row, tokens: hit.tokens, tier: hit.tier })),
	);
}

const sizes = [1, 3, 5, 17, 70];
const FRAMES = 60;

for (const [name, policy, configs] of policies) {
	test(`${name} decides as its formula does`, (t) => {
		t.log(`seed ${SEED}`);
		const random = new SeededRandom(SEED);
		const firsts = new Set<number>();
		for (const size of sizes) {
			for (const config of configs) {
				const kit = createKit(wasmOf(name), { rows: size, config });
				for (let at = 0; at < FRAMES; at++) {
					const frame = drawFrame(random, size, settings(kit, config));
					const where = `frame ${at} of ${size} rows, ${JSON.stringify(config)}`;
					compare(t, decide(kit, frame), policy(frame), where);
					firsts.add(policy(frame).rows[0] ?? -1);
				}
			}
		}
		t.true(firsts.size > 10, 'rows of all kinds were chosen');
	});
}

function compare(t: ExecutionContext, answer: ReturnType<typeof decide>, expected: oracle.OracleAnswer, where: string) {
	t.is(answer.status, expected.rows.length === 0 ? 1 : 0, where);
	t.deepEqual({ rows: answer.rows, scores: answer.scores }, expected, where);
}

test('preble: finished work is load of its target, fades with the window, and does not pass to the target that takes the row', (t) => {
	const rows = [1, 2].map((target) => ({ target, prefill_rate: 8000, decode_rate: 1000 }));
	const kit = createKit(wasmOf('preble'), {
		rows,
		outcomesCapacity: 4,
		config: { past_weight: 1, decode_weight: 1 },
	});
	const past = () => {
		const answer = kit.rank({ tokens_in: 800, tokens_out: 0 });
		return answer.factors[answer.rows.indexOf(0)]?.['past_ms'];
	};
	kit.frame.request({ now_ms: 1000 });
	kit.call('tick');
	kit.observe([{ row: 0, tokens_in: 9000, tokens_cached: 1000, tokens_out: 500 }]);
	t.is(past(), oracle.workMs(8000, 8000) + oracle.workMs(500, 1000));
	t.is(kit.rank({ tokens_in: 800 }).rows[0], 1);
	kit.frame.request({ now_ms: 181_000 });
	kit.call('tick');
	t.true(Math.abs((past() ?? 0) - 1500 / Math.E) < 0.01, `${past()}`);
	kit.set(0, { target: 9 });
	t.is(past(), 0);
});
