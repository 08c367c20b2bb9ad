// Owns the empirical quantile of the whole host: nearest rank, so that every quantile is a value that was seen. Histograms, which keep no values, have their own.

/** Value at rank ceil(share · n) of values sorted ascending, `share` in [0, 1]; `none` (default NaN) when there is none. */
export function quantileOfSorted(sorted: ArrayLike<number>, share: number, none = Number.NaN): number {
	const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)));
	return sorted[rank - 1] ?? none;
}

/** The same of values in any order, which are left as they are. */
export function quantile(values: ArrayLike<number>, share: number, none = Number.NaN): number {
	return quantileOfSorted(Float64Array.from(values).sort(), share, none);
}
