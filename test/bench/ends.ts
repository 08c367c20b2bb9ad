// Owns what a bench has started and must end: what tests leave to AVA.
import type { Teardown } from '../support/mesh.js';

export class Ends implements Teardown {
	readonly #ends: (() => Promise<void> | void)[] = [];

	/** Run all at once, at the end. */
	teardown(end: () => Promise<void> | void): void {
		this.#ends.push(end);
	}

	async run(): Promise<void> {
		await Promise.all(this.#ends.splice(0).map(async (end) => end()));
	}
}
