// The factors of the ranked rows: parts of the score in milliseconds. All but saved_ms, which says what the cache took off, add up to it.
import { F32Column, putFactor, rankedRow, setFactorCount } from 'infermesh';
import { busyMs } from './busy';
import { fetchWaitMs, workWith } from './fetch';
import {
	FACTOR_BUSY_MS,
	FACTOR_COUNT,
	FACTOR_ERROR_MS,
	FACTOR_KV_MS,
	FACTOR_NETWORK_MS,
	FACTOR_PREFILL_MS,
	FACTOR_QUEUE_MS,
	FACTOR_SAVED_MS,
	FACTOR_STALE_MS,
} from './manifest';
import {
	errorMs,
	leftOn,
	loraWaitMs,
	networkMs,
	prefillCost,
	pressureMs,
	promptTokens,
	queuedMs,
	queueMs,
	staleMs,
	weighted,
	workOf,
} from './row';

function explainRow(position: u32, row: i32, pace: F32Column): void {
	const kv = pressureMs(row);
	const network = networkMs(row);
	const error = errorMs(row);
	const stale = staleMs(row);
	const begins = queueMs(row, pace[row]) + loraWaitMs(row);
	const before = begins + kv + network + error + stale;
	const queued = queuedMs(row, pace[row]);
	const left = leftOn(row);
	const wait = fetchWaitMs(row, left, before, queued, pace[row]);
	const own = workWith(wait, left) * pace[row];
	const prefill = weighted(own, before);
	const busy = busyMs(own, queued);
	putFactor(position, FACTOR_PREFILL_MS, prefill);
	const uncached = prefillCost(workOf(promptTokens()) * pace[row], before, queued);
	putFactor(position, FACTOR_SAVED_MS, uncached - (prefill + busy));
	putFactor(position, FACTOR_QUEUE_MS, begins + wait);
	putFactor(position, FACTOR_BUSY_MS, busy);
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
