// Owns the writing of one request into a frame: the request block, the prefix hits, and a cleared output block. Stores only; no
// allocation, no branches on the request's content.
import {
	NO_ROW,
	OUTPUT_COUNT_WORD,
	OUTPUT_FACTOR_COUNT_WORD,
	OUTPUT_FETCH_FROM_ROW_WORD,
	OUTPUT_HEDGE_COPIES_WORD,
	OUTPUT_HEDGE_DELAY_MS_WORD,
	OUTPUT_HOLD_KEY_WORD,
	OUTPUT_LOG_BYTES_WORD,
	OUTPUT_PREDICTED_TTFT_MS_WORD,
	OUTPUT_PREFILL_ROW_WORD,
	OUTPUT_REASON_WORD,
	OUTPUT_RETRY_AFTER_MS_WORD,
	OUTPUT_TEMPERATURE_WORD,
	OUTPUT_VERDICT_WORD,
	PREFIX_HIT_BYTES,
	REQUEST_ATTEMPT_WORD,
	REQUEST_DEADLINE_MS_WORD,
	REQUEST_ELIGIBLE_COUNT_WORD,
	REQUEST_FLAGS_WORD,
	REQUEST_HELD_COUNT_WORD,
	REQUEST_HIT_COUNT_WORD,
	REQUEST_LORA_WORD,
	REQUEST_MODEL_WORD,
	REQUEST_NOW_MS_WORD,
	REQUEST_NOW_US_WORD,
	REQUEST_PHASE_WORD,
	REQUEST_POLICY_MASK_WORD,
	REQUEST_PREFILL_ROW_WORD,
	REQUEST_PRIORITY_WORD,
	REQUEST_PROMPT_HASH_WORD,
	REQUEST_REGION_WORD,
	REQUEST_SEED_WORD,
	REQUEST_SESSION_WORD,
	REQUEST_SLO_TPOT_MS_WORD,
	REQUEST_SLO_TTFT_MS_WORD,
	REQUEST_TENANT_WORD,
	REQUEST_TICKET_WORD,
	REQUEST_TOKENS_IN_WORD,
	REQUEST_TOKENS_OUT_MAX_WORD,
	REQUEST_TOKENS_OUT_WORD,
	REQUEST_TOP_K_WORD,
	REQUEST_WAITED_MS_WORD,
	REQUEST_ZONE_WORD,
} from '@infermesh/sdk';
import type { PrefixHits, RequestFeatures } from './decision.js';
import type { StrategyInstance } from './instance.js';

const TWO_32 = 0x1_0000_0000;

/** What the worker, rather than the request, knows. */
export interface DecisionPlace {
	readonly zone: number;
	readonly region: number;
	readonly topK: number;
}

/** Writes a decision's inputs into the frame, with the rows the request may not go to masked out; returns how many were, for `unmask`. */
export function writeFrame(
	instance: StrategyInstance,
	features: RequestFeatures,
	hits: PrefixHits,
	excluded: readonly number[],
	place: DecisionPlace,
	ticket: number,
): number {
	let masked = 0;
	for (const row of excluded) {
		if (!instance.view.isEligible(row)) continue;
		instance.mask(row, false);
		masked++;
	}
	const hitCount = writeHits(instance, hits);
	writeRequest(instance, features, place, ticket, instance.view.eligibleCount - masked, hitCount);
	return masked;
}

/** Opens again, after the call, what `writeFrame` has masked. */
export function unmask(instance: StrategyInstance, excluded: readonly number[]): void {
	for (const row of excluded) if (instance.view.isEligible(row)) instance.mask(row, true);
}

/** Writes `features` into the instance's request block and clears its output block. */
export function writeRequest(
	instance: StrategyInstance,
	features: RequestFeatures,
	place: DecisionPlace,
	ticket: number,
	eligibleCount: number,
	hitCount: number,
): void {
	const { u32, f32 } = instance;
	writeRequestBlock(u32, f32, instance.requestWord, features, place, ticket, eligibleCount, hitCount);
	clearOutput(instance);
}

