// Owns what a simulated router knows of prefixes, behind the port that production's pipeline asks. `approximate`: production's index, fed by the router's own
// choices. `events`: the same index with what engines tell of their caches. `oracle`: the caches themselves, at once. Leaves the words that stand for a
// prompt to prompts.ts. A block of the workload is a few words to the index; what it finds is scaled back to tokens.
import type { LoraRows } from '../../prefix/lora-rows.js';
import type { KvTableShared } from '../../prefix/precise/shared-table.js';
import { createPrefixIndex, type WorkerPrefixIndex } from '../../prefix/prefix-index.js';
import type { ModelPool, PrefixIndex, PrefixSource } from '../../router/ports.js';
import type { PrefixHits } from '../../strategy/runtime/decision.js';
import type { SignalSpec } from '../spec.js';
import type { Prompts } from './prompts.js';
import type { SimEngine } from './sim-engine.js';

/** Words of a block's hash, which stand for its tokens. */
export const WORDS_PER_BLOCK = 2;
/** Words of a block in the hash of a prompt's beginning, and how many blocks that is of at most, where the index knows what engines tell. */
const BEGINNING_WORDS = 16;
const BEGINNING_BLOCKS = 4;
/** Blocks of one prompt that are looked up in what engines tell, and between two that are remembered of what was just sent. */
const POSITIONS_MAX = 2048;
const SPECULATIVE_BLOCKS = 8;

export interface SimPrefixesOptions {
	readonly kind: SignalSpec['prefix'];
	/** What routers know prompts by. */
	readonly prompts: Prompts;
	readonly engines: readonly SimEngine[];
	/** Blocks the cache of a target has room for, both tiers. */
	readonly cacheBlocks: readonly number[];
	readonly kv: KvTableShared | undefined;
	readonly loras: LoraRows;
	/** Place in the workload of the request that is being decided. */
	readonly request: () => number;
	readonly nowMs: () => number;
	readonly routers: number;
}

const NO_WORDS = new Uint32Array(0);

export class SimPrefixes implements PrefixIndex {
	readonly #options: SimPrefixesOptions;
	readonly #index: WorkerPrefixIndex;
	/** Tokens the workload has for each word. */
	readonly #tokensPerWord: number;
	readonly #beginning = new Uint32Array(BEGINNING_WORDS * BEGINNING_BLOCKS);
	#request = -1;

