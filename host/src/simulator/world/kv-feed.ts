// Owns the way of engines' cache events to the routers' index: what happens in a cache at one instant is one batch, which arrives after the delay and is applied
// by production's index. All routers read one published table, since all hear the same at the same time.
import { KvTier } from '@infermesh/adapters';
import type { KvObserver, KvTierName } from '../../engine/model/kv-observer.js';
import { KvIndex } from '../../prefix/precise/kv-index.js';
import { createKvTable, type KvTableShared, KvTableWriter } from '../../prefix/precise/shared-table.js';
import { EventClass, type EventQueue } from './event-queue.js';
import { type Prompts, wordsOf } from './prompts.js';

/** Words that stand for the tokens of a block: production's index publishes positions of sixteen tokens and more. */
export const KV_WORDS = 16;
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
		this.#index = new KvIndex(blocksMax, this.#writer);
		this.#queue = queue;
		this.#prompts = prompts;
		this.#delayUs = delayUs;
	}

	/** Begins to follow the target of a row. */
	follow(row: number, generation: number, modelId: number): void {
		this.#holders.set(row, this.#index.open({ row, generation, modelId }));
		this.#writer.setRow(row, generation, KV_WORDS);
	}

	/** Whom the engine of a row is to tell. */
	observer(row: number): KvObserver {
		let batch: (() => void)[] = [];
		let batchUs = -1;
		const later = (apply: (holder: number) => void): void => {
			const holder = this.#holders.get(row);
			if (holder === undefined) return;
			const { nowUs } = this.#queue;
			if (batchUs !== nowUs || batch.length === 0) {
				batchUs = nowUs;
				const mine: (() => void)[] = (batch = []);
				this.#queue.at(nowUs + this.#delayUs, EventClass.signal, () => {
					for (const one of mine) one();
					mine.length = 0;
				});
			}
			batch.push(() => apply(holder));
		};
		return {
			stored: (hashes, _tokens, from, to) =>
				later((holder) => this.#index.stored(holder, this.#storedEvent(hashes, from, to))),
			moved: (low, high) =>
				later((holder) =>
					this.#index.stored(holder, {
						kind: 'stored',
						blocks: namesOf(low, high),
						parent: undefined,
						tokens: NO_TOKENS,
						blockTokens: KV_WORDS,
						lora: '',
						tier: KvTier.host,
						plainBlocks: 1,
					}),
				),
			removed: (low, high, tier: KvTierName) =>
				later((holder) =>
					this.#index.removed(holder, { kind: 'removed', blocks: namesOf(low, high), tier: KvTier[tier] }),
				),
		};
	}

	/** The process behind a row is gone, and its cache with it. */
	lost(row: number): void {
		const holder = this.#holders.get(row);
		if (holder === undefined) return;
		this.#queue.at(this.#queue.nowUs + this.#delayUs, EventClass.signal, () => this.#index.clear(holder));
	}

	#storedEvent(hashes: Uint32Array, from: number, to: number): Parameters<KvIndex['stored']>[1] {
		const lows = new Uint32Array(to - from);
		const highs = new Uint32Array(to - from);
		for (let block = from; block < to; block++) {
			lows[block - from] = hashes[block * 2] as number;
			highs[block - from] = hashes[block * 2 + 1] as number;
		}
		return {
			kind: 'stored',
			blocks: { lows, highs },
			parent: from === 0 ? undefined : { low: hashes[from * 2 - 2] as number, high: hashes[from * 2 - 1] as number },
			tokens: wordsOf(hashes.subarray(from * 2, to * 2), KV_WORDS),
			blockTokens: KV_WORDS,
			lora: this.#prompts.loraOf(hashes),
			tier: KvTier.device,
			plainBlocks: to - from,
		};
	}
}

const NO_TOKENS = new Uint32Array(0);

function namesOf(low: number, high: number): { readonly lows: Uint32Array; readonly highs: Uint32Array } {
	return { lows: Uint32Array.of(low), highs: Uint32Array.of(high) };
}
