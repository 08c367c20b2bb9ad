// Owns bootstrap intervals: of independent units (pairs of blocks, replications), and of a series whose neighbours depend on each other.
import type { Random } from '@infermesh/proto';
import type { Interval } from './interval.js';
import { quantileOfSorted } from './quantile.js';

export interface BootstrapOptions {
	readonly random: Random;
	/** Default 2,000. */
	readonly resamples?: number;
	/** Share of resamples inside the interval, default 0.95. */
	readonly level?: number;
	/**
	 * Consecutive items drawn together, default 1: items are independent. Above 1 the circular block bootstrap (Politis and Romano, 1992), for series; items
	 * then stand in order of time.
	 */
	readonly blockLength?: number;
}

export const RESAMPLES_DEFAULT = 2000;

/**
 * Percentile interval of `statistic` over resamples of `items` with replacement. Approximate: with fewer than about 20 items it is too narrow, and it
 * holds at one look only. Resamples on which the statistic is NaN are left out. Throws a RangeError for no items or options out of range.
 */
export function bootstrapInterval<T>(
	items: readonly T[],
	statistic: (sample: readonly T[]) => number,
	options: BootstrapOptions,
): Interval {
	const { random, resamples = RESAMPLES_DEFAULT, level = 0.95, blockLength = 1 } = options;
	if (items.length === 0) throw new RangeError('there is nothing to resample');
	if (!Number.isInteger(resamples) || resamples < 1 || resamples > 1_000_000)
		throw new RangeError(`resamples must be a whole number from 1 to 1,000,000, not ${resamples}`);
	if (!(level > 0 && level < 1)) throw new RangeError(`level must be between 0 and 1, not ${level}`);
	if (!Number.isInteger(blockLength) || blockLength < 1 || blockLength > items.length)
		throw new RangeError(`a block has 1 to ${items.length} items, not ${blockLength}`);
	const sample: T[] = [...items];
	const values = new Float64Array(resamples);
	let kept = 0;
	for (let round = 0; round < resamples; round++) {
		resample(items, sample, blockLength, random);
		const value = statistic(sample);
		if (!Number.isNaN(value)) values[kept++] = value;
	}
	const sorted = values.subarray(0, kept).sort();
	const tail = (1 - level) / 2;
	return { lower: quantileOfSorted(sorted, tail), upper: quantileOfSorted(sorted, 1 - tail) };
}

function resample<T>(items: readonly T[], sample: T[], blockLength: number, random: Random): void {
	const n = items.length;
	for (let at = 0; at < n; at += blockLength) {
		const start = Math.floor(random.nextFloat() * n);
		const length = Math.min(blockLength, n - at);
		for (let i = 0; i < length; i++) sample[at + i] = items[(start + i) % n] as T;
	}
}