	constructor(options: SimPrefixesOptions) {
		this.#options = options;
		this.#tokensPerWord = options.prompts.blockTokens / WORDS_PER_BLOCK;
		const events = options.kv !== undefined;
		this.#index = createPrefixIndex(
			{
				// Every engine tells all it has, so what it was sent adds nothing.
				remembersSent: !events,
				blockTokens: events ? BEGINNING_WORDS : WORDS_PER_BLOCK,
				strideTokensMin: WORDS_PER_BLOCK,
				positionsMax: POSITIONS_MAX,
				speculativeStepTokens: SPECULATIVE_BLOCKS * WORDS_PER_BLOCK,
				workers: options.routers,
				blocksMax: blocksMax(options),
			},
			{
				nowMs: options.nowMs,
				cacheTokens: (row) => (options.cacheBlocks[row] ?? 0) * WORDS_PER_BLOCK,
				kv: options.kv,
				loras: options.loras,
			},
		);
	}

	get promptHashLow(): number {
		return this.#index.promptHashLow;
	}

	get promptHashHigh(): number {
		return this.#index.promptHashHigh;
	}

	hashPrompt(modelId: number, loraId: number, _prompt: Uint8Array, _tokens?: Uint32Array, lora?: string): number {
		this.#request = this.#options.request();
		const chain = this.#options.prompts.chain(this.#request) ?? NO_WORDS;
		if (this.#options.kv === undefined) return this.#index.hashPrompt(modelId, loraId, bytesOf(chain), undefined, lora);
		return this.#index.hashPrompt(modelId, loraId, bytesOf(this.#beginningOf(chain)), chain, lora);
	}

	lookup(pool: ModelPool, hits: PrefixHits): void {
		const { kind } = this.#options;
		this.#index.lookup(pool, hits);
		if (kind === 'none') dropTokens(hits);
		else if (kind === 'oracle') this.#look(pool, hits);
		else for (let at = 0; at < hits.count; at++) hits.tokens[at] = (hits.tokens[at] as number) * this.#tokensPerWord;
	}

	insert(pool: ModelPool, poolRow: number): void {
		const { kind } = this.#options;
		if (kind === 'approximate' || kind === 'events') this.#index.insert(pool, poolRow);
	}

	wantsTokens(): boolean {
		return false;
	}

	sourceOf(poolRow: number): PrefixSource {
		return this.#options.kind === 'oracle' ? 'precise' : this.#index.sourceOf(poolRow);
	}

	credited(): void {
		// Counted by nobody here: the engines' own counts are exact.
	}

	reported(): void {
		// As above.
	}

	/** The words of a prompt's first blocks, zeros behind the hash of each. */
	#beginningOf(chain: Uint32Array): Uint32Array {
		const words = this.#beginning;
		const blocks = Math.min(BEGINNING_BLOCKS, chain.length >>> 1);
		for (let block = 0; block < blocks; block++) {
			words[block * BEGINNING_WORDS] = chain[block * 2] as number;
			words[block * BEGINNING_WORDS + 1] = chain[block * 2 + 1] as number;
		}
		return words.subarray(0, blocks * BEGINNING_WORDS);
	}

	/** Asks every engine; of more rows than a decision is given the longest are kept. */
	#look(pool: ModelPool, hits: PrefixHits): void {
		const found: { readonly row: number; tokens: number; flags: number; tier: number }[] = [];
		for (let at = 0; at < hits.count; at++)
			found.push({ row: hits.rows[at] as number, tokens: 0, flags: hits.flags[at] as number, tier: 0 });
		for (const [row, target] of pool.targets.entries()) {
			const engine = target === undefined ? undefined : this.#options.engines[target.tableRow];
			const blocks = engine?.prompts.blocks(this.#request);
			if (engine === undefined || blocks === undefined) continue;
			const tokens = engine.prefixTokens(blocks);
			if (tokens === 0) continue;
			const tier = engine.model.cachedPrefixTokens(blocks) >= tokens ? 0 : 1;
			const known = found.find((one) => one.row === row);
			if (known === undefined) found.push({ row, tokens, flags: 0, tier });
			else Object.assign(known, { tokens, tier });
		}
		if (found.length > hits.rows.length) found.sort((a, b) => b.tokens - a.tokens || a.row - b.row);
		found.length = Math.min(found.length, hits.rows.length);
		found.sort((a, b) => a.row - b.row);
		hits.count = found.length;
		for (const [at, { row, tokens, flags, tier }] of found.entries()) {
			hits.rows[at] = row;
			hits.tokens[at] = tokens;
			hits.tiers[at] = tier;
			hits.flags[at] = flags;
		}
	}
}

/** Room for as much as all caches hold, within production's bound. */
function blocksMax({ kind, cacheBlocks }: SimPrefixesOptions): number {
	if (kind !== 'approximate' && kind !== 'events') return 1;
	const all = cacheBlocks.reduce((sum, blocks) => sum + blocks, 0);
	return Math.min(1 << 20, Math.max(1024, all));
}

function bytesOf(words: Uint32Array): Uint8Array {
	return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** Only rows with the request's adapter stay. */
function dropTokens(hits: PrefixHits): void {
	let kept = 0;
	for (let at = 0; at < hits.count; at++) {
		if (hits.flags[at] === 0) continue;
		hits.rows[kept] = hits.rows[at] as number;
		hits.tokens[kept] = 0;
		hits.tiers[kept] = 0;
		hits.flags[kept] = hits.flags[at] as number;
		kept++;
	}
	hits.count = kept;
}
