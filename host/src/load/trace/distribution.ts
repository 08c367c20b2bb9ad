// Owns drawing from the distributions a synthetic workload is made of. Pure: a Random comes in, a number goes out.
// Source: Marsaglia and Tsang 2000 (gamma).
import type { Random } from '@infermesh/proto';
import { logGamma } from '../../statistics/beta.js';
import { standardNormal } from '../../statistics/normal.js';

/** A draw with mean 1. */
export type UnitDraw = (random: Random) => number;

/** In (0, 1]: safe under a logarithm. */
function positiveFloat(random: Random): number {
	return 1 - random.nextFloat();
}

function exponential(random: Random): number {
	return -Math.log(positiveFloat(random));
}

/** Gaps of a Poisson process. */
export function unitExponential(): UnitDraw {
	return exponential;
}

/** Gamma gaps with coefficient of variation `cv`: shape 1/cv², above 1 bursty, 1 is Poisson. */
export function unitGamma(cv: number): UnitDraw {
	const shape = 1 / (cv * cv);
	return (random) => gamma(random, shape) / shape;
}

/** Weibull gaps with coefficient of variation `cv`; the shape that gives it is found by bisection. */
export function unitWeibull(cv: number): UnitDraw {
	const shape = weibullShape(cv);
	const scale = Math.exp(-logGamma(1 + 1 / shape));
	return (random) => scale * exponential(random) ** (1 / shape);
}

/** Lognormal with mean 1 and coefficient of variation `cv`. */
export function unitLognormal(cv: number): UnitDraw {
	const variance = Math.log(1 + cv * cv);
	const sigma = Math.sqrt(variance);
	return (random) => Math.exp(sigma * standardNormal(random) - variance / 2);
}

/** A draw of 0..count-1 with weight (i + 1)^-skew; skew 0 is uniform. */
export function zipf(count: number, skew: number): (random: Random) => number {
	const cumulative = new Float64Array(count);
	let total = 0;
	for (let i = 0; i < count; i++) {
		total += (i + 1) ** -skew;
		cumulative[i] = total;
	}
	return (random) => {
		const point = random.nextFloat() * total;
		let low = 0;
		let high = count - 1;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if ((cumulative[middle] ?? total) > point) high = middle;
			else low = middle + 1;
		}
		return low;
	};
}

function gamma(random: Random, shape: number): number {
	// Below 1 the method needs the boost gamma(k) = gamma(k + 1) * U^(1/k).
	if (shape < 1) return gamma(random, shape + 1) * positiveFloat(random) ** (1 / shape);
	const d = shape - 1 / 3;
	const c = 1 / Math.sqrt(9 * d);
	for (;;) {
		const x = standardNormal(random);
		const v = (1 + c * x) ** 3;
		if (v > 0 && Math.log(positiveFloat(random)) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
	}
}

function weibullShape(cv: number): number {
	let low = 0.1;
	let high = 100;
	for (let step = 0; step < 60; step++) {
		const shape = Math.sqrt(low * high);
		const variance = Math.exp(logGamma(1 + 2 / shape) - 2 * logGamma(1 + 1 / shape)) - 1;
		if (variance > cv * cv) low = shape;
		else high = shape;
	}
	return low;
}
