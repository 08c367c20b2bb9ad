// What one row costs, in scalars: the same terms as the passes in queue.ts and cost.ts, for the few rows that are ranked or hold a prefix.
import { findHit, hasLora, hit, loraRows, PrefixHit, request, tierShare } from 'infermesh';
import { busyMs } from './busy';
import { columns, config } from './manifest';

/** Smallest share of normal traffic a row is taken to deserve; keeps costs finite. */
export const SHARE_MIN: f32 = 0.02;
/** Smallest prefill rate, tokens/s. */
export const RATE_MIN: f32 = 1;
/** Unit of `pending_prefill_pairs`. */
const PAIRS_UNIT: f32 = 1048576;
/** Share of own prefill that counts as before it, for the requests that come meanwhile. */
export const CROWD_OWN: f32 = 0.125;

/** Prompt tokens of the request, at least one. */
@inline
export function promptTokens(): f32 {
	return <f32>max<u32>(request().tokens_in, 1);
}

/** Tokens of KV cache the request needs. */
@inline
export function neededTokens(): f32 {
	return <f32>request().tokens_in + <f32>request().tokens_out;
}

/** Prompt tokens that one request already on a row is worth. */
@inline
export function loadTokens(): f32 {
	return config.request_tokens + config.output_share * <f32>request().tokens_out;
}

/** Tokens without context that a token pair is worth, by the unit of `pending_prefill_pairs`. */
@inline
export function pairTokens(): f32 {
	return config.attention_per_token * PAIRS_UNIT;
}

/** Work of prefilling the last `left` tokens of the prompt, in tokens without context. */
@inline
export function workOf(left: f32): f32 {
	return left * (<f32>1 + config.attention_per_token * (promptTokens() - left * <f32>0.5));
}

/** Prompt tokens left to prefill where `entry` is cached; the last one is always computed. */
@inline
export function uncachedTokens(entry: PrefixHit): f32 {
	const cached = <f32>entry.tokens * tierShare(entry.tier, config.host_share, config.disk_share);
	return max<f32>(promptTokens() - cached, <f32>1);
}

/** Prompt tokens left to prefill on a row. */
export function leftOn(row: i32): f32 {
	const index = findHit(row);
	return index < 0 ? promptTokens() : uncachedTokens(hit(index));
}

/** Milliseconds of prefill pending on a row, less what has been done of it. */
export function queuedMs(row: i32, pace: f32): f32 {
	const work = (columns.pending_prefill_tokens[row] + columns.pending_prefill_pairs[row] * pairTokens()) * pace;
	const elapsed = <f32>max<i32>(<i32>columns.prefill_at_ms.ageMs(row), 0);
	return max<f32>(work - elapsed, work * config.queue_floor);
}

/** Milliseconds until so many KV tokens as the request needs have been freed on a row. */
export function shortageMs(row: i32, pace: f32): f32 {
	const free = columns.kv_free_blocks[row] * columns.kv_block_tokens[row];
	return max<f32>(neededTokens() - free, <f32>0) * columns.kv_usage[row] * config.shortage_weight * pace;
}

/** Milliseconds a row costs beside its queue, errors and the prompt: memory pressure, network, age, and KV to be freed. */
export function extraMs(row: i32, pace: f32): f32 {
	return pressureMs(row) + networkMs(row) + staleMs(row) + shortageMs(row, pace);
}

export function pressureMs(row: i32): f32 {
	const usage2 = columns.kv_usage[row] * columns.kv_usage[row];
	const usage4 = usage2 * usage2;
	return usage4 * usage4 * config.kv_pressure_ms;
}

@inline
export function networkMs(row: i32): f32 {
	return columns.rtt_ms[row] * config.rtt_weight;
}

@inline
export function errorMs(row: i32): f32 {
	return columns.error_ratio[row] * config.error_ms;
}

export function staleMs(row: i32): f32 {
	const late = <i32>(request().now_ms - config.stale_after_ms - columns.telemetry_at_ms[row]);
	return <f32>min<i32>(max<i32>(late, 0), config.stale_max_ms) * config.stale_weight;
}

/** Milliseconds of prefill of a prompt token on a row; for rows that have not been looked at, whose pace stands nowhere. */
export function paceOf(row: i32): f32 {
	const trust = columns.health[row] * columns.slow_start[row] * columns.weight[row];
	const rate = columns.prefill_rate[row];
	// As pmax of lanes: what is no number stays.
	return <f32>1000 / ((rate < RATE_MIN ? RATE_MIN : rate) * (trust < SHARE_MIN ? SHARE_MIN : trust));
}

/** Milliseconds of work before this request on a row. */
export function queueMs(row: i32, pace: f32): f32 {
	return queuedMs(row, pace) + columns.load[row] * loadTokens() * pace + shortageMs(row, pace);
}

/** Own prefill of `own` ms with what requests that come behind it wait for it; `before` = all other costs. */
@inline
export function weighted(own: f32, before: f32): f32 {
	const weight = config.crowd_weight;
	const half = config.crowd_ms;
	return own * (<f32>1 + config.own_weight + (weight - (weight * half) / (half + (before + own * CROWD_OWN))));
}

/** Own prefill of `own` ms with what it costs others, here and in the pool. `queued` = prefill pending before it. */
@inline
export function prefillCost(own: f32, before: f32, queued: f32): f32 {
	return weighted(own, before) + busyMs(own, queued);
}

/** Milliseconds the request's adapter takes to load where it is not; 0 while no target is known to have it, as for requests without one. */
export function loraLoadMs(): f32 {
	return loraRows() > 0 ? config.lora_load_ms : 0;
}

/** Milliseconds until the request's adapter is loaded on a row. */
export function loraWaitMs(row: i32): f32 {
	const index = findHit(row);
	return index >= 0 && hasLora(hit(index)) ? 0 : loraLoadMs();
}
