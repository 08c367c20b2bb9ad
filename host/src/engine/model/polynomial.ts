// Owns the polynomial latency model: measured coefficients for prefills and decodes, in DistServe's form. A step that does both costs both.
import type { LatencyModel, StepShape } from './latency.js';

/** Microseconds: a + b·Σn + c·Σn² over prefills of n tokens; a + b·Σcontext + c·batch over decodes. */
export interface PolynomialCoefficients {
	readonly prefill: readonly [a: number, b: number, c: number];
	readonly decode: readonly [a: number, b: number, c: number];
}

/**
 * A step with prefills costs `a + b·tokens + c·squares`, one with decodes `a + b·context + c·batch` (DistServe, simdistserve); a mixed one their sum less the
 * smaller of the two constants, which stand for what a step costs whatever it does. Of a prompt computed in chunks the squares are twice the attention pairs, so that the chunks
 * come to what the whole prompt would.
 */
export class PolynomialLatency implements LatencyModel {
	readonly #coefficients: PolynomialCoefficients;

	constructor(coefficients: PolynomialCoefficients) {
		this.#coefficients = coefficients;
	}

	stepUs(shape: Readonly<StepShape>): number {
		const { prefill, decode } = this.#coefficients;
		const prefills = shape.prefillSequences > 0;
		const decodes = shape.decodeSequences > 0;
		let us = 0;
		if (prefills) us += prefill[0] + prefill[1] * shape.prefillTokens + prefill[2] * 2 * shape.prefillAttentionPairs;
		if (decodes) us += decode[0] + decode[1] * shape.decodeContextTokens + decode[2] * shape.decodeSequences;
		if (prefills && decodes) us -= Math.min(prefill[0], decode[0]);
		return Math.max(0, us);
	}
}
