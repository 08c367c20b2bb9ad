// Owns the running hash over everything that happens in a simulation: each happening is a few numbers, written as doubles, hashed a block at a time.
import { createHash } from 'node:crypto';

const NUMBERS = 4096;

/** What happened; the first number of each entry. */
export const Happening = {
	arrived: 1,
	decided: 2,
	firstToken: 3,
	served: 4,
	ended: 5,
	fault: 6,
	outcome: 7,
	totals: 8,
} as const;

export class Digest {
	readonly #hash = createHash('sha256');
	readonly #numbers = new Float64Array(NUMBERS);
	#used = 0;

	add(happening: number, atUs: number, a: number, b: number, c: number): void {
		if (this.#used + 5 > NUMBERS) this.#flush();
		const numbers = this.#numbers;
		let at = this.#used;
		numbers[at++] = happening;
		numbers[at++] = atUs;
		numbers[at++] = a;
		numbers[at++] = b;
		numbers[at++] = c;
		this.#used = at;
	}

	text(text: string): void {
		this.#flush();
		this.#hash.update(text);
	}

	/** Hexadecimal; nothing can be added after it. */
	end(): string {
		this.#flush();
		return this.#hash.digest('hex');
	}

	#flush(): void {
		this.#hash.update(new Uint8Array(this.#numbers.buffer, 0, this.#used * 8));
		this.#used = 0;
	}
}
