// Owns which KV blocks a sequence holds: prefix look-up over both tiers, allocation, naming of filled blocks, release.
// The scheduler asks whether a sequence fits and tells when tokens are computed; it never touches single blocks.
import { BlockPool } from './block-pool.js';
import type { BlockRuns } from './block-runs.js';
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
	#deviceUsed = 0;
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
				? new HostTier(config.hostBlocks, (first, count) => observer?.removed(first, count, 'host'))
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
		const needed = Math.ceil(sequence.knownTokens / this.#blockTokens);
		const cachedBlocks = this.deviceBlocks + this.hostBlocks;
		if (sequence.blocks !== undefined) this.#share(sequence, sequence.blocks);
		this.#pool.take(needed - this.deviceBlocks);
		sequence.blockCount = needed;
		const transferred = Math.min(sequence.transferTokens, sequence.knownTokens - 1);
		sequence.computedTokens = Math.max(cachedBlocks * this.#blockTokens, transferred);
		sequence.transferTokens = 0;
		this.nameFilled(sequence, this.deviceBlocks * this.#blockTokens, sequence.computedTokens);
	}

	/** Whether the next token of a decoding sequence needs one more block. */
	needsBlock(sequence: SequenceRecord): boolean {
		return sequence.computedTokens === sequence.blockCount * this.#blockTokens;
	}

	/** Gives a decoding sequence one more block; the caller has seen that one is free. */
	extend(sequence: SequenceRecord): void {
		this.#pool.take(1);
		sequence.blockCount++;
	}

	/**
	 * Names the blocks filled by computing the tokens from `fromTokens` to `toTokens`, so that others can share them. As
	 * in vLLM this happens when a step is scheduled: sequences admitted in one step share blocks already.
	 */
	nameFilled(sequence: SequenceRecord, fromTokens: number, toTokens: number): void {
		const { blocks, toldBlocks } = sequence;
		if (blocks === undefined || !this.#prefixCaching) return;
		const end = Math.min(Math.floor(toTokens / this.#blockTokens), blocks.length);
		let at = Math.floor(fromTokens / this.#blockTokens);
		if (at >= end) return;
		let from = at;
		for (let run = blocks.runOf(at); at < end; ) {
			const told = at < toldBlocks;
			const past = Math.min(end, blocks.endOf(run), told ? toldBlocks : end);
			const number = blocks.number(run, at);
			const named = this.#pool.name(number, past - at, told);
			if (named === 0) {
				this.#tell(sequence, from, at);
				at += this.#pool.leading(number, past - at);
				from = at;
			} else {
				addRange(sequence.named, at, at + named);
				at += named;
			}
			if (at === blocks.endOf(run)) run++;
		}
		this.#tell(sequence, from, end);
	}

	#tell({ blocks, tokens, toldBlocks }: SequenceRecord, from: number, end: number): void {
		const to = Math.min(end, toldBlocks);
		if (from < to && blocks !== undefined && tokens !== undefined) this.#observer?.stored(blocks, tokens, from, to);
	}

	/**
	 * Takes all blocks back, the last first: the end of a prefix is worth less than its start and must be evicted before
	 * it.
	 */
	release(sequence: SequenceRecord): void {
		const { named, blocks } = sequence;
		const known = blocks === undefined ? 0 : this.#releaseNamed(blocks, named);
		this.#pool.releaseNameless(sequence.blockCount - known);
		named.length = 0;
		sequence.blockCount = 0;
		sequence.computedTokens = 0;
	}

	/** Returns how many blocks the ranges are. */
	#releaseNamed(blocks: BlockRuns, ranges: readonly number[]): number {
		let released = 0;
		for (let range = ranges.length - 2; range >= 0; range -= 2) {
			const from = ranges[range] as number;
			let past = ranges[range + 1] as number;
			released += past - from;
			for (let run = blocks.runOf(past - 1); past > from; run--) {
				const start = Math.max(from, blocks.startOf(run));
				this.#pool.release(blocks.number(run, start), past - start);
				past = start;
			}
		}
		return released;
	}

	/** Leading tokens of these blocks that are on the device now. */
	cachedPrefixTokens(blocks: BlockRuns): number {
		return this.#deviceRun(blocks, blocks.length) * this.#blockTokens;
	}

	/** Tokens that follow `deviceTokens` of these blocks and are in the host tier now, without a gap. */
	hostPrefixTokens(blocks: BlockRuns, deviceTokens: number): number {
		return this.#hostRun(blocks, deviceTokens / this.#blockTokens, blocks.length) * this.#blockTokens;
	}

	/** `sequences`: all that have blocks. */
	checkInvariants(sequences: readonly SequenceRecord[]): void {
		let nameless = 0;
		for (const { blockCount, named } of sequences) {
			nameless += blockCount;
			for (let at = 0; at < named.length; at += 2) nameless -= (named[at + 1] as number) - (named[at] as number);
		}
		this.#pool.checkInvariants(nameless);
		this.#host?.checkInvariants();
	}

	/** Adds references to the device blocks of the last look-up, and marks its host blocks as used. */
	#share(sequence: SequenceRecord, blocks: BlockRuns): void {
		const device = this.deviceBlocks;
		const end = device + this.hostBlocks;
		if (device > 0) addRange(sequence.named, 0, device);
		for (let at = 0, run = 0; at < end; ) {
			const past = Math.min(blocks.endOf(run), at < device ? device : end);
			const number = blocks.number(run, at);
			if (at < device) this.#pool.retain(number, past - at);
			else this.#host?.touch(number, past - at);
			at = past;
			if (at === blocks.endOf(run)) run++;
		}
	}

	#lookUp(sequence: SequenceRecord): void {
		const known = sequence.knownTokens;
		const { blocks } = sequence;
		this.deviceBlocks = 0;
		this.hostBlocks = 0;
		this.#freeBlocksNeeded = Math.ceil(known / this.#blockTokens);
		if (blocks === undefined || !this.#prefixCaching) return;
		// At least one token must be computed to get logits for the next.
		const blocksMax = Math.min(Math.floor((known - 1) / this.#blockTokens), blocks.length);
		this.deviceBlocks = this.#deviceRun(blocks, blocksMax);
		this.#freeBlocksNeeded -= this.#deviceUsed;
		this.hostBlocks = this.#hostRun(blocks, this.deviceBlocks, blocksMax);
	}

	/** Leading blocks on the device; `#deviceUsed` of them are somebody's. */
	#deviceRun(blocks: BlockRuns, to: number): number {
		this.#deviceUsed = 0;
		let at = 0;
		for (let run = 0; at < to; run++) {
			const past = Math.min(to, blocks.endOf(run));
			at += this.#pool.leading(blocks.number(run, at), past - at);
			this.#deviceUsed += this.#pool.leadingUsed;
			if (at < past) break;
		}
		return at;
	}

	#hostRun(blocks: BlockRuns, from: number, to: number): number {
		const host = this.#host;
		if (host === undefined) return 0;
		let at = from;
		for (let run = blocks.runOf(from); at < to; run++) {
			const past = Math.min(to, blocks.endOf(run));
			at += host.leading(blocks.number(run, at), past - at);
			if (at < past) break;
		}
		return at - from;
	}
}

/** Adds a range to ranges in order, two numbers each; it lengthens the last where it goes on from it. */
function addRange(ranges: number[], from: number, to: number): void {
	if (ranges.at(-1) === from) ranges[ranges.length - 1] = to;
	else ranges.push(from, to);
}
