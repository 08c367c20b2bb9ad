// Owns the paged KV blocks of one engine: how many are free, and which known contents the others hold, by how many sequences. Nothing depends on which block
// it is that holds a content, so that blocks have no numbers here; those without a known content are only counted. Invariants: every block is either free or
// referred to; a content is in one block at most; what nobody refers to stays findable while free, until its block is taken for something else (least
// recently freed first).
import type { HostTier } from './host-tier.js';
import type { KvObserver } from './kv-observer.js';
import { RunSet } from './run-set.js';

export class BlockPool {
	readonly total: number;
	/** Of the blocks of the last `leading` those that somebody refers to. */
	leadingUsed = 0;
	/** Free blocks that hold nothing: taken before any content is forgotten. */
	#empty: number;
	readonly #contents = new RunSet();
	readonly #host: HostTier | undefined;
	readonly #observer: KvObserver | undefined;
	#changes = 0;

	/** `total` blocks, all free; evicted content goes to `host` when there is one, and `observer` is told. */
	constructor(total: number, host?: HostTier, observer?: KvObserver) {
		this.total = total;
		this.#empty = total;
		this.#host = host;
		this.#observer = observer;
	}

	/** Blocks without a reference; those with known content count as free too. */
	get free(): number {
		return this.#empty + this.#contents.idle;
	}

	get used(): number {
		return this.total - this.free;
	}

	/**
	 * Grows whenever blocks are freed or content is named: an admission that failed cannot succeed while it stands still.
	 */
	get changes(): number {
		return this.#changes;
	}

	/** Leading contents of `count` from a number on that are here. */
	leading(first: number, count: number): number {
		const contents = this.#contents;
		const past = first + count;
		let at = first;
		this.leadingUsed = 0;
		while (at < past) {
			const run = contents.holding(at);
			if (run === undefined) break;
			const end = Math.min(past, run.end);
			if (run.references > 0) this.leadingUsed += end - at;
			at = end;
		}
		return at - first;
	}

	/** Adds a reference to contents that are here. */
	retain(first: number, count: number): void {
		const contents = this.#contents;
		const past = first + count;
		for (let at = first; at < past; ) {
			const run = contents.cut(at, past);
			if (run.references === 0) contents.revive(run);
			run.references++;
			at = run.end;
		}
	}

	/** Takes free blocks for something new, forgetting what is in them. Throws when there are too few: the caller checks `free` first. */
	take(count: number): void {
		const empty = Math.min(count, this.#empty);
		this.#empty -= empty;
		for (let left = count - empty; left > 0; ) {
			const run = this.#contents.oldest;
			if (run === undefined) throw new Error('block pool is empty');
			const taken = Math.min(left, run.length);
			left -= taken;
			this.#forget(this.#contents.drop(run, taken), taken, run.told);
		}
	}

	/**
	 * Names the contents of taken blocks that are full now, as far as they are new; returns how many are, which have a reference then. When the first is in
	 * another block already it is 0, and this one stays nameless. `told`: an observer is to hear of it.
	 */
	name(first: number, count: number, told: boolean): number {
		const contents = this.#contents;
		if (contents.holding(first) !== undefined) return 0;
		const named = Math.min(count, contents.startAfter(first) - first);
		contents.add(first, named, told, 1);
		this.#changes++;
		return named;
	}

	/** Drops a reference to each of these contents, the last first. */
	release(first: number, count: number): void {
		const contents = this.#contents;
		this.#changes++;
		for (let past = first + count; past > first; ) {
			const { start } = contents.holding(past - 1) ?? { start: first };
			const run = contents.cut(Math.max(first, start), past);
			if (run.references === 0) throw new Error(`block ${run.start} released more often than retained`);
			past = run.start;
			if (--run.references === 0) contents.retire(run, false);
		}
	}

	/** Gives nameless blocks back. */
	releaseNameless(count: number): void {
		if (count === 0) return;
		this.#changes++;
		this.#empty += count;
	}

	/** Throws unless the books are right; costs O(runs). `nameless`: blocks that sequences have and that hold nothing known. */
	checkInvariants(nameless: number): void {
		this.#contents.checkInvariants();
		const { blocks } = this.#contents;
		if (this.#empty + blocks + nameless !== this.total)
			throw new Error(`KV is not conserved: ${this.#empty} empty + ${blocks} known + ${nameless} != ${this.total}`);
	}

	/** Contents go one after the other, the last first; in runs, as far as the host tier takes them in alike. */
	#forget(first: number, count: number, told: boolean): void {
		const observer = told ? this.#observer : undefined;
		if (this.#host === undefined) {
			observer?.removed(first, count, 'device');
			return;
		}
		for (let left = count; left > 0; ) {
			const stored = this.#host.store(first, left, told);
			left -= stored;
			observer?.spilled(first + left, stored);
		}
	}
}
