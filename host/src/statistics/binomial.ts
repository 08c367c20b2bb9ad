// Owns exact bounds of a binomial probability.
import { incompleteBeta } from './beta.js';
import type { Interval } from './interval.js';

/**
 * Clopper and Pearson's interval (1934) for a probability, `successes` of `trials` seen: covers with at least `level`, two-sided. Bounds to about 1e-12.
 * Throws a RangeError for counts that cannot be.
 */
export function clopperPearson(successes: number, trials: number, level = 0.95): Interval {
	const tail = (1 - level) / 2;
	return { lower: binomialLower(successes, trials, tail), upper: binomialUpper(successes, trials, tail) };
}

/** The probability at which `successes` or fewer have probability `alpha`: with confidence 1 − alpha the true one is at most this. */
export function binomialUpper(successes: number, trials: number, alpha = 0.05): number {
	check(successes, trials, alpha);
	if (successes === trials) return 1;
	// P(X ≤ k | p) = 1 − I_p(k + 1, n − k) falls in p.
	return bisect((p) => 1 - incompleteBeta(p, successes + 1, trials - successes) > alpha);
}

/** The probability at which `successes` or more have probability `alpha`: with confidence 1 − alpha the true one is at least this. */
export function binomialLower(successes: number, trials: number, alpha = 0.05): number {
	check(successes, trials, alpha);
	if (successes === 0) return 0;
	// P(X ≥ k | p) = I_p(k, n − k + 1) rises in p.
	return bisect((p) => incompleteBeta(p, successes, trials - successes + 1) < alpha);
}

/** The number in [0, 1] up to which `below` holds. */
function bisect(below: (p: number) => boolean): number {
	let low = 0;
	let high = 1;
	for (let round = 0; round < 60; round++) {
		const middle = (low + high) / 2;
		if (below(middle)) low = middle;
		else high = middle;
	}
	return (low + high) / 2;
}

function check(successes: number, trials: number, alpha: number): void {
	if (!Number.isInteger(trials) || trials < 1 || !Number.isInteger(successes) || successes < 0 || successes > trials)
		throw new RangeError(`${successes} of ${trials} cannot be`);
	if (!(alpha > 0 && alpha < 1)) throw new RangeError(`alpha must be between 0 and 1, not ${alpha}`);
}
