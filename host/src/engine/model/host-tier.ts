// Owns the second KV tier: hashes of blocks that were evicted from the device but still sit in host memory. A victim
// cache with LRU replacement; a reload copies, so the block stays here. Copies out to the host cost no step time.
import { BlockIndex } from './block-index.js';
import { SlotList } from './slot-list.js';

export class HostTier {
	readonly blocksMax: number;
	readonly #index: BlockIndex;
	readonly #low: Uint32Array;
	readonly #high: Uint32Array;
	readonly #order: SlotList;
	readonly #evicted: (low: number, high: number) => void;
	#used = 0;

	/** `evicted` is told of each block that is dropped. */
	constructor(blocksMax: number, evicted: (low: number, high: number) => void = () => undefined) {
		this.blocksMax = blocksMax;
		this.#evicted = evicted;
		this.#index = new BlockIndex(blocksMax);
		this.#low = new Uint32Array(blocksMax);
		this.#high = new Uint32Array(blocksMax);
		this.#order = new SlotList(blocksMax);
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
		this.#low[slot] = low;
		this.#high[slot] = high;
		this.#index.set(low, high, slot);
		this.#order.pushBack(slot);
	}

	#evict(): number {
		const slot = this.#order.first();
		this.#order.remove(slot);
		const [low, high] = [this.#low[slot] as number, this.#high[slot] as number];
		this.#index.delete(low, high);
		this.#evicted(low, high);
		return slot;
	}
}
