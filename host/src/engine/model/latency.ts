// Owns the contract between the step scheduler and whatever predicts how long a step takes.
// A latency model is a pure function of the shape of one step: it sees no request, no clock and no history.

/**
 * The shape of one engine step. One object is reused for every step of a model, so a latency model must not keep it.
 * The fields cover the roofline form (tokens, attention pairs, context), the DistServe polynomial (tokens and their
 * squares, which are `2 * prefillAttentionPairs` for whole prompts; context; sequences) and tables over KV use.
 */
export interface StepShape {
	/** Sequences that compute a part of their prompt in this step. */
	prefillSequences: number;
	/** Prompt tokens computed in this step, over all sequences. */
	prefillTokens: number;
	/** Sum over prefilling sequences of c * (s + c / 2): c tokens in this chunk, s tokens of context before it. */
	prefillAttentionPairs: number;
	/** Sequences that decode one token in this step. */
	decodeSequences: number;
	/** Sum over decoding sequences of their context length in tokens. */
	decodeContextTokens: number;
	/** Tokens whose KV is copied from the host tier to the device before this step. */
	hostReloadTokens: number;
	/** Tokens of device KV held by running sequences, in whole blocks. */
	kvUsedTokens: number;
	/** Device KV capacity in tokens. */
	kvTotalTokens: number;
}

export interface LatencyModel {
	/** Duration of a step of this shape in microseconds, before rounding; must be finite and not negative. */
	stepUs(shape: Readonly<StepShape>): number;
}

export function emptyStepShape(kvTotalTokens: number): StepShape {
	return {
		prefillSequences: 0,
		prefillTokens: 0,
		prefillAttentionPairs: 0,
		decodeSequences: 0,
		decodeContextTokens: 0,
		hostReloadTokens: 0,
		kvUsedTokens: 0,
		kvTotalTokens,
	};
}

export function clearStepShape(shape: StepShape): void {
	shape.prefillSequences = 0;
	shape.prefillTokens = 0;
	shape.prefillAttentionPairs = 0;
	shape.decodeSequences = 0;
	shape.decodeContextTokens = 0;
	shape.hostReloadTokens = 0;
	shape.kvUsedTokens = 0;
}
