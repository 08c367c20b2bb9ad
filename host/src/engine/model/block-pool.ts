// Owns the paged KV blocks of one engine: reference counts, the free list, and which blocks still hold known content.
// Invariants: every block is either referenced or in the free list; a hash names at most one block; a block with known
// content stays findable while free, until it is taken for something else (least recently freed first).
import { BlockIndex } from './block-index.js';
import { grown } from './grown.js';
import type { HostTier } from './host-tier.js';
import type { KvObserver } from './kv-observer.js';
import { SlotList } from './slot-list.js';

/** Words of a block: references, whether its content is known (1; 2 = and an observer is told of it), and the hash of it. */
const BLOCK_WORDS = 4;
const REFERENCES = 0;
const NAMED = 1;
const LOW = 2;
const HIGH = 3;

export class BlockPool {
	readonly total: number;
	/** Of the blocks used so far. */
	#blocks: Uint32Array = new Uint32Array(16 * BLOCK_WORDS);
	/** Blocks from this one on have never been used. In the order in which free blocks are taken they come after those that were put in front. */
	#fresh = 0;
	/** Free blocks of those used before: first those that were put in front, nameless ones. */
	readonly #free = new SlotList();
	#inFront = 0;
	readonly #index: BlockIndex;
	readonly #host: HostTier | undefined;
	readonly #observer: KvObserver | undefined;
	#changes = 0;

	/** `total` blocks, all free; evicted content goes to `host` when there is one, and `observer` is told. */
	constructor(total: number, host?: HostTier, observer?: KvObserver) {
		this.total = total;
		this.#index = new BlockIndex(total);
		this.#host = host;
		this.#observer = observer;
	}

	/** Blocks without a reference; those with known content count as free too. */
	get free(): number {
		return this.#free.length + this.total - this.#fresh;
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

	/** The block that holds this content, or -1. */
	find(low: number, high: number): number {
		return this.#index.get(low, high);
	}

	isFree(block: number): boolean {
		return this.#blocks[block * BLOCK_WORDS + REFERENCES] === 0;
	}

	/** Adds a reference to a block found by content. */
	retain(block: number): void {
		const at = block * BLOCK_WORDS + REFERENCES;
		const references = this.#blocks[at] as number;
		if (references === 0) this.#free.remove(block);
		this.#blocks[at] = references + 1;
	}

	/**
	 * Takes a free block for new content, forgetting the old. Throws when there is none: the caller checks `free` first.
	 */
	take(): number {
		if (this.#inFront > 0) this.#inFront--;
		else if (this.#fresh < this.total) return this.#takeFresh();
		const block = this.#free.first();
		if (block < 0) throw new Error('block pool is empty');
		this.#free.remove(block);
		if (this.#blocks[block * BLOCK_WORDS + NAMED] !== 0) this.#forget(block);
		this.#blocks[block * BLOCK_WORDS + REFERENCES] = 1;
		return block;
	}

	/**
	 * Names the content of a full block. When another block has the same content already, this one stays nameless. True when the content is new. `told`: an observer is to hear of it.
	 */
	name(block: number, low: number, high: number, told = true): boolean {
		const at = block * BLOCK_WORDS;
		const blocks = this.#blocks;
		if (blocks[at + NAMED] !== 0 || !this.#index.add(low, high, block)) return false;
		blocks[at + NAMED] = told ? 2 : 1;
		blocks[at + LOW] = low;
		blocks[at + HIGH] = high;
		this.#changes++;
		return true;
	}

	/** Drops one reference. Nameless blocks are reused first, named ones last. */
	release(block: number): void {
		const at = block * BLOCK_WORDS;
		const references = this.#blocks[at + REFERENCES] as number;
		if (references === 0) throw new Error(`block ${block} released more often than retained`);
		this.#blocks[at + REFERENCES] = references - 1;
		if (references > 1) return;
		this.#changes++;
		if (this.#blocks[at + NAMED] !== 0) return this.#free.pushBack(block);
		this.#free.pushFront(block);
		this.#inFront++;
	}

	/** Throws unless books and lists agree; costs O(total), for tests and checks between runs. */
	checkInvariants(): void {
		const blocks = this.#blocks;
		let referenced = 0;
		let named = 0;
		for (let block = 0, at = 0; block < this.#fresh; block++, at += BLOCK_WORDS) {
			if ((blocks[at + REFERENCES] as number) > 0) referenced++;
			if (blocks[at + NAMED] === 0) continue;
			named++;
			if (this.#index.get(blocks[at + LOW] as number, blocks[at + HIGH] as number) !== block) {
				throw new Error(`block ${block} is named but not found by its name`);
			}
		}
		let listed = this.total - this.#fresh;
		for (const block of this.#free) {
			listed++;
			if (!this.isFree(block)) throw new Error(`block ${block} is free and referenced`);
		}
		if (listed + referenced !== this.total) {
			throw new Error(`KV is not conserved: ${referenced} used + ${listed} free != ${this.total}`);
		}
		if (named !== this.#index.size) throw new Error(`${named} named blocks, ${this.#index.size} in the index`);
	}

	#takeFresh(): number {
		const block = this.#fresh++;
		if (block * BLOCK_WORDS >= this.#blocks.length) this.#blocks = grown(this.#blocks);
		this.#blocks[block * BLOCK_WORDS + REFERENCES] = 1;
		return block;
	}

	#forget(block: number): void {
		const at = block * BLOCK_WORDS;
		const low = this.#blocks[at + LOW] as number;
		const high = this.#blocks[at + HIGH] as number;
		const observer = this.#blocks[at + NAMED] === 2 ? this.#observer : undefined;
		this.#index.delete(low, high);
		this.#blocks[at + NAMED] = 0;
		if (this.#host !== undefined) {
			this.#host.store(low, high, observer !== undefined);
			// Told before the removal, so that nobody sees the content gone in between.
			observer?.moved(low, high);
		}
		observer?.removed(low, high, 'device');
	}
}
