// {{name}}: sends each request to the target with the least predicted cost, in milliseconds. Change the formula in `costOf`, then
// run `infermesh strategy test .`. All the strategy may know is in the frame: columns, request, prefix hits, configuration.
import { begin, hit, hitCount, nextEligible, putFactor, rankedCount, rankedRow, rankLowest, request, scratch, setFactorCount } from 'infermesh';
import {
	columns,
	config,
	FACTOR_COUNT,
	FACTOR_ERROR_MS,
	FACTOR_KV_MS,
	FACTOR_NETWORK_MS,
	FACTOR_QUEUE_MS,
	FACTOR_WORK_MS,
} from './manifest';

export { init } from 'infermesh';

/** Called for every request: the eligible targets by cost, lowest first. */
export function rank(frame: usize): i32 {
	begin(frame);
	const tokens = <f32>request().tokens_in;
	const cost = scratch(0);
	for (let row = nextEligible(0); row >= 0; row = nextEligible(row + 1)) cost[row] = costOf(row, tokens);
	// Few targets hold a part of the prompt: only those are computed again, with less to prefill.
	for (let index = 0; index < hitCount(); index++) {
		const row: i32 = hit(index).row;
		cost[row] = costOf(row, max<f32>(tokens - <f32>hit(index).tokens, 0));
	}
	// Equal costs are drawn by the seed of the request, so that a tie never favours the first row.
	const status = rankLowest(cost);
	explain(tokens);
	return status;
}

/** Predicted cost of a request with `tokens` prompt tokens left to prefill. Must be finite. */
function costOf(row: i32, tokens: f32): f32 {
	return workMs(row, tokens) + config.queue_weight * queueMs(row) + kvMs(row) + config.network_weight * columns.rtt_ms[row] + errorMs(row);
}

/** Prefilling this prompt, after those already sent there whose first token has not come. */
function workMs(row: i32, tokens: f32): f32 {
	return (1000 * (tokens + columns.pending_prefill_tokens[row])) / max<f32>(columns.prefill_rate[row], 1);
}

/** Each request in the batch makes every step of this one longer. */
function queueMs(row: i32): f32 {
	return columns.load[row] * columns.tpot_ms[row];
}

/** Nothing below the limit, then rising to the whole penalty: a full cache preempts running requests. */
function kvMs(row: i32): f32 {
	const over = columns.kv_usage[row] - config.kv_limit;
	return over > 0 ? (config.kv_penalty_ms * over) / (1 - config.kv_limit) : 0;
}

function errorMs(row: i32): f32 {
	return config.error_penalty_ms * columns.error_ratio[row];
}

/** Writes the parts of the cost of each ranked row, for `infermesh explain`. */
function explain(tokens: f32): void {
	const count = rankedCount();
	for (let position: u32 = 0; position < count; position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_WORK_MS, workMs(row, max<f32>(tokens - cachedOn(row), 0)));
		putFactor(position, FACTOR_QUEUE_MS, config.queue_weight * queueMs(row));
		putFactor(position, FACTOR_KV_MS, kvMs(row));
		putFactor(position, FACTOR_NETWORK_MS, config.network_weight * columns.rtt_ms[row]);
		putFactor(position, FACTOR_ERROR_MS, errorMs(row));
	}
	setFactorCount(FACTOR_COUNT);
}

/** Prompt tokens the target has in its cache. */
function cachedOn(row: i32): f32 {
	for (let index = 0; index < hitCount(); index++) if (<i32>hit(index).row == row) return <f32>hit(index).tokens;
	return 0;
}
