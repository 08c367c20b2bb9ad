// Owns what the blocks of a sequence are called: every content has a number, and blocks that follow each other have numbers that count on, in runs. Equal
// prefixes have equal numbers. What an engine does for a prompt it does a run at a time.

export class BlockRuns {
	/** Of each run: the number of its first block less that block's place, and the place after its last block. */
	readonly #bases: number[] = [];
	readonly #ends: number[] = [];

	/** Blocks of all runs. */
	get length(): number {
		return this.#ends.at(-1) ?? 0;
	}

	/** Adds `count` blocks from a number on; they lengthen the last run where they count on from it. */
	add(first: number, count: number): this {
		if (count <= 0) return this;
		const start = this.length;
		const last = this.#ends.length - 1;
		if (last >= 0 && first === (this.#bases[last] as number) + start) this.#ends[last] = start + count;
		else {
			this.#bases.push(first - start);
			this.#ends.push(start + count);
		}
		return this;
	}

	/** The run of a block by its place. */
	runOf(place: number): number {
		const ends = this.#ends;
		let low = 0;
		let high = ends.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((ends[middle] as number) <= place) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	/** Place after the last block of a run. */
	endOf(run: number): number {
		return this.#ends[run] as number;
	}

	/** Place of the first block of a run. */
	startOf(run: number): number {
		return run === 0 ? 0 : (this.#ends[run - 1] as number);
	}

	/** Number of a block of a run by its place. */
	number(run: number, place: number): number {
		return (this.#bases[run] as number) + place;
	}
}
