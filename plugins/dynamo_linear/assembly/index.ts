// dynamo_linear: blocks of work a row would have with this request, prefill and decode added. The formula is in README.md.
import {
	begin,
	CacheTier,
	findHit,
	highestOf,
	hit,
	hitCount,
	lowestOf,
	output,
	PrefixHit,
	putFactor,
	rankedCount,
	rankedRow,
	rankLowest,
	request,
	rowCount,
	scratch,
	setFactorCount,
} from 'infermesh';
import {
	columns,
	config,
	FACTOR_COUNT,
	FACTOR_DECODE_BLOCKS,
	FACTOR_PREFILL_BLOCKS,
	FACTOR_REQUEST_BLOCKS,
	TOP_K,
} from './manifest';
export { init } from 'infermesh';

/** Blocks of this prompt, at least one. */
@inline
function promptBlocks(): f32 {
	return ceil<f32>(<f32>max<u32>(request().tokens_in, 1) / config.block_tokens);
}

/** Worth of a block by where it is cached. */
@inline
function creditOf(tier: u32): f32 {
	if (tier == CacheTier.host) return config.host_credit;
	if (tier == CacheTier.disk) return config.disk_credit;
	return tier == CacheTier.remote ? config.shared_credit : config.device_credit;
}

/** Blocks a cached prefix is worth on its row; `least` = prompt tokens pending on the row that has the fewest. */
function credit(entry: PrefixHit, least: f32): f32 {
	const worth = (<f32>entry.tokens / config.block_tokens) * creditOf(entry.tier);
	if (entry.tier != CacheTier.device) return worth;
	const excess = (columns.pending_prefill_tokens[entry.row] - least) / config.block_tokens;
	return worth / (<f32>1 + (config.credit_decay * excess) / promptBlocks());
}

/** Blocks to prefill on a row before this request has its first token. */
@inline
function prefillPart(row: i32, credited: f32): f32 {
	const blocks = columns.pending_prefill_tokens[row] / config.block_tokens + promptBlocks() - credited;
	return config.prefill_scale * max<f32>(blocks, 0);
}

/** Blocks in use on a row with this request there: contexts being decoded, and prompts on their way to that. */
@inline
function decodePart(row: i32): f32 {
	const active = columns.active_decode_tokens[row] + columns.pending_prefill_tokens[row];
	return active / config.block_tokens + promptBlocks();
}

@inline
function requestPart(row: i32): f32 {
	return config.request_weight * columns.inflight[row];
}

@inline
function costOf(row: i32, credited: f32): f32 {
	return prefillPart(row, credited) + decodePart(row) + requestPart(row);
}

export function rank(frame: usize): i32 {
	begin(frame);
	const least = lowestOf(columns.pending_prefill_tokens);
	const cost = scratch(0);
	for (let row = 0; row < rowCount(); row++) cost[row] = costOf(row, 0);
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		cost[row] = costOf(row, credit(hit(index), least));
	}
	if (config.temperature > 0) output().temperature = config.temperature * (highestOf(cost) - lowestOf(cost));
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		const index = findHit(row);
		putFactor(position, FACTOR_PREFILL_BLOCKS, prefillPart(row, index < 0 ? 0 : credit(hit(index), least)));
		putFactor(position, FACTOR_DECODE_BLOCKS, decodePart(row));
		putFactor(position, FACTOR_REQUEST_BLOCKS, requestPart(row));
	}
	return status;
}
