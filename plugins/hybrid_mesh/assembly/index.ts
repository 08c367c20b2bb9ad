// hybrid_mesh: the row with the least predicted milliseconds. Two passes over the rows, four at a time: what each row costs whatever the
// prompt, with the sums that say how busy the pool is; then the own prompt on top. Rows that hold a prefix are corrected one by one.
// The formula is in README.md. Every operation is + − × ÷ or a comparison on 32-bit floats in a fixed order, so the TypeScript twin
// in test/bench/hybrid-mesh-reference.ts gives the same bits.
import {
	allowed,
	begin,
	BLOCK_ROWS,
	blockMinima,
	decline,
	eligibleWord,
	F32Column,
	hasLora,
	hit,
	hitCount,
	hold,
	isEligible,
	laneMask,
	NEVER,
	output,
	padBlockMinima,
	putBlockMinimum,
	rankedRow,
	request,
	route,
	rowCapacity,
	scratch,
	selectLowest,
} from 'infermesh';
import { explainRanked } from './explain';
import { columns, config, TOP_K } from './manifest';
import { loadTokens, loraLoadMs, ownPrefillMs, predictedTtftMs, promptTokens, queueMs, uncachedTokens } from './row';
export { init } from 'infermesh';

/** Smallest share of normal traffic a row is taken to deserve; keeps costs finite. */
const SHARE_MIN: f32 = 0.02;
/** Smallest prefill rate, tokens/s. */
const RATE_MIN: f32 = 1;

/** Sums over the eligible rows, left by `costWithoutPrompt`. */
let aheadSum: f32 = 0;
let decodeSum: f32 = 0;

/** The four lanes added in order. */
@inline
function sumLanes(values: v128): f32 {
	return (
		f32x4.extract_lane(values, 0) +
		f32x4.extract_lane(values, 1) +
		f32x4.extract_lane(values, 2) +
		f32x4.extract_lane(values, 3)
	);
}

/** First pass: base[row] = milliseconds it costs to be there at all; pace[row] = milliseconds per prompt token. */
function costWithoutPrompt(base: F32Column, pace: F32Column, loraLoad: f32): void {
	const prefillRate = columns.prefill_rate;
	const pending = columns.pending_prefill_tokens;
	const load = columns.load;
	const decodes = columns.active_decodes;
	const kvUsage = columns.kv_usage;
	const kvFreeBlocks = columns.kv_free_blocks;
	const kvBlockTokens = columns.kv_block_tokens;
	const rtt = columns.rtt_ms;
	const errors = columns.error_ratio;
	const health = columns.health;
	const slowStart = columns.slow_start;
	const speed = columns.speed;
	const weight = columns.weight;
	const telemetryAt = columns.telemetry_at_ms;

	const now = request();
	const zero = f32x4.splat(0);
	const one = f32x4.splat(1);
	const thousand = f32x4.splat(1000);
	const shareMin = f32x4.splat(SHARE_MIN);
	const rateMin = f32x4.splat(RATE_MIN);
	const slowRatio = f32x4.splat(config.slow_ratio);
	const tokensPerRequest = f32x4.splat(loadTokens());
	const needed = f32x4.splat(<f32>now.tokens_in + <f32>now.tokens_out);
	const shortageWeight = f32x4.splat(config.shortage_weight);
	const kvPressure = f32x4.splat(config.kv_pressure_ms);
	const rttWeight = f32x4.splat(config.rtt_weight);
	const errorMs = f32x4.splat(config.error_ms);
	const staleWeight = f32x4.splat(config.stale_weight);
	const freshFrom = i32x4.splat(now.now_ms - config.stale_after_ms);
	const staleMax = i32x4.splat(config.stale_max_ms);
	const loading = f32x4.splat(loraLoad);

	let aheadSums = zero;
	let decodeSums = zero;
	for (let first = 0; first < rowCapacity; first += 32) {
		let bits = eligibleWord(first >> 5);
		if (bits == 0) continue;
		const end = min(first + 32, rowCapacity);
		for (let row = first; row < end; row += 4) {
			const mask = laneMask(bits);
			bits >>= 4;
			// Share of normal traffic: health, slow start, operator weight, and speed where it is an outlier.
			const steady = f32x4.pmin(f32x4.mul(speed.four(row), slowRatio), one);
			const trust = f32x4.mul(f32x4.mul(health.four(row), slowStart.four(row)), weight.four(row));
			const share = f32x4.pmax(f32x4.mul(trust, steady), shareMin);
			const perToken = f32x4.div(thousand, f32x4.mul(f32x4.pmax(prefillRate.four(row), rateMin), share));
			// Tokens before ours: prompts not yet prefilled, requests present, KV tokens that must first be freed.
			const usage = kvUsage.four(row);
			const free = f32x4.mul(kvFreeBlocks.four(row), kvBlockTokens.four(row));
			const shortage = f32x4.mul(f32x4.mul(f32x4.pmax(f32x4.sub(needed, free), zero), usage), shortageWeight);
			const tokens = f32x4.add(f32x4.add(pending.four(row), f32x4.mul(load.four(row), tokensPerRequest)), shortage);
			const ahead = f32x4.mul(tokens, perToken);
			aheadSums = f32x4.add(aheadSums, v128.and(ahead, mask));
			decodeSums = f32x4.add(decodeSums, v128.and(decodes.four(row), mask));
			// Costs that do not depend on work.
			const usage2 = f32x4.mul(usage, usage);
			const usage4 = f32x4.mul(usage2, usage2);
			const pressure = f32x4.mul(f32x4.mul(usage4, usage4), kvPressure);
			const network = f32x4.mul(rtt.four(row), rttWeight);
			const failing = f32x4.mul(errors.four(row), errorMs);
			const late = i32x4.min_s(i32x4.max_s(i32x4.sub(freshFrom, telemetryAt.four(row)), i32x4.splat(0)), staleMax);
			const stale = f32x4.mul(f32x4.convert_i32x4_s(late), staleWeight);
			const fixed = f32x4.add(f32x4.add(f32x4.add(pressure, network), f32x4.add(failing, stale)), loading);
			base.putFour(row, f32x4.add(ahead, fixed));
			pace.putFour(row, perToken);
		}
	}
	aheadSum = sumLanes(aheadSums);
	decodeSum = sumLanes(decodeSums);
}

