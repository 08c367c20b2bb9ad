// Owns which KV blocks a sequence holds: prefix look-up over both tiers, allocation, naming of filled blocks, release.
// The scheduler asks whether a sequence fits and tells when tokens are computed; it never touches single blocks.
import { BlockPool } from './block-pool.js';
import type { EngineModelConfig } from './engine-config.js';
import { HostTier } from './host-tier.js';
import type { KvObserver } from './kv-observer.js';
import type { SequenceRecord } from './sequence.js';

export class KvManager {
	/** Blocks of the last look-up found on the device, and after them in the host tier. */
	deviceBlocks = 0;
	hostBlocks = 0;
	readonly #blockTokens: number;
	readonly #prefixCaching: boolean;
	readonly #pool: BlockPool;
	readonly #host: HostTier | undefined;
	#freeBlocksNeeded = 0;
	/** The sequence that last did not fit, and the pool's change count then: no need to look again before that moves. */
	#blocked: SequenceRecord | undefined;
	#blockedChanges = 0;

	readonly #observer: KvObserver | undefined;

	constructor(config: EngineModelConfig, observer?: KvObserver) {
		this.#observer = observer;
		this.#blockTokens = config.blockTokens;
		this.#prefixCaching = config.prefixCaching;
		this.#host =
			config.hostBlocks > 0
				? new HostTier(config.hostBlocks, (low, high) => observer?.removed(low, high, 'host'))
				: undefined;
		this.#pool = new BlockPool(config.kvBlocks, this.#host, observer);
	}

	get used(): number {
		return this.#pool.used;
	}

	get free(): number {
		return this.#pool.free;
	}

	get hostUsed(): number {
		return this.#host?.blocks ?? 0;
	}

