// Owns one worker's view of the precise index: which engines of a pool say what they hold, and what is published for the prompt at hand.
import type { ModelPool } from '../../router/ports.js';
import type { HashChain } from '../chain.js';
import type { DepthView, HitCollector } from '../hits.js';
import { KvTableReader, type KvTableShared } from './shared-table.js';

/** Different strides of one pool that are looked at: engines of one model have one block size as a rule. */
const STRIDES_MAX = 4;

interface PoolStrides {
	readonly epoch: number;
	readonly distinct: readonly number[];
	/** By pool row; 0 = its events are not all known. */
	readonly byRow: Uint32Array;
}

export class KvView implements DepthView {
	depths = 0;
	readonly #table: KvTableReader;
	readonly #pools = new WeakMap<ModelPool, PoolStrides>();
	#chain: HashChain | undefined;

	constructor(shared: KvTableShared) {
		this.#table = new KvTableReader(shared);
	}

	/** Strides of a pool's engines. Looked up anew only when an engine has come or gone. */
	strides(pool: ModelPool): PoolStrides {
		const epoch = this.#table.rowsEpoch();
		const known = this.#pools.get(pool);
		if (known?.epoch === epoch) return known;
		const byRow = Uint32Array.from(pool.targets, (target) =>
			target === undefined ? 0 : this.#table.strideOf(target.tableRow, target.generation),
		);
		const distinct = [...new Set(byRow)].filter((stride) => stride > 0).sort((a, b) => a - b);
		const strides = { epoch, distinct: distinct.slice(0, STRIDES_MAX), byRow };
		this.#pools.set(pool, strides);
		return strides;
	}

	/** Sets the prompt that is looked up: a chain with the stride in question. */
	view(chain: HashChain): this {
		this.#chain = chain;
		this.depths = chain.blocks;
		return this;
	}

	countAt(depth: number): number {
		const chain = this.#chain as HashChain;
		this.#table.find(chain.lows[depth - 1] as number, chain.highs[depth - 1] as number);
		return this.#table.count;
	}

	offerAt(depth: number, most: number, to: HitCollector): number {
		this.countAt(depth);
		const named = Math.min(this.#table.named, most);
		for (let at = 0; at < named; at++)
			to.offer(this.#table.rowAt(at), this.#table.generationAt(at), this.#table.tierAt(at));
		return named;
	}
}
