// Owns the one shape of an interval, and what it says about a margin.

/** Closed: lower ≤ value ≤ upper. */
export interface Interval {
	readonly lower: number;
	readonly upper: number;
}

/** What an interval of a difference (candidate − baseline, larger is better) says about a margin. */
export type MarginVerdict = 'win' | 'loss' | 'equivalent' | 'undecided';

/**
 * `win`: all of it above +margin. `loss`: all of it below 0. `equivalent`: all of it inside ±margin. The three are tried in this order; with a margin of 0,
 * nothing is equivalent but the point 0 itself. A loss needs no margin: what harms is stopped as soon as it is known to harm.
 */
export function judgeMargin(interval: Interval, margin: number): MarginVerdict {
	if (!(margin >= 0)) throw new RangeError(`a margin is a number from 0, not ${margin}`);
	if (interval.lower > margin) return 'win';
	if (interval.upper < 0) return 'loss';
	if (interval.lower >= -margin && interval.upper <= margin) return 'equivalent';
	return 'undecided';
}
