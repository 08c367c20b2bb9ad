// Owns the seeded generator used wherever a result must be repeatable: sfc32, seeded through splitmix32.
import type { Random } from './effects.js';

/** sfc32 (Chris Doty-Humphrey's Small Fast Counter, 128 bits of state): passes PractRand, 32-bit integer operations only. */
export class SeededRandom implements Random {
	#a: number;
	#b: number;
	#c: number;
	#counter: number;

	/** `seed` and `stream` are unsigned 32-bit; distinct streams of one seed are independent for practical purposes. */
	constructor(seed: number, stream = 0) {
		let state = (seed ^ Math.imul(stream + 1, 0x9e3779b9)) >>> 0;
		const splitmix = (): number => {
			state = (state + 0x9e3779b9) | 0;
			let z = state ^ (state >>> 16);
			z = Math.imul(z, 0x21f0aaad);
			z ^= z >>> 15;
			z = Math.imul(z, 0x735a2d97);
			return z ^ (z >>> 15);
		};
		this.#a = splitmix();
		this.#b = splitmix();
		this.#c = splitmix();
		this.#counter = 1;
		for (let i = 0; i < 12; i++) this.nextU32();
	}

	nextU32(): number {
		const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
		this.#counter = (this.#counter + 1) | 0;
		this.#a = this.#b ^ (this.#b >>> 9);
		this.#b = (this.#c + (this.#c << 3)) | 0;
		this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
		this.#c |= 0;
		return t >>> 0;
	}

	nextFloat(): number {
		return this.nextU32() / 0x1_0000_0000;
	}
}
