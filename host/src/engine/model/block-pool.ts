// Owns the paged KV blocks of one engine: reference counts, the free list, and which blocks still hold known content.
// Invariants: every block is either referenced or in the free list; a hash names at most one block; a block with known
// content stays findable while free, until it is taken for something else (least recently freed first).
import { BlockIndex } from './block-index.js';
import type { HostTier } from './host-tier.js';
import type { KvObserver } from './kv-observer.js';
import { SlotList } from './slot-list.js';

export class BlockPool {
	readonly total: number;
	readonly #references: Int32Array;
	readonly #low: Uint32Array;
	readonly #high: Uint32Array;
	readonly #named: Uint8Array;
	readonly #free: SlotList;
	readonly #index: BlockIndex;
	readonly #host: HostTier | undefined;
	readonly #observer: KvObserver | undefined;
	#changes = 0;

	/** `total` blocks, all free; evicted content goes to `host` when there is one, and `observer` is told. */
	constructor(total: number, host?: HostTier, observer?: KvObserver) {
		this.total = total;
		this.#references = new Int32Array(total);
		this.#low = new Uint32Array(total);
		this.#high = new Uint32Array(total);
		this.#named = new Uint8Array(total);
		this.#free = new SlotList(total);
		this.#index = new BlockIndex(total);
		this.#host = host;
		this.#observer = observer;
		for (let block = 0; block < total; block++) this.#free.pushBack(block);
	}

	/** Blocks without a reference; those with known content count as free too. */
	get free(): number {
		return this.#free.length;
	}

	get used(): number {
		return this.total - this.#free.length;
	}

	/**
	 * Grows whenever blocks are freed or content is named: an admission that failed cannot succeed while it stands still.
	 */
	get changes(): number {
		return this.#changes;
	}

	/** The block that holds this content, or -1. */
	find(low: number, high: number): number {
		return this.#index.get(low, high);
	}

	isFree(block: number): boolean {
		return this.#references[block] === 0;
	}

	/** Adds a reference to a block found by content. */
	retain(block: number): void {
		const references = this.#references[block] as number;
		if (references === 0) this.#free.remove(block);
		this.#references[block] = references + 1;
	}

	/**
	 * Takes a free block for new content, forgetting the old. Throws when there is none: the caller checks `free` first.
	 */
	take(): number {
		const block = this.#free.first();
		if (block < 0) throw new Error('block pool is empty');
		this.#free.remove(block);
		if (this.#named[block] === 1) this.#forget(block);
		this.#references[block] = 1;
		return block;
	}

	/**
	 * Names the content of a full block. When another block has the same content already, this one stays nameless. True when the content is new.
	 */
	name(block: number, low: number, high: number): boolean {
		if (this.#named[block] === 1 || this.#index.get(low, high) >= 0) return false;
		this.#named[block] = 1;
		this.#low[block] = low;
		this.#high[block] = high;
		this.#index.set(low, high, block);
		this.#changes++;
		return true;
	}

	/** Drops one reference. Nameless blocks are reused first, named ones last. */
	release(block: number): void {
		const references = (this.#references[block] as number) - 1;
		if (references < 0) throw new Error(`block ${block} released more often than retained`);
		this.#references[block] = references;
		if (references > 0) return;
		this.#changes++;
		if (this.#named[block] === 1) this.#free.pushBack(block);
		else this.#free.pushFront(block);
	}

	/** Throws unless books and lists agree; costs O(total), for tests and checks between runs. */
	checkInvariants(): void {
		let referenced = 0;
		let named = 0;
		for (let block = 0; block < this.total; block++) {
			if ((this.#references[block] as number) > 0) referenced++;
			if (this.#named[block] !== 1) continue;
			named++;
			if (this.#index.get(this.#low[block] as number, this.#high[block] as number) !== block) {
				throw new Error(`block ${block} is named but not found by its name`);
			}
		}
		let listed = 0;
		for (const block of this.#free) {
			listed++;
			if (this.#references[block] !== 0) throw new Error(`block ${block} is free and referenced`);
		}
		if (listed + referenced !== this.total) {
			throw new Error(`KV is not conserved: ${referenced} used + ${listed} free != ${this.total}`);
		}
		if (named !== this.#index.size) throw new Error(`${named} named blocks, ${this.#index.size} in the index`);
	}

	#forget(block: number): void {
		const low = this.#low[block] as number;
		const high = this.#high[block] as number;
		this.#index.delete(low, high);
		this.#named[block] = 0;
		if (this.#host !== undefined) {
			this.#host.store(low, high);
			// Told before the removal, so that nobody sees the content gone in between.
			this.#observer?.moved(low, high);
		}
		this.#observer?.removed(low, high, 'device');
	}
}
