// What one row costs, in scalars: the same terms as the passes in index.ts, for the few rows that are ranked or hold a prefix.
import { F32Column, findHit, hasLora, hit, loraRows, PrefixHit, request, tierShare } from 'infermesh';
import { columns, config } from './manifest';

/** Unit of `pending_prefill_pairs`. */
const PAIRS_UNIT: f32 = 1048576;

/** What own prefill costs beyond its time, set once a decision: see README.md. */
export let ownWeight: f32 = 0;
export let stallWeight: f32 = 0;
export let crowdWeight: f32 = 0;

export function setWeights(own: f32, stall: f32, crowd: f32): void {
	ownWeight = own;
	stallWeight = stall;
	crowdWeight = crowd;
}

/** Prompt tokens of the request, at least one. */
@inline
export function promptTokens(): f32 {
	return <f32>max<u32>(request().tokens_in, 1);
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

/** Milliseconds of work before this request on a row. */
export function queueMs(row: i32, pace: F32Column): f32 {
	const work = (columns.pending_prefill_tokens[row] + columns.pending_prefill_pairs[row] * pairTokens()) * pace[row];
	const elapsed = <f32>max<i32>(<i32>columns.prefill_at_ms.ageMs(row), 0);
	const needed = <f32>request().tokens_in + <f32>request().tokens_out;
	const free = columns.kv_free_blocks[row] * columns.kv_block_tokens[row];
	const shortage = max<f32>(needed - free, <f32>0) * columns.kv_usage[row] * config.shortage_weight;
	return max<f32>(work - elapsed, work * config.queue_floor) + (columns.load[row] * loadTokens() + shortage) * pace[row];
}

/** Own prefill of `own` ms with what it costs others: decodes that stand still, and requests that come behind it. `before` = all other costs. */
@inline
export function prefillCost(own: f32, before: f32, decodes: f32): f32 {
	return own * (ownWeight + stallWeight * decodes + crowdWeight * (before + own * <f32>0.5));
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
