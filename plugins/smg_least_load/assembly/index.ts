// smg_least_load: seconds until what is queued on a row is done, and a charge for its KV cache. The formula is in README.md.
import {
	begin,
	nextEligible,
	putFactor,
	rankedCount,
	rankedRow,
	rankLowest,
	rowCount,
	scratch,
	setFactorCount,
} from 'infermesh';
import { columns, config, FACTOR_COUNT, FACTOR_KV_S, FACTOR_QUEUE_S, TOP_K } from './manifest';
export { init } from 'infermesh';

/** Whether a row's engine has ever reported. */
@inline
function hasReported(row: i32): bool {
	return columns.telemetry_at_ms[row] != 0;
}

/** Output tokens a second of a row. */
@inline
function throughputOf(row: i32): f32 {
	const rate = columns.decode_rate[row];
	return rate > 0 ? rate : config.throughput_unknown;
}

/** Mean speed of the eligible rows that have reported. */
function meanThroughput(): f32 {
	let sum: f32 = 0;
	let count: f32 = 0;
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) {
		if (!hasReported(row)) continue;
		sum += throughputOf(row);
		count += 1;
	}
	return count > 0 ? sum / count : config.throughput_unknown;
}

@inline
function queueS(row: i32, mean: f32): f32 {
	if (!hasReported(row)) return (columns.inflight[row] * config.unreported_tokens) / mean;
	return columns.pending_prefill_tokens[row] / throughputOf(row);
}

@inline
function kvS(row: i32): f32 {
	if (!hasReported(row)) return 0;
	const used = min<f32>(max<f32>(columns.kv_usage[row], 0), config.kv_usage_max);
	return (config.kv_weight * used) / (<f32>1 - used);
}

export function rank(frame: usize): i32 {
	begin(frame);
	const mean = meanThroughput();
	const cost = scratch(0);
	for (let row = 0; row < rowCount(); row++) cost[row] = queueS(row, mean) + kvS(row);
	const status = rankLowest(cost, TOP_K);
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < rankedCount(); position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_QUEUE_S, queueS(row, mean));
		putFactor(position, FACTOR_KV_S, kvS(row));
	}
	return status;
}
