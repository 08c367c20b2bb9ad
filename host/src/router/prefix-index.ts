// Owns the approximate prefix index: which targets hold which prompt prefixes, as far as this worker has sent them there. A prompt is cut
// in blocks of 64 tokens (256 UTF-8 bytes); each block's hash is chained to the one before, so a block stands for the whole prefix that
// ends with it. Invariant: memory and the cost of a lookup are bounded by options, never by prompts or fleet. Leaves storage to BlockTable.
import type { PrefixHits } from '../strategy/runtime/decision.js';
import { BlockTable, HOLDERS_MAX } from './block-table.js';
import { finish, mixHigh, mixLow } from './hash.js';
import type { ModelPool, PrefixIndex } from './ports.js';

export interface PrefixIndexOptions {
	readonly blocksMax?: number;
	readonly blockTokens?: number;
	/** Blocks of one prompt that are hashed, looked up and inserted. */
	readonly lookupBlocksMax?: number;
}

const BYTES_PER_TOKEN = 4;
/** Blocks that make up `prompt_hash`: enough to tell system prompts apart, few enough that a conversation keeps its hash. */
const PROMPT_HASH_BLOCKS = 4;

/** How the rows of one pool are found from rows of the fleet table. */
interface PoolRows {
	readonly poolRowOf: Map<number, number>;
	readonly generations: readonly number[];
}

/** `capacity` is the most hits one decision is given; the longest are kept. */
export function createPrefixHits(capacity: number): PrefixHits {
	return {
		count: 0,
		rows: new Uint32Array(capacity),
		tokens: new Uint32Array(capacity),
		tiers: new Uint8Array(capacity),
	};
}

export function createPrefixIndex(options: PrefixIndexOptions = {}): PrefixIndex {
	return new ApproximatePrefixIndex(
		options.blocksMax ?? 1 << 18,
		options.blockTokens ?? 64,
		options.lookupBlocksMax ?? 2048,
	);
}

class ApproximatePrefixIndex implements PrefixIndex {
	promptHashLow = 0;
	promptHashHigh = 0;
	readonly #table: BlockTable;
	readonly #blockTokens: number;
	readonly #blockBytes: number;
	/** The prompt last hashed, aligned for word reads. */
	readonly #bytes: Uint8Array;
	readonly #words: Uint32Array;
	readonly #lows: Uint32Array;
	readonly #highs: Uint32Array;
	#blocks = 0;
	/** Entries of its first blocks, as the last lookup found them: the insert that follows in the same tick need not look again. */
	readonly #entries: Int32Array;
	#found = 0;
	/** Pools are immutable, so what is derived from one never goes stale. */
	readonly #pools = new WeakMap<ModelPool, PoolRows>();
	/** Blocks held by each row of the pool in question; rows seen are listed in `#seen` and cleared after use. */
	#depths = new Uint32Array(64);
	readonly #seen: number[] = [];

	constructor(blocksMax: number, blockTokens: number, lookupBlocksMax: number) {
		this.#table = new BlockTable(blocksMax);
		this.#blockTokens = blockTokens;
		this.#blockBytes = blockTokens * BYTES_PER_TOKEN;
		this.#bytes = new Uint8Array(lookupBlocksMax * this.#blockBytes);
		this.#words = new Uint32Array(this.#bytes.buffer);
		this.#lows = new Uint32Array(lookupBlocksMax);
		this.#highs = new Uint32Array(lookupBlocksMax);
		this.#entries = new Int32Array(lookupBlocksMax);
	}