/** Second pass: cost[row] = base + the whole prompt there, masked, with block minima. */
function addPrompt(cost: F32Column, base: F32Column, pace: F32Column, own: f32, stall: f32): void {
	const decodes = columns.active_decodes;
	const ownTokens = f32x4.splat(own);
	const stallTokens = f32x4.splat(stall);
	const never = f32x4.splat(NEVER);
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) {
		const end = min(block + BLOCK_ROWS, rowCapacity);
		let smallest = never;
		for (let row = block; row < end; row += 4) {
			const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
			const tokens = f32x4.add(ownTokens, f32x4.mul(stallTokens, decodes.four(row)));
			const costs = allowed(f32x4.add(base.four(row), f32x4.mul(tokens, pace.four(row))), mask);
			cost.putFour(row, costs);
			smallest = f32x4.pmin(smallest, costs);
		}
		putBlockMinimum(block, smallest);
	}
	padBlockMinima();
}

/** Rows that hold a prefix, or the adapter: what they need not prefill or load is taken off. Costs only fall, so the minima stay exact. */
function creditHolders(cost: F32Column, base: F32Column, pace: F32Column, own: f32, stall: f32, loraLoad: f32): void {
	const decodes = columns.active_decodes;
	const minima = blockMinima();
	const count = hitCount();
	for (let index = 0; index < count; index++) {
		const entry = hit(index);
		const row: i32 = entry.row;
		if (!isEligible(row)) continue;
		const left = uncachedTokens(entry);
		const saved = hasLora(entry) ? loraLoad : <f32>0;
		const value = base[row] + left * (own + stall * decodes[row]) * pace[row] - saved;
		if (!(value < cost[row])) continue;
		cost[row] = value;
		if (value < minima[row / BLOCK_ROWS]) minima[row / BLOCK_ROWS] = value;
	}
}

export function rank(frame: usize): i32 {
	begin(frame);
	const eligible = request().eligible_count;
	if (eligible == 0) return decline();
	const base = scratch(0);
	const pace = scratch(1);
	const cost = scratch(2);
	const loraLoad = loraLoadMs();
	costWithoutPrompt(base, pace, loraLoad);
	// Mean wait over mean service time is rho/(1-rho) of the pool.
	const congestion = min<f32>(aheadSum / <f32>eligible / config.service_ms, config.congestion_max);
	const own: f32 = <f32>1 + config.congestion_weight * congestion;
	const stall = config.stall_weight / max<f32>(decodeSum / <f32>eligible, <f32>1);
	addPrompt(cost, base, pace, promptTokens() * own, promptTokens() * stall);
	creditHolders(cost, base, pace, own, stall, loraLoad);
	const count = selectLowest(cost, min(TOP_K, request().top_k));
	if (count == 0) return decline();
	explainRanked(count, pace, own, stall);
	output().predicted_ttft_ms = predictedTtftMs(rankedRow(0), pace);
	const queued = queueMs(rankedRow(0), pace);
	if (config.hold_above_ms > 0 && queued > config.hold_above_ms) return hold(ownPrefillMs(rankedRow(0), pace));
	return route(count);
}
