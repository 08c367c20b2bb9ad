// Owns what one engine model counts.

/** Totals since the start, as plain numbers. */
export interface EngineCounters {
	submitted: number;
	refused: number;
	finished: number;
	cancelled: number;
	preemptions: number;
	steps: number;
	/** Sum of step durations. */
	busyUs: number;
	/** Prompt tokens of sequences that got their first admission. */
	promptTokens: number;
	generatedTokens: number;
	/** Tokens looked up in the prefix cache at admissions, re-admissions too. */
	prefixQueryTokens: number;
	/** Of these, found on the device; and in the host tier. */
	prefixHitTokens: number;
	hostHitTokens: number;
	/** Prompt tokens not computed because their KV came from another engine. */
	transferredTokens: number;
	/** Tokens computed again after a preemption. */
	recomputedTokens: number;
}

export function noCounts(): EngineCounters {
	return {
		submitted: 0,
		refused: 0,
		finished: 0,
		cancelled: 0,
		preemptions: 0,
		steps: 0,
		busyUs: 0,
		promptTokens: 0,
		generatedTokens: 0,
		prefixQueryTokens: 0,
		prefixHitTokens: 0,
		hostHitTokens: 0,
		transferredTokens: 0,
		recomputedTokens: 0,
	};
}
