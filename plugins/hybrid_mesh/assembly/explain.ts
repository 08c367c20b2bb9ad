// The factors of the ranked rows: parts of the score in milliseconds. All but saved_ms, which says what the cache took off, add up to it.
import { F32Column, putFactor, rankedRow, request, setFactorCount } from 'infermesh';
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
import { ownPrefillMs, promptTokens, waitMs } from './row';

function staleMs(row: i32): f32 {
	const late = <i32>(request().now_ms - config.stale_after_ms - columns.telemetry_at_ms[row]);
	return <f32>min<i32>(max<i32>(late, 0), config.stale_max_ms) * config.stale_weight;
}

function explainRow(position: u32, row: i32, pace: F32Column, own: f32, stall: f32): void {
	const prefill = ownPrefillMs(row, pace);
	const usage = columns.kv_usage[row];
	const usage4 = usage * usage * (usage * usage);
	putFactor(position, FACTOR_PREFILL_MS, prefill * own);
	putFactor(position, FACTOR_SAVED_MS, (promptTokens() * pace[row] - prefill) * own);
	putFactor(position, FACTOR_QUEUE_MS, waitMs(row, pace));
	putFactor(position, FACTOR_STALL_MS, prefill * stall * columns.active_decodes[row]);
	putFactor(position, FACTOR_KV_MS, usage4 * usage4 * config.kv_pressure_ms);
	putFactor(position, FACTOR_NETWORK_MS, columns.rtt_ms[row] * config.rtt_weight);
	putFactor(position, FACTOR_ERROR_MS, columns.error_ratio[row] * config.error_ms);
	putFactor(position, FACTOR_STALE_MS, staleMs(row));
}

/** Writes the factors of the `count` rows just ranked. */
export function explainRanked(count: u32, pace: F32Column, own: f32, stall: f32): void {
	setFactorCount(FACTOR_COUNT);
	for (let position: u32 = 0; position < count; position++) explainRow(position, rankedRow(position), pace, own, stall);
}