/** Writes `features` as a request block at word `at` of `u32` and `f32`, two views of the same memory. */
export function writeRequestBlock(
	u32: Uint32Array,
	f32: Float32Array,
	at: number,
	features: RequestFeatures,
	place: DecisionPlace,
	ticket: number,
	eligibleCount: number,
	hitCount: number,
): void {
	u32[at + REQUEST_NOW_US_WORD] = features.nowUs % TWO_32;
	u32[at + REQUEST_NOW_US_WORD + 1] = features.nowUs / TWO_32;
	u32[at + REQUEST_SEED_WORD] = features.seedLow;
	u32[at + REQUEST_SEED_WORD + 1] = features.seedHigh;
	u32[at + REQUEST_SESSION_WORD] = features.sessionLow;
	u32[at + REQUEST_SESSION_WORD + 1] = features.sessionHigh;
	u32[at + REQUEST_PROMPT_HASH_WORD] = features.promptHashLow;
	u32[at + REQUEST_PROMPT_HASH_WORD + 1] = features.promptHashHigh;
	u32[at + REQUEST_NOW_MS_WORD] = features.nowMs;
	u32[at + REQUEST_TICKET_WORD] = ticket;
	u32[at + REQUEST_MODEL_WORD] = features.model;
	u32[at + REQUEST_LORA_WORD] = features.lora;
	u32[at + REQUEST_TOKENS_IN_WORD] = features.tokensIn;
	u32[at + REQUEST_TOKENS_OUT_WORD] = features.tokensOut;
	u32[at + REQUEST_TOKENS_OUT_MAX_WORD] = features.tokensOutMax;
	u32[at + REQUEST_PRIORITY_WORD] = features.priority;
	u32[at + REQUEST_TENANT_WORD] = features.tenant;
	u32[at + REQUEST_POLICY_MASK_WORD] = features.policyMask;
	f32[at + REQUEST_SLO_TTFT_MS_WORD] = features.sloTtftMs;
	f32[at + REQUEST_SLO_TPOT_MS_WORD] = features.sloTpotMs;
	f32[at + REQUEST_DEADLINE_MS_WORD] = features.deadlineMs;
	f32[at + REQUEST_WAITED_MS_WORD] = features.waitedMs;
	u32[at + REQUEST_ZONE_WORD] = place.zone;
	u32[at + REQUEST_REGION_WORD] = place.region;
	u32[at + REQUEST_ATTEMPT_WORD] = features.attempt;
	u32[at + REQUEST_FLAGS_WORD] = features.flags;
	u32[at + REQUEST_PHASE_WORD] = features.phase;
	u32[at + REQUEST_HIT_COUNT_WORD] = hitCount;
	u32[at + REQUEST_ELIGIBLE_COUNT_WORD] = eligibleCount;
	u32[at + REQUEST_TOP_K_WORD] = place.topK;
	u32[at + REQUEST_PREFILL_ROW_WORD] = features.prefillRow < 0 ? NO_ROW : features.prefillRow;
	u32[at + REQUEST_HELD_COUNT_WORD] = features.heldCount;
}

/** Copies the prefix hits; returns how many fitted. */
export function writeHits(instance: StrategyInstance, hits: PrefixHits): number {
	const count = Math.min(hits.count, instance.layout.hitsCapacity);
	const { u32 } = instance;
	let at = instance.layout.hitsOffset / 4;
	for (let i = 0; i < count; i++) {
		u32[at] = hits.rows[i] as number;
		u32[at + 1] = hits.tokens[i] as number;
		u32[at + 2] = hits.tiers[i] as number;
		u32[at + 3] = hits.flags[i] as number;
		at += PREFIX_HIT_BYTES / 4;
	}
	return count;
}

/** Puts the output block as a strategy finds it. */
export function clearOutput(instance: StrategyInstance): void {
	const { u32, f32 } = instance;
	const at = instance.outputWord;
	u32[at + OUTPUT_VERDICT_WORD] = 0;
	u32[at + OUTPUT_COUNT_WORD] = 0;
	u32[at + OUTPUT_REASON_WORD] = 0;
	f32[at + OUTPUT_RETRY_AFTER_MS_WORD] = 0;
	f32[at + OUTPUT_HOLD_KEY_WORD] = 0;
	u32[at + OUTPUT_PREFILL_ROW_WORD] = NO_ROW;
	u32[at + OUTPUT_FETCH_FROM_ROW_WORD] = NO_ROW;
	f32[at + OUTPUT_HEDGE_DELAY_MS_WORD] = 0;
	u32[at + OUTPUT_HEDGE_COPIES_WORD] = 0;
	f32[at + OUTPUT_TEMPERATURE_WORD] = 0;
	u32[at + OUTPUT_FACTOR_COUNT_WORD] = 0;
	u32[at + OUTPUT_LOG_BYTES_WORD] = 0;
	f32[at + OUTPUT_PREDICTED_TTFT_MS_WORD] = 0;
}
