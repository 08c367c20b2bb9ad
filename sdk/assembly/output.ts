// Owns writing the answer. Each helper that ends a decision returns the hook's status: `return reject(RejectReason.saturated, 500)`.
import { FACTORS_MAX, OUTPUT_FACTORS, OUTPUT_ROWS, OUTPUT_SCORES, RANKED_ROWS_MAX, Status, Verdict } from './abi';
import { output, outputAt } from './frame';

/** Writes one ranked row; position 0 is the best. Scores are costs: lower is better, and must be finite. */
@inline
export function putRanked(position: u32, row: i32, score: f32): void {
	const at = outputAt + ((<usize>position) << 2);
	store<u32>(at, row, OUTPUT_ROWS);
	store<f32>(at, score, OUTPUT_SCORES);
}

@inline
export function rankedRow(position: u32): i32 {
	return load<i32>(outputAt + ((<usize>position) << 2), OUTPUT_ROWS);
}

@inline
export function rankedScore(position: u32): f32 {
	return load<f32>(outputAt + ((<usize>position) << 2), OUTPUT_SCORES);
}

@inline
export function rankedCount(): u32 {
	return output().count;
}

/** Ends the decision with the `count` rows written by putRanked; declines when there are none. */
export function route(count: u32): i32 {
	if (count == 0) return Status.decline;
	output().verdict = Verdict.route;
	output().count = min(count, RANKED_ROWS_MAX);
	return Status.ok;
}

/** Ends the decision with a refusal; a RejectReason, and when to come back (0 = the host decides). */
export function reject(reason: u32, retryAfterMs: f32): i32 {
	const answer = output();
	answer.verdict = Verdict.reject;
	answer.count = 0;
	answer.reason = reason;
	answer.retry_after_ms = retryAfterMs;
	return Status.ok;
}

/** Ends the decision by keeping the request at the router: lowest key is released first; the host adds ageing and a bound. */
export function hold(key: f32): i32 {
	const answer = output();
	answer.verdict = Verdict.hold;
	answer.count = 0;
	answer.hold_key = key;
	return Status.ok;
}

/** Ends the decision without an opinion: the host's fallback decides. */
@inline
export function decline(): i32 {
	return Status.decline;
}

/** Allows `copies` extra copies to the next ranked rows after `delayMs` without a first token; 0 ms = the host's adaptive delay. */
@inline
export function hedge(delayMs: f32, copies: u32): void {
	output().hedge_delay_ms = delayMs;
	output().hedge_copies = copies;
}

/** Has the prompt prefilled on `row` before the ranked row decodes, where all targets do both and engines of one kind can hand KV over. */
@inline
export function prefillOn(row: i32): void {
	output().prefill_row = row;
}

/** Names the row that holds the prompt's prefix: the chosen target fetches it from there, if it can. */
@inline
export function fetchFrom(row: i32): void {
	output().fetch_from_row = row;
}

/** Says how many explain factors each ranked row has (at most FACTORS_MAX); their names are in the manifest. */
@inline
export function setFactorCount(count: u32): void {
	output().factor_count = count;
}

@inline
export function putFactor(position: u32, factor: u32, value: f32): void {
	store<f32>(outputAt + ((<usize>(position * FACTORS_MAX + factor)) << 2), value, OUTPUT_FACTORS);
}
