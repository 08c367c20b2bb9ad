// Owns the one predictor by which choices of different strategies are compared: milliseconds until a request would be finished at a row, from signals every
// strategy could have read. It judges no strategy by the strategy's own score, and it is a model: what it leaves out (batching, evictions) it leaves out for all.
import { COLUMN_MAX_SEQUENCES, COLUMN_PREFILL_RATE, COLUMN_RTT_MS, COLUMN_TPOT_MS, columns } from '@infermesh/sdk';
import type { PoolRows } from '../../fleet/pool-rows.js';

/** What the predictor knows of a row. */
export interface RowSignals {
	/** Prompt tokens sent there and not answered yet. */
	readonly pendingPrefillTokens: number;
	/** Tokens a second; 0 = unknown. */
	readonly prefillRate: number;
	/** Waiting and running requests. */
	readonly load: number;
	/** 0 = unknown. */
	readonly maxSequences: number;
	/** 0 = unknown. */
	readonly tpotMs: number;
	readonly rttMs: number;
}

export interface PredictedCost {
	/** Until the first token. */
	readonly ttftMs: number;
	/** Until the last. */
	readonly totalMs: number;
}

/** Where a target's rate is not known, the dictionary's own initial value. */
const PREFILL_RATE_DEFAULT = columns[COLUMN_PREFILL_RATE]?.initial ?? 8000;
/** Where no token was ever timed: a middling engine. */
const TPOT_DEFAULT_MS = 25;

/**
 * Prompts are served one after another (Mooncake's TTFT form: queue + own uncached prefill); beyond `max_sequences` a request waits for places to come
 * free, at one each `tokensOut · tpot / max_sequences`; then its tokens come one each `tpot`.
 */
export function predictCost(row: RowSignals, uncachedTokens: number, tokensOut: number): PredictedCost {
	const rate = row.prefillRate > 0 ? row.prefillRate : PREFILL_RATE_DEFAULT;
	const tpotMs = row.tpotMs > 0 ? row.tpotMs : TPOT_DEFAULT_MS;
	const decodeMs = tokensOut * tpotMs;
	const over = row.maxSequences > 0 ? Math.max(0, row.load + 1 - row.maxSequences) : 0;
	const placeMs = over === 0 ? 0 : (over * decodeMs) / row.maxSequences;
	const ttftMs = ((row.pendingPrefillTokens + uncachedTokens) * 1000) / rate + placeMs + row.rttMs;
	return { ttftMs, totalMs: ttftMs + decodeMs };
}

/** The signals of one row, as `rows` has them now. */
export function signalsOf(rows: PoolRows, row: number): RowSignals {
	return {
		pendingPrefillTokens: rows.pendingPrefillTokens[row] as number,
		prefillRate: rows.cellF32(COLUMN_PREFILL_RATE, row),
		load: rows.load[row] as number,
		maxSequences: rows.cellF32(COLUMN_MAX_SEQUENCES, row),
		tpotMs: rows.cellF32(COLUMN_TPOT_MS, row),
		rttMs: rows.cellF32(COLUMN_RTT_MS, row),
	};
}
