// __name__: sends each request to the target with the least predicted cost, in milliseconds. Change the formula in `costOf`, then
// run `infermesh strategy test .`. All the strategy may know is in the frame: columns, request, prefix hits, configuration.
import {
	begin,
	F32Column,
	findHit,
	hit,
	hitCount,
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
	FACTOR_ERROR_MS,
	FACTOR_KV_MS,
	FACTOR_NETWORK_MS,
	FACTOR_QUEUE_MS,
	FACTOR_WORK_MS,
} from './manifest';

export { init } from 'infermesh';

// Columns and weights, bound at the start of each decision: looking them up again for every row would double its cost.
let load: F32Column = changetype<F32Column>(0);
let pendingTokens: F32Column = changetype<F32Column>(0);
let prefillRate: F32Column = changetype<F32Column>(0);
let tokenMs: F32Column = changetype<F32Column>(0);
let kvUsage: F32Column = changetype<F32Column>(0);
let rttMs: F32Column = changetype<F32Column>(0);
let errorRatio: F32Column = changetype<F32Column>(0);
let queueWeight: f32 = 0;
let kvLimit: f32 = 0;
let kvSlope: f32 = 0;
let networkWeight: f32 = 0;
let errorPenaltyMs: f32 = 0;

function bind(): void {
	load = columns.load;
	pendingTokens = columns.pending_prefill_tokens;
	prefillRate = columns.prefill_rate;
	tokenMs = columns.tpot_ms;
	kvUsage = columns.kv_usage;
	rttMs = columns.rtt_ms;
	errorRatio = columns.error_ratio;
	queueWeight = config.queue_weight;
	kvLimit = config.kv_limit;
	kvSlope = config.kv_penalty_ms / (1 - config.kv_limit);
	networkWeight = config.network_weight;
	errorPenaltyMs = config.error_penalty_ms;
}

/** Called for every request: the eligible targets by cost, lowest first. */
export function rank(frame: usize): i32 {
	begin(frame);
	bind();
	const tokens = <f32>request().tokens_in;
	const cost = scratch(0);
	// Every row, eligible or not: `rankLowest` leaves out what may not be chosen.
	const rows = rowCount();
	for (let row = 0; row < rows; row++) cost[row] = costOf(row, tokens);
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
@inline
function costOf(row: i32, tokens: f32): f32 {
	return workMs(row, tokens) + queueMs(row) + kvMs(row) + networkMs(row) + errorMs(row);
}

/** Prefilling this prompt, after those already sent there whose first token has not come. */
@inline
function workMs(row: i32, tokens: f32): f32 {
	return (1000 * (tokens + pendingTokens[row])) / max<f32>(prefillRate[row], 1);
}

/** Each request in the batch makes every step of this one longer. */
@inline
function queueMs(row: i32): f32 {
	return queueWeight * load[row] * tokenMs[row];
}

/** Nothing below the limit, then rising to the whole penalty: a full cache preempts running requests. */
@inline
function kvMs(row: i32): f32 {
	return kvSlope * max<f32>(kvUsage[row] - kvLimit, 0);
}

@inline
function networkMs(row: i32): f32 {
	return networkWeight * rttMs[row];
}

@inline
function errorMs(row: i32): f32 {
	return errorPenaltyMs * errorRatio[row];
}

/** Writes the parts of the cost of each ranked row, for `infermesh explain`. */
function explain(tokens: f32): void {
	const count = rankedCount();
	for (let position: u32 = 0; position < count; position++) {
		const row = rankedRow(position);
		putFactor(position, FACTOR_WORK_MS, workMs(row, max<f32>(tokens - cachedOn(row), 0)));
		putFactor(position, FACTOR_QUEUE_MS, queueMs(row));
		putFactor(position, FACTOR_KV_MS, kvMs(row));
		putFactor(position, FACTOR_NETWORK_MS, networkMs(row));
		putFactor(position, FACTOR_ERROR_MS, errorMs(row));
	}
	setFactorCount(FACTOR_COUNT);
}

/** Prompt tokens the target has in its cache. */
function cachedOn(row: i32): f32 {
	const found = findHit(row);
	return found < 0 ? 0 : <f32>hit(found).tokens;
}
