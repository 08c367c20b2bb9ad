// What one row costs, in scalars: the same terms as the passes in index.ts, for the few rows that are ranked or hold a prefix.
import { F32Column, findHit, hasLora, hit, loraRows, PrefixHit, request, tierShare } from 'infermesh';
import { columns, config } from './manifest';

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

/** Prompt tokens left to prefill where `entry` is cached; the last one is always computed. */
@inline
export function uncachedTokens(entry: PrefixHit): f32 {
	const cached = <f32>entry.tokens * tierShare(entry.tier, config.host_share, config.disk_share);
	return max<f32>(promptTokens() - cached, <f32>1);
}

/** Milliseconds of prefill this request needs on a row. */
export function ownPrefillMs(row: i32, pace: F32Column): f32 {
	const index = findHit(row);
	return (index < 0 ? promptTokens() : uncachedTokens(hit(index))) * pace[row];
}

/** Milliseconds of work before this request on a row. */
export function queueMs(row: i32, pace: F32Column): f32 {
	const needed = <f32>request().tokens_in + <f32>request().tokens_out;
	const free = columns.kv_free_blocks[row] * columns.kv_block_tokens[row];
	const shortage = max<f32>(needed - free, <f32>0) * columns.kv_usage[row] * config.shortage_weight;
	return (columns.pending_prefill_tokens[row] + columns.load[row] * loadTokens() + shortage) * pace[row];
}

/** Milliseconds the request's adapter takes to load where it is not; 0 while no target is known to have it, as for requests without one. */
export function loraLoadMs(): f32 {
	return loraRows() > 0 ? config.lora_load_ms : 0;
}

/** Milliseconds before this request can begin on a row: the work there, and its adapter where that must be loaded. */
export function waitMs(row: i32, pace: F32Column): f32 {
	const index = findHit(row);
	const loaded = index >= 0 && hasLora(hit(index));
	return queueMs(row, pace) + (loaded ? <f32>0 : loraLoadMs());
}

@inline
export function predictedTtftMs(row: i32, pace: F32Column): f32 {
	return waitMs(row, pace) + ownPrefillMs(row, pace) + columns.rtt_ms[row];
}
