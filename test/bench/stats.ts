// Owns the few statistics the benches use. Medians of rounds, because a shared machine has outliers on one side only.
import { quantile } from '@infermesh/host';

export { quantile };

export function median(values: ArrayLike<number>): number {
	return quantile(values, 0.5);
}

/** Half the distance between the quartiles, relative to the median: how noisy the rounds were. */
export function noise(values: ArrayLike<number>): number {
	return (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / median(values);
}

export function sum(values: ArrayLike<number>): number {
	let total = 0;
	for (const value of Array.from(values)) total += value;
	return total;
}

/** Median of the ratios of pairs taken in the same round. */
export function ratioOfPairs(a: ArrayLike<number>, b: ArrayLike<number>): number {
	return median(Array.from(a, (value, index) => value / (b[index] ?? Number.NaN)));
}
