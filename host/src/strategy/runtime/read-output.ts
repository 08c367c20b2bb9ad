// Owns the check of a strategy's answer: everything it wrote is hostile until proven in range. Eligibility is judged against the host's
// own bitmap and the rows the request has tried, never against the copy in the strategy's memory.
import {
	NO_ROW,
	OUTPUT_COUNT_WORD,
	OUTPUT_FETCH_FROM_ROW_WORD,
	OUTPUT_HEDGE_COPIES_WORD,
	OUTPUT_HEDGE_DELAY_MS_WORD,
	OUTPUT_HOLD_KEY_WORD,
	OUTPUT_PREDICTED_TTFT_MS_WORD,
	OUTPUT_PREFILL_ROW_WORD,
	OUTPUT_REASON_WORD,
	OUTPUT_RETRY_AFTER_MS_WORD,
	OUTPUT_ROWS_WORD,
	OUTPUT_SCORES_WORD,
	OUTPUT_TEMPERATURE_WORD,
	OUTPUT_VERDICT_WORD,
	RANKED_ROWS_MAX,
	RejectReason,
	Verdict,
} from '@infermesh/sdk';
import type { Decision, FallbackCause } from './decision.js';
import type { StrategyInstance } from './instance.js';

const HEDGE_COPIES_MAX = 4;
const REJECT_REASON_MAX = Math.max(...Object.values(RejectReason));

/** Reads and checks the output block into `out`. `open`: the host's bitmap of rows that may be chosen, as it stood at the decision. Returns 'none' when every field is sound; otherwise the first fault found. */
export function readOutput(
	instance: StrategyInstance,
	excluded: readonly number[],
	out: Decision,
	open: Uint32Array = instance.view.eligible,
): FallbackCause {
	const { u32, f32 } = instance;
	const at = instance.outputWord;
	const verdict = u32[at + OUTPUT_VERDICT_WORD] as number;
	if (verdict > Verdict.hold) return 'invalid_verdict';
	const count = u32[at + OUTPUT_COUNT_WORD] as number;
	if (count > RANKED_ROWS_MAX || (verdict === Verdict.route && count === 0)) return 'invalid_count';
	for (let i = 0; i < count; i++) {
		const row = u32[at + OUTPUT_ROWS_WORD + i] as number;
		const fault = faultOfRow(instance, row, excluded, open);
		if (fault !== 'none') return fault;
		for (let earlier = 0; earlier < i; earlier++) if (out.rows[earlier] === row) return 'invalid_row';
		const score = f32[at + OUTPUT_SCORES_WORD + i] as number;
		if (!Number.isFinite(score)) return 'invalid_score';
		out.rows[i] = row;
		out.scores[i] = score;
	}
	const prefillRow = u32[at + OUTPUT_PREFILL_ROW_WORD] as number;
	if (prefillRow !== NO_ROW) {
		const fault = faultOfRow(instance, prefillRow, excluded, open);
		if (fault !== 'none') return fault;
	}
	const fetchFromRow = u32[at + OUTPUT_FETCH_FROM_ROW_WORD] as number;
	if (fetchFromRow !== NO_ROW && fetchFromRow >= instance.view.rowCount) return 'invalid_row';
	const hedgeCopies = u32[at + OUTPUT_HEDGE_COPIES_WORD] as number;
	if (hedgeCopies > HEDGE_COPIES_MAX) return 'invalid_count';
	const reason = u32[at + OUTPUT_REASON_WORD] as number;
	if (reason > REJECT_REASON_MAX) return 'invalid_verdict';
	const retryAfterMs = f32[at + OUTPUT_RETRY_AFTER_MS_WORD] as number;
	const holdKey = f32[at + OUTPUT_HOLD_KEY_WORD] as number;
	const hedgeDelayMs = f32[at + OUTPUT_HEDGE_DELAY_MS_WORD] as number;
	const predictedTtftMs = f32[at + OUTPUT_PREDICTED_TTFT_MS_WORD] as number;
	const temperature = f32[at + OUTPUT_TEMPERATURE_WORD] as number;
	// One test for all: a sum with a NaN or an infinity in it is not finite; only large finite values could overflow, and they are rubbish too.
	if (!Number.isFinite(retryAfterMs + holdKey + hedgeDelayMs + predictedTtftMs + temperature)) return 'invalid_score';
	if (retryAfterMs < 0 || hedgeDelayMs < 0 || temperature < 0 || predictedTtftMs < 0) return 'invalid_score';
	out.verdict = verdict === Verdict.route ? 'route' : verdict === Verdict.reject ? 'reject' : 'hold';
	out.count = count;
	out.rejectReason = reason;
	out.retryAfterMs = retryAfterMs;
	out.holdKey = holdKey;
	out.prefillRow = prefillRow === NO_ROW ? -1 : prefillRow;
	out.fetchFromRow = fetchFromRow === NO_ROW ? -1 : fetchFromRow;
	out.hedgeCopies = hedgeCopies;
	out.hedgeDelayMs = hedgeDelayMs;
	out.predictedTtftMs = predictedTtftMs;
	out.temperature = temperature;
	return 'none';
}

function faultOfRow(
	instance: StrategyInstance,
	row: number,
	excluded: readonly number[],
	open: Uint32Array,
): FallbackCause {
	if (row >= instance.view.rowCount) return 'invalid_row';
	const isOpen = ((open[row >>> 5] as number) & (1 << (row & 31))) !== 0;
	if (!isOpen || (excluded.length > 0 && excluded.includes(row))) return 'ineligible_row';
	return 'none';
}
