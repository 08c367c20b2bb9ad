// Owns what one engine has told of its cache and the routers' index has not heard yet: a log of words in the order of happening, cut into batches by instant.
// What is evicted from the device into the host tier is one entry, though it is told as two.
import { KvTier } from '@infermesh/adapters';
import type { KvObserver, KvTierName } from '../../engine/model/kv-observer.js';
import { AHEAD_MAX } from '../../prefix/precise/kv-ahead.js';
import type { KvIndex } from '../../prefix/precise/kv-index.js';
import type { Prompts } from './prompts.js';
import { WORDS_PER_BLOCK } from './sim-prefixes.js';

/** Kinds of entries. `stored` is followed by the first block and the one after the last, the others by the hash of a block. */
const STORED = 0;
/** It is in the host tier now; `spilled`: and on the device no more. */
const MOVED = 1;
const SPILLED = 2;
const REMOVED = 3;
const HOST_REMOVED = 4;
const ENTRY_WORDS = 3;

const NONE = -1;

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
	#words = new Uint32Array(64 * ENTRY_WORDS);
	/** Names and words of the `stored` entries, in order, two arrays each. */
	readonly #chains: Uint32Array[] = [];
	#chainsRead = 0;
	#read = 0;
	#written = 0;
	#batch: { end: number } | undefined;
	#batchUs = -1;
	/** Names that are handed over, in two arrays as events have them. */
	#lows: Uint32Array = new Uint32Array(64);
	#highs: Uint32Array = new Uint32Array(64);

	constructor(prompts: Prompts, ports: KvLogPorts) {
		this.#prompts = prompts;
		this.#ports = ports;
	}

	stored(names: Uint32Array, words: Uint32Array, from: number, to: number): void {
		if (this.#append(STORED, from, to)) this.#chains.push(names, words);
	}

	moved(low: number, high: number): void {
		this.#append(MOVED, low, high);
	}

	removed(low: number, high: number, tier: KvTierName): void {
		if (tier === 'host') this.#append(HOST_REMOVED, low, high);
		else if (!this.#hasJustMoved(low, high)) this.#append(REMOVED, low, high);
		else this.#words[this.#written - ENTRY_WORDS] = SPILLED;
	}

	/** Whether the last entry of the batch that is being written says that a block has moved. */
	#hasJustMoved(low: number, high: number): boolean {
		if (this.#batch === undefined || this.#batchUs !== this.#ports.now()) return false;
		const last = this.#written - ENTRY_WORDS;
		return this.#words[last] === MOVED && this.#words[last + 1] === low && this.#words[last + 2] === high;
	}

	#append(kind: number, first: number, second: number): boolean {
		const { now, later, holder } = this.#ports;
		if (holder() === undefined) return false;
		const nowUs = now();
		if (this.#batch === undefined || this.#batchUs !== nowUs) {
			const batch = { end: 0 };
			this.#batch = batch;
			this.#batchUs = nowUs;
			later(() => this.#apply(batch));
		}
		if (this.#written + ENTRY_WORDS > this.#words.length) this.#makeRoom();
		const words = this.#words;
		words[this.#written] = kind;
		words[this.#written + 1] = first;
		words[this.#written + 2] = second;
		this.#written += ENTRY_WORDS;
		this.#batch.end += ENTRY_WORDS;
		return true;
	}

	/** Batches are applied in order, each from where the one before ended. */
	#apply(batch: { end: number }): void {
		if (this.#batch === batch) this.#batch = undefined;
		const holder = this.#ports.holder() as number;
		const end = this.#read + batch.end;
		const { index } = this.#ports;
		const { device, host } = KvTier;
		// Blocks of a prompt go one after the other, the last first.
		let spilled = NONE;
		let dropped = NONE;
		let past = this.#read;
		for (; this.#read < end; this.#read += ENTRY_WORDS) {
			const kind = this.#words[this.#read] as number;
			const low = this.#words[this.#read + 1] as number;
			const high = this.#words[this.#read + 2] as number;
			if (kind !== STORED && this.#read >= past) past = this.#expect(holder, end);
			if (kind === STORED) this.#applyStored(holder, low, high);
			else if (kind === SPILLED) spilled = index.moved(holder, low, high, device, host, spilled);
			else if (kind === MOVED) index.moved(holder, low, high, undefined, host, NONE);
			else dropped = index.removedOne(holder, low, high, kind === REMOVED ? device : host, dropped);
		}
		if (this.#read < this.#written) return;
		this.#read = 0;
		this.#written = 0;
		this.#chains.length = 0;
		this.#chainsRead = 0;
	}

	/** Has the index read ahead for what comes before blocks are stored again; returns where that ends. */
	#expect(holder: number, end: number): number {
		let count = 0;
		let at = this.#read;
		for (; at < end && count < AHEAD_MAX && this.#words[at] !== STORED; at += ENTRY_WORDS, count++) {
			this.#lows[count] = this.#words[at + 1] as number;
			this.#highs[count] = this.#words[at + 2] as number;
		}
		this.#ports.index.expect(holder, this.#lows, this.#highs, 0, count);
		return at;
	}

	#applyStored(holder: number, from: number, to: number): void {
		const names = this.#chains[this.#chainsRead++] as Uint32Array;
		const words = this.#chains[this.#chainsRead++] as Uint32Array;
		const count = to - from;
		this.#fit(count);
		const lows = this.#lows;
		const highs = this.#highs;
		for (let at = 0, word = from * 2; at < count; at++, word += 2) {
			lows[at] = names[word] as number;
			highs[at] = names[word + 1] as number;
		}
		this.#ports.index.stored(holder, {
			kind: 'stored',
			blocks: { lows: lows.subarray(0, count), highs: highs.subarray(0, count) },
			parent: from === 0 ? undefined : { low: names[from * 2 - 2] as number, high: names[from * 2 - 1] as number },
			tokens: words.subarray(from * WORDS_PER_BLOCK, to * WORDS_PER_BLOCK),
			blockTokens: WORDS_PER_BLOCK,
			lora: this.#prompts.loraOf(words),
			tier: KvTier.device,
			plainBlocks: count,
		});
	}

	#fit(count: number): void {
		if (count <= this.#lows.length) return;
		this.#lows = new Uint32Array(count * 2);
		this.#highs = new Uint32Array(count * 2);
	}

	#makeRoom(): void {
		const left = this.#written - this.#read;
		const to = left * 2 > this.#words.length ? new Uint32Array(this.#words.length * 2) : this.#words;
		to.set(this.#words.subarray(this.#read, this.#written));
		this.#words = to;
		this.#read = 0;
		this.#written = left;
		this.#chains.splice(0, this.#chainsRead);
		this.#chainsRead = 0;
	}
}
