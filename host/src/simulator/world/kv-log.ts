// Owns what one engine has told of its cache and the routers' index has not heard yet: runs of blocks in the order of happening, in batches by instant.
import { type BlockNames, KvTier } from '@infermesh/adapters';
import type { BlockRuns } from '../../engine/model/block-runs.js';
import type { KvObserver, KvTierName } from '../../engine/model/kv-observer.js';
import type { KvIndex } from '../../prefix/precise/kv-index.js';
import type { Prompts } from './prompts.js';
import { WORDS_PER_BLOCK } from './sim-prefixes.js';

/** Blocks of a prompt, by their places. */
interface Stored {
	readonly kind: 'stored';
	readonly blocks: BlockRuns;
	readonly words: Uint32Array;
	readonly from: number;
	readonly to: number;
}

/** Blocks by their numbers; they go the last first, from the device to the host or out of a tier. */
interface Gone {
	readonly kind: 'spilled' | KvTierName;
	readonly first: number;
	readonly count: number;
}

export interface KvLogPorts {
	readonly now: () => number;
	/** Has a batch applied after the delay. */
	readonly later: (apply: () => void) => void;
	readonly index: KvIndex;
	/** Its number in the index; undefined = nobody follows the engine. */
	readonly holder: () => number | undefined;
}

export class KvLog implements KvObserver {
	readonly #ports: KvLogPorts;
	readonly #prompts: Prompts;
	#batch: (Stored | Gone)[] = [];
	#batchUs = -1;
	/** Names that are handed over, in two arrays as events have them. */
	#lows: Uint32Array = new Uint32Array(64);
	#highs: Uint32Array = new Uint32Array(64);

	constructor(prompts: Prompts, ports: KvLogPorts) {
		this.#prompts = prompts;
		this.#ports = ports;
	}

	stored(blocks: BlockRuns, words: Uint32Array, from: number, to: number): void {
		this.#append({ kind: 'stored', blocks, words, from, to });
	}

	spilled(first: number, count: number): void {
		this.#append({ kind: 'spilled', first, count });
	}

	removed(first: number, count: number, tier: KvTierName): void {
		this.#append({ kind: tier, first, count });
	}

	#append(told: Stored | Gone): void {
		const { now, later, holder } = this.#ports;
		if (holder() === undefined) return;
		const nowUs = now();
		if (this.#batch.length === 0 || this.#batchUs !== nowUs) {
			const batch: (Stored | Gone)[] = [];
			this.#batch = batch;
			this.#batchUs = nowUs;
			later(() => this.#apply(batch));
		}
		this.#batch.push(told);
	}

	#apply(batch: readonly (Stored | Gone)[]): void {
		if (this.#batch === batch) this.#batch = [];
		const holder = this.#ports.holder() as number;
		for (const told of batch) {
			if (told.kind === 'stored') this.#applyStored(holder, told);
			else this.#applyGone(holder, told);
		}
	}

	#applyGone(holder: number, { kind, first, count }: Gone): void {
		this.#fit(count);
		for (let at = 0, number = first + count - 1; at < count; at++, number--) this.#put(at, number);
		const blocks = this.#names(count);
		const { device, host } = KvTier;
		if (kind === 'spilled') this.#ports.index.moved(holder, blocks, device, host);
		else this.#ports.index.removed(holder, { kind: 'removed', blocks, tier: kind === 'device' ? device : host });
	}

	#applyStored(holder: number, { blocks, words, from, to }: Stored): void {
		const count = to - from;
		this.#fit(count);
		for (let at = from, run = blocks.runOf(from); at < to; at++) {
			if (at === blocks.endOf(run)) run++;
			this.#put(at - from, blocks.number(run, at));
		}
		const parent = from === 0 ? undefined : blocks.number(blocks.runOf(from - 1), from - 1);
		this.#ports.index.stored(holder, {
			kind: 'stored',
			blocks: this.#names(count),
			parent: parent === undefined ? undefined : { low: lowOf(parent), high: highOf(parent) },
			tokens: words.subarray(from * WORDS_PER_BLOCK, to * WORDS_PER_BLOCK),
			blockTokens: WORDS_PER_BLOCK,
			lora: this.#prompts.loraOf(words),
			tier: KvTier.device,
			plainBlocks: count,
		});
	}

	#names(count: number): BlockNames {
		return { lows: this.#lows.subarray(0, count), highs: this.#highs.subarray(0, count) };
	}

	#put(at: number, number: number): void {
		this.#lows[at] = lowOf(number);
		this.#highs[at] = highOf(number);
	}

	#fit(count: number): void {
		if (count <= this.#lows.length) return;
		this.#lows = new Uint32Array(count * 2);
		this.#highs = new Uint32Array(count * 2);
	}
}

function lowOf(number: number): number {
	return number >>> 0;
}

function highOf(number: number): number {
	return Math.floor(number / 2 ** 32);
}
