// The factors of the ranked rows: parts of the score in milliseconds. All but saved_ms, which says what the cache took off, add up to it.
import { F32Column, putFactor, rankedRow, request, setFactorCount } from 'infermesh';
import { fetchWaitMs, workWith } from './fetch';
import {
	columns,
	config,
	FACTOR_COUNT,
	FACTOR_ERROR_MS,
	FACTOR_KV_MS,
	FACTOR_NETWORK_MS,
	FACTOR_PREFILL_MS,
	FACTOR_QUEUE_MS,
	FACTOR_SAVED_MS,
	FACTOR_STALE_MS,
	FACTOR_STALL_MS,
} from './manifest';
import { crowdWeight, leftOn, loraWaitMs, ownWeight, promptTokens, queueMs, stallWeight, workOf } from './row';

function staleMs(row: i32): f32 {
	const late = <i32>(request().now_ms - config.stale_after_ms - columns.telemetry_at_ms[row]);
	return <f32>min<i32>(max<i32>(late, 0), config.stale_max_ms) * config.stale_weight;
}

/** Own prefill of `own` ms, weighted, without the decodes it stalls. */
@inline
function weighted(own: f32, before: f32): f32 {
	return own * (ownWeight + crowdWeight * (before + own * <f32>0.5));
}

function explainRow(position: u32, row: i32, pace: F32Column): void {
	const usage = columns.kv_usage[row];
	const usage4 = usage * usage * (usage * usage);
	const kv = usage4 * usage4 * config.kv_pressure_ms;
	const network = columns.rtt_ms[row] * config.rtt_weight;
	const error = columns.error_ratio[row] * config.error_ms;
	const stale = staleMs(row);
	const begins = queueMs(row, pace) + loraWaitMs(row);
	const before = begins + kv + network + error + stale;
	const left = leftOn(row);
	const wait = fetchWaitMs(row, left, before, pace[row]);
	const own = workWith(wait, left) * pace[row];
	const prefill = weighted(own, before);
	putFactor(position, FACTOR_PREFILL_MS, prefill);
	putFactor(position, FACTOR_SAVED_MS, weighted(workOf(promptTokens()) * pace[row], before) - prefill);
	putFactor(position, FACTOR_QUEUE_MS, begins + wait);
	putFactor(position, FACTOR_STALL_MS, own * stallWeight * columns.active_decodes[row]);
	putFactor(position, FACTOR_KV_MS, kv);
	putFactor(position, FACTOR_NETWORK_MS, network);
	putFactor(position, FACTOR_ERROR_MS, error);
	putFactor(position, FACTOR_STALE_MS, stale);
}

/** Writes the factors of the `count` rows just ranked. */
export function explainRanked(count: u32, pace: F32Column): void {
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < count; position++) explainRow(position, rankedRow(position), pace);
}
