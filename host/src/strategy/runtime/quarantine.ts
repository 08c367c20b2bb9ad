// Owns the rule that turns strikes into quarantine: pure, in ms on a clock the caller gives. A strike is a trap, spent fuel or an
// invalid answer; wall-clock lateness is never one, so a busy machine cannot convict a strategy.

export interface QuarantineOptions {
	/** Strikes within `windowMs` that quarantine a strategy. */
	readonly strikesMax: number;
	readonly windowMs: number;
	/** First quarantine; each further one doubles. */
	readonly firstMs: number;
	readonly longestMs: number;
	/** Free of strikes this long after a quarantine, the doubling starts over. */
	readonly forgiveMs: number;
}

export const quarantineDefaults: QuarantineOptions = {
	strikesMax: 3,
	windowMs: 60_000,
	firstMs: 300_000,
	longestMs: 3_600_000,
	forgiveMs: 7_200_000,
};

export interface QuarantineState {
	/** Times of recent strikes, oldest first; at most `strikesMax` are kept. */
	readonly strikesMs: readonly number[];
	/** Quarantines so far (forgiven ones excluded). */
	readonly count: number;
	/** Quarantined until then; 0 = not. */
	readonly untilMs: number;
}

export const innocent: QuarantineState = { strikesMs: [], count: 0, untilMs: 0 };

export function isQuarantined(state: QuarantineState, nowMs: number): boolean {
	return nowMs < state.untilMs;
}

/** The state after one strike at `nowMs`. A strike during quarantine changes nothing. */
export function strike(state: QuarantineState, nowMs: number, options: QuarantineOptions): QuarantineState {
	if (isQuarantined(state, nowMs)) return state;
	const forgiven = state.untilMs > 0 && nowMs - state.untilMs > options.forgiveMs;
	const count = forgiven ? 0 : state.count;
	const recent = [...state.strikesMs.filter((at) => nowMs - at < options.windowMs), nowMs];
	if (recent.length < options.strikesMax) return { strikesMs: recent, count, untilMs: state.untilMs };
	const lengthMs = Math.min(options.longestMs, options.firstMs * 2 ** count);
	return { strikesMs: [], count: count + 1, untilMs: nowMs + lengthMs };
}
