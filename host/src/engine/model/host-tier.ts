// Owns the second KV tier: contents that were evicted from the device but still sit in host memory. A victim cache with LRU replacement, by the block; a
// reload copies, so a block stays here. Copies out to the host cost no step time.
import { type Run, RunSet } from './run-set.js';

export class HostTier {
	readonly blocksMax: number;
	readonly #runs = new RunSet();
	readonly #evicted: (first: number, count: number) => void;

	/** `evicted` is told of blocks that are dropped, but for those that were stored untold. */
	constructor(blocksMax: number, evicted: (first: number, count: number) => void = () => undefined) {
		this.blocksMax = blocksMax;
		this.#evicted = evicted;
	}

	get blocks(): number {
		return this.#runs.blocks;
	}

	/** Leading blocks of `count` from a number on that are here. */
	leading(first: number, count: number): number {
		return this.#runs.leading(first, count);
	}

	/** Marks blocks as just used, the last the latest; those that are not here are passed over. */
	touch(first: number, count: number): void {
		const past = first + count;
		for (let at = first; at < past; ) {
			if (this.#runs.holding(at) === undefined) {
				at = this.#runs.startAfter(at);
				continue;
			}
			const run = this.#runs.cut(at, past);
			at = run.end;
			this.#use(run, true);
		}
	}

	/**
	 * Takes in blocks evicted from the device, the last of them first, dropping the least recently used when full. It takes as many at once as are all here
	 * already, or all new and have room at the cost of one run; returns how many.
	 */
	store(first: number, count: number, told: boolean): number {
		const last = first + count - 1;
		const below = this.#runs.floor(last);
		if (below !== undefined && last < below.end) {
			const run = this.#runs.cut(Math.max(first, below.start), last + 1);
			const { length } = run;
			this.#use(run, false);
			return length;
		}
		const taken = this.#makeRoom(last + 1 - Math.max(first, below?.end ?? first));
		this.#runs.retire(this.#runs.add(last + 1 - taken, taken, told, 0), false);
		return taken;
	}

	checkInvariants(): void {
		this.#runs.checkInvariants();
		if (this.blocks > this.blocksMax) throw new Error(`${this.blocks} blocks in a host tier of ${this.blocksMax}`);
	}

	/** Finds room for new blocks, for `wanted` at most; when full, for as many as the oldest run has to give. Returns for how many. */
	#makeRoom(wanted: number): number {
		const free = this.blocksMax - this.blocks;
		if (free > 0) return Math.min(wanted, free);
		const oldest = this.#runs.oldest as Run;
		const dropped = Math.min(wanted, oldest.length);
		const first = this.#runs.drop(oldest, dropped);
		if (oldest.told) this.#evicted(first, dropped);
		return dropped;
	}

	#use(run: Run, rising: boolean): void {
		this.#runs.revive(run);
		this.#runs.retire(run, rising);
	}
}
