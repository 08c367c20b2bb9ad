// Owns the second KV tier: hashes of blocks that were evicted from the device but still sit in host memory. A victim
// cache with LRU replacement; a reload copies, so the block stays here. Copies out to the host cost no step time.
import { BlockIndex } from './block-index.js';
import { grown } from './grown.js';
import { SlotList } from './slot-list.js';

export class HostTier {
	readonly blocksMax: number;
	readonly #index: BlockIndex;
	/** Two words a slot: the hash. */
	#hashes: Uint32Array = new Uint32Array(32);
	readonly #order = new SlotList();
	readonly #evicted: (low: number, high: number) => void;
	#used = 0;

	/** `evicted` is told of each block that is dropped. */
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
	store(low: number, high: number): void {
		const known = this.#index.get(low, high);
		if (known >= 0) {
			this.#order.remove(known);
			this.#order.pushBack(known);
			return;
		}
		const slot = this.#used < this.blocksMax ? this.#used++ : this.#evict();
		if (slot * 2 >= this.#hashes.length) this.#hashes = grown(this.#hashes);
		this.#hashes[slot * 2] = low;
		this.#hashes[slot * 2 + 1] = high;
		this.#index.set(low, high, slot);
		this.#order.pushBack(slot);
	}

	#evict(): number {
		const slot = this.#order.first();
		this.#order.remove(slot);
		const low = this.#hashes[slot * 2] as number;
		const high = this.#hashes[slot * 2 + 1] as number;
		this.#index.delete(low, high);
		this.#evicted(low, high);
		return slot;
	}
}
