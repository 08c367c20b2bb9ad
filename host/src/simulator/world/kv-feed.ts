// Owns the way of engines' cache events to the routers' index: what happens in a cache at one instant is one batch, which arrives after the delay and is applied
// by production's index. All routers read one published table, since all hear the same at the same time. Millions of blocks come and go: what is under way lies
// in a log of words for each engine, and is handed to the index in lists.
import { KvIndex } from '../../prefix/precise/kv-index.js';
import { createKvTable, type KvTableShared, KvTableWriter } from '../../prefix/precise/shared-table.js';
import { EventClass, type EventQueue } from './event-queue.js';
import { KvLog } from './kv-log.js';
import type { Prompts } from './prompts.js';
import { WORDS_PER_BLOCK } from './sim-prefixes.js';

/** Blocks known of all engines; beyond it they are left out, as in production. */
const BLOCKS_MAX = 1 << 20;

export interface KvFeedOptions {
	readonly rows: number;
	/** Blocks that all caches together have room for. */
	readonly blocks: number;
	readonly delayUs: number;
}

export class KvFeed {
	readonly table: KvTableShared;
	readonly #writer: KvTableWriter;
	readonly #index: KvIndex;
	readonly #queue: EventQueue;
	readonly #prompts: Prompts;
	readonly #delayUs: number;
	readonly #holders = new Map<number, number>();

	constructor({ rows, blocks, delayUs }: KvFeedOptions, queue: EventQueue, prompts: Prompts) {
		const blocksMax = Math.min(BLOCKS_MAX, blocks + 1024);
		this.table = createKvTable(rows, blocksMax);
		this.#writer = new KvTableWriter(this.table);
		this.#index = new KvIndex(blocksMax, this.#writer, WORDS_PER_BLOCK);
		this.#queue = queue;
		this.#prompts = prompts;
		this.#delayUs = delayUs;
	}

	/** Begins to follow the target of a row. */
	follow(row: number, generation: number, modelId: number): void {
		this.#holders.set(row, this.#index.open({ row, generation, modelId }));
		this.#writer.setRow(row, generation, WORDS_PER_BLOCK);
	}

	/** Whom the engine of a row is to tell. */
	observer(row: number): KvLog {
		return new KvLog(this.#prompts, {
			now: () => this.#queue.nowUs,
			later: (apply) => void this.#queue.at(this.#queue.nowUs + this.#delayUs, EventClass.signal, apply),
			index: this.#index,
			holder: () => this.#holders.get(row),
		});
	}

	/** The process behind a row is gone, and its cache with it. */
	lost(row: number): void {
		const holder = this.#holders.get(row);
		if (holder === undefined) return;
		this.#queue.at(this.#queue.nowUs + this.#delayUs, EventClass.signal, () => this.#index.clear(holder));
	}
}
