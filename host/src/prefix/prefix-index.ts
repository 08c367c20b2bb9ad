// Owns what a worker knows of "which target holds which part of this prompt": one prompt at a time is hashed, looked up and, once it is
// sent, remembered. Leaves storage to the indexes and the merging of what they know to the collector.
import { finish, mixHigh, mixLow } from '../router/hash.js';
import type { ModelPool, PrefixIndex, PrefixSource } from '../router/ports.js';
import type { PrefixHits } from '../strategy/runtime/decision.js';
import { HashChain, loraSalt, saltHigh, saltLow } from './chain.js';
import { HITS_GIVEN_MAX, HitCollector } from './hits.js';
import { HolderIndex } from './holder-index.js';
import type { LoraRows } from './lora-rows.js';
import { noPrefixMetrics, type PrefixMetrics } from './metrics.js';
import { STRIDE_TOKENS_MIN } from './precise/kv-index.js';
import { KvView } from './precise/kv-view.js';
import type { KvTableShared } from './precise/shared-table.js';

export interface PrefixIndexOptions {
	/** Pairs of a block and a target remembered by this worker. */
	readonly blocksMax: number;
	readonly blockTokens: number;
	/** Blocks of one prompt that are hashed, looked up and remembered. */
	readonly lookupBlocksMax: number;
	/** Tokens a target's cache is taken to have room for while its engine has not said. */
	readonly targetTokens: number;
	/** How long a prompt counts as held by the target it was sent to while no event has said so. */
	readonly speculativeMs: number;
	/** Workers that send to the same targets: what the others send takes its share of each cache. */
	readonly workers: number;
	/**
	 * Whether what was sent is remembered as such. Without it only what engines say is known, and what they were sent a moment ago: enough where all of
	 * them say everything, as simulated ones do.
	 */
	readonly remembersSent: boolean;
	/** Least tokens between two positions that engines name. */
	readonly strideTokensMin: number;
	/** Positions of one prompt that are looked up in what engines say; 0 = as many as `lookupBlocksMax` blocks have. */
	readonly positionsMax: number;
	/** Least tokens between two positions that are remembered of what was just sent: a long prompt has thousands, for seconds only. */
	readonly speculativeStepTokens: number;
}

export const prefixIndexDefaults: PrefixIndexOptions = {
	blocksMax: 1 << 18,
	blockTokens: 64,
	lookupBlocksMax: 2048,
	targetTokens: 500_000,
	speculativeMs: 2000,
	workers: 1,
	remembersSent: true,
	strideTokensMin: STRIDE_TOKENS_MIN,
	positionsMax: 0,
	speculativeStepTokens: 128,
};

export interface PrefixIndexPorts {
	readonly nowMs: () => number;
	/** Tokens the cache of a row of the fleet table has room for, as its engine reports; 0 = not known. */
	readonly cacheTokens: (tableRow: number) => number;
	readonly metrics?: PrefixMetrics;
	/** What engines say they hold; absent where none is asked. */
	readonly kv?: KvTableShared | undefined;
	/** Which rows have which LoRA adapter loaded. */
	readonly loras?: LoraRows;
}

const BYTES_PER_TOKEN = 4;
/** Pairs of what was sent within the speculative lifetime. */
const SPECULATIVE_PAIRS_MAX = 1 << 17;
/** Blocks that make up `prompt_hash`: enough to tell system prompts apart, few enough that a conversation keeps its hash. */
const PROMPT_HASH_BLOCKS = 4;

export function createPrefixIndex(
	options: Partial<PrefixIndexOptions> = {},
	ports: PrefixIndexPorts = { nowMs: () => 0, cacheTokens: () => 0 },
): WorkerPrefixIndex {
	return new WorkerPrefixIndex({ ...prefixIndexDefaults, ...options }, ports);
}

export class WorkerPrefixIndex implements PrefixIndex {
	promptHashLow = 0;
	promptHashHigh = 0;
	readonly #options: PrefixIndexOptions;
	readonly #ports: PrefixIndexPorts;
	readonly #metrics: PrefixMetrics;
	readonly #chain: HashChain;
	readonly #sent: HolderIndex;
	readonly #kv: KvView | undefined;
	/** What was sent to engines that will say so, until they do. */
	readonly #speculative: HolderIndex | undefined;
	/** Over tokens, with the stride last asked for. */
	readonly #tokenChain: HashChain;
	/** Every so many of its positions: what was just sent is kept in larger steps. */
	readonly #coarseChain: HashChain;
	#tokenStride = 0;
	#tokens: Uint32Array | undefined;
	#modelId = 0;
	#lora = '';
	readonly #collector = new HitCollector(HITS_GIVEN_MAX);
	/** For prompts that do not lie on a word's edge. */
	#aligned = new Uint32Array(0);

