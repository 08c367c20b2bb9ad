// Owns mean and variance of values at hand.

/** Arithmetic mean; NaN for none. */
export function mean(values: ArrayLike<number>): number {
	let sum = 0;
	for (let i = 0; i < values.length; i++) sum += values[i] as number;
	return sum / values.length;
}

/** Unbiased variance (divided by n − 1), in two passes; NaN for fewer than two values. */
export function variance(values: ArrayLike<number>): number {
	if (values.length < 2) return Number.NaN;
	const centre = mean(values);
	let squares = 0;
	for (let i = 0; i < values.length; i++) squares += ((values[i] as number) - centre) ** 2;
	return squares / (values.length - 1);
}
