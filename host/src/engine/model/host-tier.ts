// Owns the second KV tier: hashes of blocks that were evicted from the device but still sit in host memory. A victim
// cache with LRU replacement; a reload copies, so the block stays here. Copies out to the host cost no step time.
import { BlockIndex } from './block-index.js';
import { grown } from './grown.js';
import { SlotList } from './slot-list.js';

/** Words of a slot: the hash, and whether whoever is told of evictions is told of its. */
const SLOT_WORDS = 4;
const HIGH = 1;
const TOLD = 2;

export class HostTier {
	readonly blocksMax: number;
	readonly #index: BlockIndex;
	/** Of each slot. */
	#words: Uint32Array = new Uint32Array(16 * SLOT_WORDS);
	readonly #order = new SlotList();
	readonly #evicted: (low: number, high: number) => void;
	#used = 0;

	/** `evicted` is told of each block that is dropped, but for those that were stored untold. */
	constructor(blocksMax: number, evicted: (low: number, high: number) => void = () => undefined) {
		this.blocksMax = blocksMax;
		this.#evicted = evicted;
		this.#index = new BlockIndex(blocksMax);
	}

	get blocks(): number {
		return this.#used;
	}

	has(low: number, high: number): boolean {
		return this.#index.get(low, high) >= 0;
	}

	/** Marks a block as just used; does nothing when it is not here. */
	touch(low: number, high: number): void {
		const slot = this.#index.get(low, high);
		if (slot < 0) return;
		this.#order.remove(slot);
		this.#order.pushBack(slot);
	}

	/** Takes in a block evicted from the device, dropping the least recently used one when full. */
	store(low: number, high: number, told = true): void {
		const known = this.#index.get(low, high);
		if (known >= 0) {
			this.#order.remove(known);
			this.#order.pushBack(known);
			return;
		}
		const slot = this.#used < this.blocksMax ? this.#used++ : this.#evict();
		const at = slot * SLOT_WORDS;
		if (at >= this.#words.length) this.#words = grown(this.#words);
		this.#words[at] = low;
		this.#words[at + HIGH] = high;
		this.#words[at + TOLD] = told ? 1 : 0;
		this.#index.set(low, high, slot);
		this.#order.pushBack(slot);
	}

	#evict(): number {
		const slot = this.#order.first();
		this.#order.remove(slot);
		const low = this.#words[slot * SLOT_WORDS] as number;
		const high = this.#words[slot * SLOT_WORDS + HIGH] as number;
		this.#index.delete(low, high);
		if (this.#words[slot * SLOT_WORDS + TOLD] === 1) this.#evicted(low, high);
		return slot;
	}
}