	constructor(options: PrefixIndexOptions, ports: PrefixIndexPorts) {
		this.#options = options;
		this.#ports = ports;
		this.#metrics = ports.metrics ?? noPrefixMetrics;
		this.#chain = new HashChain(options.lookupBlocksMax);
		this.#sent = new HolderIndex({
			pairsMax: options.remembersSent ? options.blocksMax : 1,
			lifetimeMs: 0,
			capacityOf: (row) => this.#capacity(row, options.blockTokens),
		});
		const { lookupBlocksMax, blockTokens, strideTokensMin } = options;
		const positions = options.positionsMax || Math.ceil((lookupBlocksMax * blockTokens) / strideTokensMin);
		this.#tokenChain = new HashChain(ports.kv === undefined ? 0 : positions);
		this.#coarseChain = new HashChain(this.#tokenChain.blocksMax);
		if (ports.kv === undefined) return;
		this.#kv = new KvView(ports.kv);
		this.#speculative = new HolderIndex({
			pairsMax: Math.min(options.blocksMax, SPECULATIVE_PAIRS_MAX),
			lifetimeMs: options.speculativeMs,
			capacityOf: (row) => this.#capacity(row, this.#tokenStride * this.#stepOf(this.#tokenStride)),
		});
	}

	hashPrompt(modelId: number, loraId: number, promptUtf8: Uint8Array, tokens?: Uint32Array, lora = ''): number {
		this.#tokens = tokens;
		this.#tokenStride = 0;
		this.#modelId = modelId;
		this.#lora = lora;
		const { blockTokens, lookupBlocksMax } = this.#options;
		const bytes = Math.min(promptUtf8.length, lookupBlocksMax * blockTokens * BYTES_PER_TOKEN);
		const words = this.#words(promptUtf8, bytes);
		const chain = this.#chain;
		chain.fill(modelId, loraId, words, words.length, blockTokens);
		if (chain.blocks > 0) {
			const last = Math.min(chain.blocks, PROMPT_HASH_BLOCKS) - 1;
			this.promptHashLow = chain.lows[last] as number;
			this.promptHashHigh = chain.highs[last] as number;
		} else this.#hashShort(modelId, loraId, promptUtf8);
		return chain.blocks;
	}

	lookup(pool: ModelPool, hits: PrefixHits): void {
		const collector = this.#collector;
		collector.begin(pool);
		const precise = this.#lookUpTokens(pool);
		if (this.#chain.blocks > 0 && this.#options.remembersSent)
			collector.collect(
				'approximate',
				this.#sent.view(this.#chain, this.#ports.nowMs()),
				this.#options.blockTokens,
				precise === undefined ? undefined : (row) => precise[row] !== 0,
			);
		// vLLM names an adapter as it does a model.
		this.#ports.loras?.offer(this.#lora || pool.model, collector);
		collector.fill(hits);
		this.#metrics.lookedUp(hits);
	}

	insert(pool: ModelPool, poolRow: number): void {
		const target = pool.targets[poolRow];
		if (target === undefined) return;
		const nowMs = this.#ports.nowMs();
		if (this.#chain.blocks > 0 && this.#options.remembersSent) {
			this.#sent.insert(target.tableRow, target.generation, this.#chain, nowMs);
			this.#metrics.sized(0, this.#sent.table.pairs, this.#sent.table.evictions);
		}
		const stride = this.#tokens === undefined ? 0 : (this.#kv?.strides(pool).byRow[poolRow] ?? 0);
		if (stride === 0 || this.#speculative === undefined) return;
		const chain = this.#chainOf(stride);
		const coarse = this.#coarseChain.sample(chain, this.#stepOf(stride));
		if (coarse.blocks === 0) return;
		this.#speculative.insert(target.tableRow, target.generation, coarse, nowMs);
		this.#metrics.sized(1, this.#speculative.table.pairs, this.#speculative.table.evictions);
	}

	/**
	 * Takes what engines have said, and what they were sent a moment ago. Returns the stride of each row that says what it holds, undefined when nothing can
	 * be said: the rows it names are not to be guessed at.
	 */
	#lookUpTokens(pool: ModelPool): Uint32Array | undefined {
		if (this.#tokens === undefined || this.#kv === undefined || this.#speculative === undefined) return undefined;
		const { distinct, byRow } = this.#kv.strides(pool);
		if (distinct.length === 0) return undefined;
		for (const stride of distinct) {
			const chain = this.#chainOf(stride);
			if (chain.blocks === 0) continue;
			this.#collector.collect('precise', this.#kv.view(chain), stride);
			const step = this.#stepOf(stride);
			const coarse = this.#coarseChain.sample(chain, step);
			if (coarse.blocks === 0) continue;
			this.#collector.collect('speculative', this.#speculative.view(coarse, this.#ports.nowMs()), stride * step);
		}
		return byRow;
	}

	#chainOf(stride: number): HashChain {
		const chain = this.#tokenChain;
		if (stride === this.#tokenStride) return chain;
		this.#tokenStride = stride;
		chain.fillTokens(this.#modelId, loraSalt(this.#lora), this.#tokens as Uint32Array, stride);
		return chain;
	}

	wantsTokens(pool: ModelPool): boolean {
		return this.#kv !== undefined && this.#kv.strides(pool).distinct.length > 0;
	}

	sourceOf(poolRow: number): PrefixSource {
		return this.#collector.sourceOf(poolRow);
	}

	credited(source: PrefixSource, tokens: number): void {
		this.#metrics.credited(source, tokens);
	}

	reported(predictedTokens: number, source: PrefixSource, reportedTokens: number): void {
		this.#metrics.reported(predictedTokens, source, reportedTokens);
	}

	/**
	 * Writes the chained hashes of the prompt last hashed, low and high words in turn, every `step` blocks one; returns how many, at most `most`. Recordings
	 * keep them, so that a simulator can tell which prompts share a prefix.
	 */
	promptBlocks(step: number, words: Uint32Array, at: number, most: number): number {
		const { lows, highs, blocks } = this.#chain;
		const count = Math.min(most, Math.floor(blocks / step));
		for (let i = 0, to = at, from = step - 1; i < count; i++, to += 2, from += step) {
			words[to] = lows[from] as number;
			words[to + 1] = highs[from] as number;
		}
		return count;
	}

	retain(pools: readonly ModelPool[]): void {
		const present = new Map<number, number>();
		for (const { targets } of pools)
			for (const target of targets) if (target !== undefined) present.set(target.tableRow, target.generation);
		this.#sent.retain(present);
		this.#speculative?.retain(present);
	}

	#capacity(tableRow: number, blockTokens: number): number {
		const tokens = this.#ports.cacheTokens(tableRow) || this.#options.targetTokens;
		return Math.max(1, Math.floor(tokens / this.#options.workers / blockTokens));
	}

	/** Positions of a chain to one that is remembered of what was just sent. */
	#stepOf(stride: number): number {
		return Math.max(1, Math.ceil(this.#options.speculativeStepTokens / stride));
	}

	/** The first `bytes` of a prompt as words, where they lie if they lie on a word's edge. */
	#words(prompt: Uint8Array, bytes: number): Uint32Array {
		const count = bytes >>> 2;
		if (prompt.byteOffset % 4 === 0) return new Uint32Array(prompt.buffer, prompt.byteOffset, count);
		if (this.#aligned.length < count) this.#aligned = new Uint32Array(count);
		new Uint8Array(this.#aligned.buffer).set(prompt.subarray(0, count * 4));
		return this.#aligned.subarray(0, count);
	}

	/** A prompt of less than a block has a hash too, 0 only for the empty one. */
	#hashShort(modelId: number, loraId: number, prompt: Uint8Array): void {
		let low = saltLow(modelId, loraId);
		let high = saltHigh(modelId, loraId);
		for (const byte of prompt) {
			low = mixLow(low, byte);
			high = mixHigh(high, byte);
		}
		this.promptHashLow = prompt.length === 0 ? 0 : finish(low) || 1;
		this.promptHashHigh = prompt.length === 0 ? 0 : finish(high);
	}
}
