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
	fetchFrom,
	hasLora,
	hit,
	hitCount,
	hold,
	isEligible,
	laneMask,
	NEVER,
	nextEligible,
	NO_ROW,
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
import { costWith, creditFetches, fetchWaitMs, findHolder, holderRow, workWith } from './fetch';
import { columns, config, TOP_K } from './manifest';
import {
	crowdWeight,
	leftOn,
	loadTokens,
	loraLoadMs,
	loraWaitMs,
	ownWeight,
	pairTokens,
	promptTokens,
	queueMs,
	setWeights,
	stallWeight,
	uncachedTokens,
	workOf,
} from './row';
export { init } from 'infermesh';

/** Smallest share of normal traffic a row is taken to deserve; keeps costs finite. */
const SHARE_MIN: f32 = 0.02;
/** Smallest prefill rate, tokens/s. */
const RATE_MIN: f32 = 1;

/** Sums over the eligible rows, left by `costWithoutPrompt`. */
let aheadSum: f32 = 0;
let decodeSum: f32 = 0;
/** Whether any row can fetch a prefix. */
let someFetch: bool = false;

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
	const pairs = columns.pending_prefill_pairs;
	const prefillAt = columns.prefill_at_ms;
	const fetches = columns.fetches_prefixes;
	const load = columns.load;
	const decodes = columns.active_decodes;
	const kvUsage = columns.kv_usage;
	const kvFreeBlocks = columns.kv_free_blocks;
	const kvBlockTokens = columns.kv_block_tokens;
	const rtt = columns.rtt_ms;
	const errors = columns.error_ratio;
	const health = columns.health;
	const slowStart = columns.slow_start;
	const weight = columns.weight;
	const telemetryAt = columns.telemetry_at_ms;

	const now = request();
	const zero = f32x4.splat(0);
	const thousand = f32x4.splat(1000);
	const shareMin = f32x4.splat(SHARE_MIN);
	const rateMin = f32x4.splat(RATE_MIN);
	const tokensPerRequest = f32x4.splat(loadTokens());
	const tokensPerPair = f32x4.splat(pairTokens());
	const nowMs = i32x4.splat(now.now_ms);
	const queueFloor = f32x4.splat(config.queue_floor);
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
	let able = i32x4.splat(0);
	for (let first = 0; first < rowCapacity; first += 32) {
		let bits = eligibleWord(first >> 5);
		if (bits == 0) continue;
		const end = min(first + 32, rowCapacity);
		for (let row = first; row < end; row += 4) {
			const mask = laneMask(bits);
			bits >>= 4;
			// Share of normal traffic: health, slow start, operator weight. A slow row has its own prefill rate.
			const trust = f32x4.mul(f32x4.mul(health.four(row), slowStart.four(row)), weight.four(row));
			const share = f32x4.pmax(trust, shareMin);
			const perToken = f32x4.div(thousand, f32x4.mul(f32x4.pmax(prefillRate.four(row), rateMin), share));
			// Tokens before ours: prompts not yet prefilled, requests present, KV tokens that must first be freed.
			const usage = kvUsage.four(row);
			const free = f32x4.mul(kvFreeBlocks.four(row), kvBlockTokens.four(row));
			const shortage = f32x4.mul(f32x4.mul(f32x4.pmax(f32x4.sub(needed, free), zero), usage), shortageWeight);
			const work = f32x4.mul(f32x4.add(pending.four(row), f32x4.mul(pairs.four(row), tokensPerPair)), perToken);
			// The first of them is under way since then.
			const elapsed = f32x4.convert_i32x4_s(i32x4.max_s(i32x4.sub(nowMs, prefillAt.four(row)), i32x4.splat(0)));
			const queued = f32x4.pmax(f32x4.sub(work, elapsed), f32x4.mul(work, queueFloor));
			able = v128.or(able, fetches.four(row));
			const present = f32x4.add(f32x4.mul(load.four(row), tokensPerRequest), shortage);
			const ahead = f32x4.add(queued, f32x4.mul(present, perToken));
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
	someFetch = v128.any_true(able);
}

/** Costs of rows row … row + 3 with the whole prompt there; NEVER where they may not be chosen. */
@inline
function costFour(row: i32, base: F32Column, pace: F32Column, work: v128, own: v128, stall: v128, crowd: v128): v128 {
	const before = base.four(row);
	const prefill = f32x4.mul(work, pace.four(row));
	const behind = f32x4.mul(crowd, f32x4.add(before, f32x4.mul(prefill, f32x4.splat(0.5))));
	const weight = f32x4.add(f32x4.add(own, f32x4.mul(stall, columns.active_decodes.four(row))), behind);
	const mask = laneMask(eligibleWord(row >> 5) >> (row & 31));
	return allowed(f32x4.add(before, f32x4.mul(prefill, weight)), mask);
}

/** Second pass: cost[row] = base + own prefill with what it costs others, with block minima. Sixteen rows a turn. */
function addPrompt(cost: F32Column, base: F32Column, pace: F32Column): void {
	const work = f32x4.splat(workOf(promptTokens()));
	const own = f32x4.splat(ownWeight);
	const stall = f32x4.splat(stallWeight);
	const crowd = f32x4.splat(crowdWeight);
	for (let block = 0; block < rowCapacity; block += BLOCK_ROWS) {
		const end = min(block + BLOCK_ROWS, rowCapacity);
		let smallest = f32x4.splat(NEVER);
		for (let row = block; row < end; row += 16) {
			const a = costFour(row, base, pace, work, own, stall, crowd);
			cost.putFour(row, a);
			const b = costFour(row + 4, base, pace, work, own, stall, crowd);
			cost.putFour(row + 4, b);
			const c = costFour(row + 8, base, pace, work, own, stall, crowd);
			cost.putFour(row + 8, c);
			const d = costFour(row + 12, base, pace, work, own, stall, crowd);
			cost.putFour(row + 12, d);
			smallest = f32x4.pmin(smallest, f32x4.pmin(f32x4.pmin(a, b), f32x4.pmin(c, d)));
		}
		putBlockMinimum(block, smallest);
	}
	padBlockMinima();
}

/** Rows that hold a prefix, or the adapter: what they need not prefill or load is taken off. Costs only fall, so the minima stay exact. */
function creditHolders(cost: F32Column, base: F32Column, pace: F32Column, loraLoad: f32): void {
	const minima = blockMinima();
	const count = hitCount();
	for (let index = 0; index < count; index++) {
		const entry = hit(index);
		const row: i32 = entry.row;
		if (!isEligible(row)) continue;
		const before = base[row] - (hasLora(entry) ? loraLoad : <f32>0);
		const value = costWith(row, uncachedTokens(entry), before, pace[row]);
		if (!(value < cost[row])) continue;
		cost[row] = value;
		if (value < minima[row / BLOCK_ROWS]) minima[row / BLOCK_ROWS] = value;
	}
}

/** What is said of the first row: when its first token is expected, and where it is to fetch the prefix from. */
function tellFirst(base: F32Column, pace: F32Column): void {
	const row = rankedRow(0);
	const left = leftOn(row);
	const lora = loraWaitMs(row);
	const wait = fetchWaitMs(row, left, base[row] - (loraLoadMs() - lora), pace[row]);
	output().predicted_ttft_ms =
		queueMs(row, pace) + lora + wait + workWith(wait, left) * pace[row] + columns.rtt_ms[row];
	if (wait > 0) fetchFrom(holderRow);
}

/** Whether holding is on, and this request has not been held too long, nor too many others. */
@inline
function mayHold(): bool {
	const asked = request();
	const on = config.hold_above_ms > 0 && asked.waited_ms < config.hold_max_ms;
	return on && asked.held_count < config.hold_count_max;
}

/** Whether some row has less work before a new request than is held for. */
function hasRoom(pace: F32Column): bool {
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		if (queueMs(row, pace) <= config.hold_above_ms) return true;
	}
	return false;
}

/** Own prefill on the first row in seconds, by patience: shortest first, aged by the host. */
@inline
function holdKey(pace: F32Column): f32 {
	const row = rankedRow(0);
	return workOf(leftOn(row)) * pace[row] * <f32>0.001 * config.hold_patience;
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
	setWeights(
		<f32>1 + config.congestion_weight * congestion,
		config.stall_weight / max<f32>(decodeSum / <f32>eligible, <f32>1),
		config.crowd_weight / config.service_ms,
	);
	addPrompt(cost, base, pace);
	findHolder(someFetch && config.fetch);
	if (holderRow != NO_ROW) creditFetches(cost, base, pace);
	creditHolders(cost, base, pace, loraLoad);
	const count = selectLowest(cost, min(TOP_K, request().top_k));
	if (count == 0) return decline();
	explainRanked(count, pace);
	tellFirst(base, pace);
	if (mayHold() && !hasRoom(pace)) return hold(holdKey(pace));
	return route(count);
}
