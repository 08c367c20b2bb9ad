// Owns the numbers of contents that are known by hashes: they count in the order in which contents are first met, so that the blocks of new text are one
// run. Bounded: of hashes that have not come for long the numbers are forgotten, the oldest half at once. Who met one then gets a new number, under which
// nothing is cached; no number is ever given twice.
import { BlockRuns } from './block-runs.js';

export class BlockNumbers {
	/** Hashes that are known at least, before the oldest are forgotten. */
	readonly #kept: number;
	#recent = new Map<number, number>();
	#before = new Map<number, number>();
	#next = 0;

	/** `blocksMax` is the most blocks that are cached at a time: their hashes come again, or are let go by the cache first. */
	constructor(blocksMax: number) {
		this.#kept = Math.max(1024, 2 * blocksMax);
	}

	/** The blocks of these hashes, two words each, of which 53 bits count: collisions by accident stay out of reach. */
	of(hashes: Uint32Array): BlockRuns {
		const runs = this.known(hashes);
		const first = this.#next;
		// A hash chains all before it, so that what follows a new one is new.
		for (let at = runs.length * 2; at + 1 < hashes.length; at += 2) this.#keep(keyOf(hashes, at), this.#next++);
		return runs.add(first, this.#next - first);
	}

	/** As `of`, up to the first block that has no number: what follows it cannot be cached. */
	known(hashes: Uint32Array): BlockRuns {
		const runs = new BlockRuns();
		for (let at = 0; at + 1 < hashes.length; at += 2) {
			const number = this.#find(hashes, at);
			if (number === undefined) break;
			runs.add(number, 1);
		}
		return runs;
	}

	#find(hashes: Uint32Array, at: number): number | undefined {
		const key = keyOf(hashes, at);
		const recent = this.#recent.get(key);
		if (recent !== undefined) return recent;
		const before = this.#before.get(key);
		if (before !== undefined) this.#keep(key, before);
		return before;
	}

	#keep(key: number, number: number): void {
		this.#recent.set(key, number);
		if (this.#recent.size < this.#kept) return;
		this.#before = this.#recent;
		this.#recent = new Map();
	}
}

function keyOf(hashes: Uint32Array, at: number): number {
	return ((hashes[at + 1] as number) >>> 11) * 2 ** 32 + (hashes[at] as number);
}