	/** Looks up the prefix of a waiting sequence and says whether blocks for all its known tokens are free. */
	fits(sequence: SequenceRecord): boolean {
		if (this.#blocked === sequence && this.#blockedChanges === this.#pool.changes) return false;
		this.#lookUp(sequence);
		if (this.#freeBlocksNeeded <= this.#pool.free) return true;
		this.#blocked = sequence;
		this.#blockedChanges = this.#pool.changes;
		return false;
	}

	/**
	 * Gives the sequence that `fits` just accepted its blocks, shared ones by reference; its cached tokens count as
	 * computed, and so do those whose KV was transferred, but for the last, which gives the logits of the next.
	 */
	allocate(sequence: SequenceRecord): void {
		const blocks = sequence.blocks;
		const needed = Math.ceil(sequence.knownTokens / this.#blockTokens);
		const cachedBlocks = this.deviceBlocks + this.hostBlocks;
		if (sequence.hashes !== undefined) this.#share(sequence.hashes, blocks);
		while (blocks.length < needed) blocks.push(this.#pool.take());
		const transferred = Math.min(sequence.transferTokens, sequence.knownTokens - 1);
		sequence.computedTokens = Math.max(cachedBlocks * this.#blockTokens, transferred);
		sequence.transferTokens = 0;
		this.nameFilled(sequence, this.deviceBlocks * this.#blockTokens, sequence.computedTokens);
	}

	/** Whether the next token of a decoding sequence needs one more block. */
	needsBlock(sequence: SequenceRecord): boolean {
		return sequence.computedTokens === sequence.blocks.length * this.#blockTokens;
	}

	/** Gives a decoding sequence one more block; the caller has seen that one is free. */
	extend(sequence: SequenceRecord): void {
		sequence.blocks.push(this.#pool.take());
	}

	/**
	 * Names the blocks filled by computing the tokens from `fromTokens` to `toTokens`, so that others can share them. As
	 * in vLLM this happens when a step is scheduled: sequences admitted in one step share blocks already.
	 */
	nameFilled(sequence: SequenceRecord, fromTokens: number, toTokens: number): void {
		const hashes = sequence.hashes;
		if (hashes === undefined || !this.#prefixCaching) return;
		const end = Math.min(Math.floor(toTokens / this.#blockTokens), hashes.length >>> 1);
		const first = Math.floor(fromTokens / this.#blockTokens);
		let run = first;
		for (let block = first; block < end; block++) {
			const low = hashes[block * 2] as number;
			const high = hashes[block * 2 + 1] as number;
			if (this.#pool.name(sequence.blocks[block] as number, low, high, block < sequence.toldBlocks)) continue;
			this.#tell(sequence, run, block);
			run = block + 1;
		}
		this.#tell(sequence, run, end);
	}

	#tell({ hashes, tokens, toldBlocks }: SequenceRecord, from: number, end: number): void {
		const to = Math.min(end, toldBlocks);
		if (from < to && hashes !== undefined && tokens !== undefined) this.#observer?.stored(hashes, tokens, from, to);
	}

	/**
	 * Takes all blocks back, the last first: the end of a prefix is worth less than its start and must be evicted before
	 * it.
	 */
	release(sequence: SequenceRecord): void {
		const blocks = sequence.blocks;
		for (let i = blocks.length - 1; i >= 0; i--) this.#pool.release(blocks[i] as number);
		blocks.length = 0;
		sequence.computedTokens = 0;
	}

	/** Leading tokens of a hash chain that are on the device now. */
	cachedPrefixTokens(hashes: Uint32Array): number {
		let block = 0;
		while (
			block < hashes.length >>> 1 &&
			this.#pool.find(hashes[block * 2] as number, hashes[block * 2 + 1] as number) >= 0
		)
			block++;
		return block * this.#blockTokens;
	}

	/** Tokens of a hash chain that follow `deviceTokens` of it and are in the host tier now, without a gap. */
	hostPrefixTokens(hashes: Uint32Array, deviceTokens: number): number {
		return this.#hostRun(hashes, deviceTokens / this.#blockTokens, hashes.length >>> 1) * this.#blockTokens;
	}

	checkInvariants(): void {
		this.#pool.checkInvariants();
	}

	/** Adds references to the device blocks of the last look-up, and marks its host blocks as used. */
	#share(hashes: Uint32Array, blocks: number[]): void {
		for (let block = 0; block < this.deviceBlocks; block++) {
			const found = this.#pool.find(hashes[block * 2] as number, hashes[block * 2 + 1] as number);
			this.#pool.retain(found);
			blocks.push(found);
		}
		const end = this.deviceBlocks + this.hostBlocks;
		for (let block = this.deviceBlocks; block < end; block++) {
			this.#host?.touch(hashes[block * 2] as number, hashes[block * 2 + 1] as number);
		}
	}

	#lookUp(sequence: SequenceRecord): void {
		const known = sequence.knownTokens;
		const hashes = sequence.hashes;
		this.deviceBlocks = 0;
		this.hostBlocks = 0;
		this.#freeBlocksNeeded = Math.ceil(known / this.#blockTokens);
		if (hashes === undefined || !this.#prefixCaching) return;
		// At least one token must be computed to get logits for the next.
		const blocksMax = Math.min(Math.floor((known - 1) / this.#blockTokens), hashes.length >>> 1);
		let block = 0;
		for (; block < blocksMax; block++) {
			const found = this.#pool.find(hashes[block * 2] as number, hashes[block * 2 + 1] as number);
			if (found < 0) break;
			if (!this.#pool.isFree(found)) this.#freeBlocksNeeded--;
		}
		this.deviceBlocks = block;
		this.hostBlocks = this.#hostRun(hashes, block, blocksMax);
	}

	#hostRun(hashes: Uint32Array, from: number, to: number): number {
		const host = this.#host;
		if (host === undefined) return 0;
		let block = from;
		while (block < to && host.has(hashes[block * 2] as number, hashes[block * 2 + 1] as number)) block++;
		return block - from;
	}
}