	hashPrompt(modelId: number, loraId: number, promptUtf8: Uint8Array): number {
		const bytes = Math.min(promptUtf8.length, this.#bytes.length);
		this.#found = 0;
		this.#bytes.set(bytes === promptUtf8.length ? promptUtf8 : promptUtf8.subarray(0, bytes));
		this.#blocks = Math.floor(bytes / this.#blockBytes);
		let low = mixLow(mixLow(0x2f1b, modelId), loraId);
		let high = mixHigh(mixHigh(0x6c33, modelId), loraId);
		const wordsPerBlock = this.#blockBytes / 4;
		for (let block = 0; block < this.#blocks; block++) {
			const from = block * wordsPerBlock;
			for (let at = from; at < from + wordsPerBlock; at++) {
				const word = this.#words[at] as number;
				low = mixLow(low, word);
				high = mixHigh(high, word);
			}
			this.#lows[block] = finish(low);
			this.#highs[block] = finish(high);
		}
		if (this.#blocks > 0) {
			const last = Math.min(this.#blocks, PROMPT_HASH_BLOCKS) - 1;
			this.#setPromptHash(this.#lows[last] as number, this.#highs[last] as number);
		} else {
			for (let at = 0; at < bytes; at++) {
				low = mixLow(low, this.#bytes[at] as number);
				high = mixHigh(high, this.#bytes[at] as number);
			}
			if (bytes === 0) this.#setPromptHash(0, 0);
			else this.#setPromptHash(finish(low) || 1, finish(high));
		}
		return this.#blocks;
	}

	lookup(pool: ModelPool, hits: PrefixHits): void {
		hits.count = 0;
		if (this.#blocks === 0) return;
		const rows = this.#rowsOf(pool);
		if (this.#depths.length < pool.targets.length) this.#depths = new Uint32Array(pool.targets.length * 2);
		for (let block = 0; block < this.#blocks; block++) {
			const entry = this.#table.find(this.#lows[block] as number, this.#highs[block] as number);
			if (entry < 0) break;
			this.#entries[block] = entry;
			this.#found = block + 1;
			this.#noteHolders(entry, block + 1, rows);
		}
		this.#fill(hits);
	}

	insert(pool: ModelPool, poolRow: number): void {
		const target = pool.targets[poolRow];
		if (target === undefined) return;
		const rows = this.#rowsOf(pool);
		// Adding may evict an entry found before, so all of those come first.
		for (let block = 0; block < this.#found; block++)
			this.#addHolder(this.#entries[block] as number, target.tableRow, target.generation, rows);
		for (let block = this.#found; block < this.#blocks; block++) {
			const entry = this.#table.findOrAdd(this.#lows[block] as number, this.#highs[block] as number);
			this.#addHolder(entry, target.tableRow, target.generation, rows);
		}
		this.#found = 0;
	}

	#setPromptHash(low: number, high: number): void {
		this.promptHashLow = low;
		this.promptHashHigh = high;
	}

	#rowsOf(pool: ModelPool): PoolRows {
		let rows = this.#pools.get(pool);
		if (rows === undefined) {
			const poolRowOf = new Map<number, number>();
			for (const [row, target] of pool.targets.entries()) if (target !== undefined) poolRowOf.set(target.tableRow, row);
			rows = {
				poolRowOf,
				generations: pool.targets.map((target) => (target === undefined ? -1 : target.generation >>> 0)),
			};
			this.#pools.set(pool, rows);
		}
		return rows;
	}

	/** Pool row of a holder, or -1 when its row has gone to another target or to another pool. */
	#poolRow(at: number, rows: PoolRows): number {
		const row = rows.poolRowOf.get(this.#table.holderRows[at] as number);
		if (row === undefined || rows.generations[row] !== this.#table.holderGenerations[at]) return -1;
		return row;
	}

	/**
	 * A holder of this block was sent the whole prefix, so its depth is this block's whether or not it is still among the few
	 * holders remembered for the blocks before.
	 */
	#noteHolders(entry: number, depth: number, rows: PoolRows): void {
		const from = entry * HOLDERS_MAX;
		const to = from + (this.#table.holderCount[entry] as number);
		for (let at = from; at < to; at++) {
			const row = this.#poolRow(at, rows);
			if (row < 0) continue;
			if (this.#depths[row] === 0) this.#seen.push(row);
			this.#depths[row] = depth;
		}
	}

	#fill(hits: PrefixHits): void {
		const seen = this.#seen;
		if (seen.length > hits.rows.length) {
			seen.sort((a, b) => (this.#depths[b] as number) - (this.#depths[a] as number) || a - b);
			for (let at = hits.rows.length; at < seen.length; at++) this.#depths[seen[at] as number] = 0;
			seen.length = hits.rows.length;
		}
		if (seen.length > 1) seen.sort((a, b) => a - b);
		for (let at = 0; at < seen.length; at++) {
			const row = seen[at] as number;
			hits.rows[at] = row;
			hits.tokens[at] = (this.#depths[row] as number) * this.#blockTokens;
			hits.tiers[at] = 0;
			this.#depths[row] = 0;
		}
		hits.count = seen.length;
		seen.length = 0;
	}

	#addHolder(entry: number, tableRow: number, generation: number, rows: PoolRows): void {
		const table = this.#table;
		const from = entry * HOLDERS_MAX;
		const count = table.holderCount[entry] as number;
		let stale = -1;
		for (let at = from; at < from + count; at++) {
			if (table.holderRows[at] === tableRow) {
				table.holderGenerations[at] = generation;
				return;
			}
			if (stale < 0 && this.#poolRow(at, rows) < 0) stale = at;
		}
		let place = stale;
		if (place < 0 && count < HOLDERS_MAX) {
			place = from + count;
			table.holderCount[entry] = count + 1;
		}
		if (place < 0) {
			table.holderRows.copyWithin(from, from + 1, from + HOLDERS_MAX);
			table.holderGenerations.copyWithin(from, from + 1, from + HOLDERS_MAX);
			place = from + HOLDERS_MAX - 1;
		}
		table.holderRows[place] = tableRow;
		table.holderGenerations[place] = generation;
	}
}
