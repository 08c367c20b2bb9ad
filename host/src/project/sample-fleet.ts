// Owns fleets for measuring: any number of targets in the states of an ordinary busy pool, the same for the same seed. Values stay in
// the ranges real engines report, so that data-dependent branches of a strategy are taken as they would be.
import { type Random, SeededRandom } from '@infermesh/proto';
import type { RequestSpec, TargetSpec } from './scenario/schema.js';

const ZONES = 3;
const TARGETS_PER_NODE = 8;
const KV_BLOCKS = 27_500;
/** Share of targets that are draining or unhealthy. */
const OUT_OF_SERVICE = 0.03;
/** Rows that hold a prefix of a request, at most. */
const HITS_PER_REQUEST = 8;

export function sampleTargets(count: number, seed: number): TargetSpec[] {
	const random = new SeededRandom(seed, 1);
	return Array.from({ length: count }, (_, index) => sampleTarget(index, random));
}

function sampleTarget(index: number, random: Random): TargetSpec {
	const between = (low: number, high: number): number => low + (high - low) * random.nextFloat();
	const count = (most: number): number => Math.floor(most * random.nextFloat() ** 2);
	const kvUsage = between(0.05, 0.97);
	const waiting = count(12);
	const running = count(64);
	return {
		id: `t${index}`,
		node: `node${Math.floor(index / TARGETS_PER_NODE)}`,
		zone: `zone${index % ZONES}`,
		state:
			random.nextFloat() < OUT_OF_SERVICE ? 'draining' : random.nextFloat() < OUT_OF_SERVICE ? 'degraded' : 'ready',
		telemetry_age_ms: Math.floor(between(0, 1500)),
		weight: 1,
		queue_depth: waiting,
		running,
		inflight: Math.floor((waiting + running) * between(0.3, 1)),
		load: waiting + running,
		pending_prefill_tokens: count(20_000),
		active_decodes: running,
		active_decode_tokens: running * Math.floor(between(200, 3000)),
		kv_usage: kvUsage,
		kv_free_blocks: Math.floor(KV_BLOCKS * (1 - kvUsage)),
		kv_total_blocks: KV_BLOCKS,
		kv_block_tokens: 16,
		prefill_rate: between(6000, 12_000),
		decode_rate: between(800, 2500),
		ttft_ms: between(40, 2500),
		ttft_p95_ms: between(100, 6000),
		tpot_ms: between(8, 45),
		tpot_p95_ms: between(15, 90),
		error_ratio: random.nextFloat() < 0.05 ? between(0.01, 0.2) : 0,
		rtt_ms: between(0.1, 4),
		bandwidth_mbps: between(1000, 12_000),
		vram_used_mib: between(40_000, 80_000),
		vram_total_mib: 81_559,
		sm_utilization: between(0.1, 1),
		memory_utilization: between(0.1, 1),
		temperature_c: between(35, 84),
		cost: between(1.2, 4),
		health: 1,
		speed: between(0.85, 1.1),
		max_sequences: 256,
		prefix_hit_ratio: between(0, 0.8),
		slow_start: 1,
	};
}

/** `count` requests over `targets` rows: prompts of 16 to 8,000 tokens, most with prefix hits. */
export function sampleRequests(count: number, targets: number, seed: number): RequestSpec[] {
	const random = new SeededRandom(seed, 2);
	return Array.from({ length: count }, (_, index) => {
		const tokensIn = 16 + Math.floor(8000 * random.nextFloat() ** 3);
		const hits = new Map<number, number>();
		for (let i = random.nextU32() % (HITS_PER_REQUEST + 1); i > 0; i--) {
			hits.set(random.nextU32() % targets, Math.floor(tokensIn * random.nextFloat()));
		}
		return {
			tokens_in: tokensIn,
			tokens_out: 16 + (random.nextU32() % 512),
			session: `session${random.nextU32() % 64}`,
			prompt: `prompt${random.nextU32() % 16}`,
			seed: index,
			hits: [...hits].map(([row, tokens]) => ({ target: `t${row}`, tokens })),
		};
	});
}
