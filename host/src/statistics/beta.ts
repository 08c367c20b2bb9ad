// Owns the regularised incomplete beta function, from which binomial tails come.

/** Lanczos' approximation with g = 7 and 9 terms (Godfrey's coefficients): relative error below 1e-13 for z > 0. */
const LANCZOS = [
	0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
	12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
] as const;
const ROUNDS_MAX = 20_000;
const TINY = 1e-300;
const PRECISION = 1e-15;

/** ln Γ(z) for z ≥ 0.5. */
export function logGamma(z: number): number {
	const x = z - 1;
	let sum: number = LANCZOS[0];
	for (let i = 1; i < LANCZOS.length; i++) sum += (LANCZOS[i] as number) / (x + i);
	const t = x + 7.5;
	return 0.5 * Math.log(2 * Math.PI) + (x + 0.5) * Math.log(t) - t + Math.log(sum);
}

/**
 * I_x(a, b) for a, b ≥ 0.5 and x in [0, 1]: the probability that a Beta(a, b) variable is at most x. By the continued fraction of Lentz's method, on the side
 * where it converges fast (DLMF 8.17.22).
 */
export function incompleteBeta(x: number, a: number, b: number): number {
	if (x <= 0) return 0;
	if (x >= 1) return 1;
	const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
	if (x <= (a + 1) / (a + b + 2)) return (front * betaFraction(x, a, b)) / a;
	return 1 - (front * betaFraction(1 - x, b, a)) / b;
}

function betaFraction(x: number, a: number, b: number): number {
	let c = 1;
	let d = 1 / awayFromZero(1 - ((a + b) * x) / (a + 1));
	let value = d;
	for (let m = 1; m <= ROUNDS_MAX; m++) {
		const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
		d = 1 / awayFromZero(1 + even * d);
		c = awayFromZero(1 + even / c);
		value *= d * c;
		const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 / awayFromZero(1 + odd * d);
		c = awayFromZero(1 + odd / c);
		const change = d * c;
		value *= change;
		if (Math.abs(change - 1) < PRECISION) return value;
	}
	return value;
}

function awayFromZero(value: number): number {
	return Math.abs(value) < TINY ? TINY : value;
}
