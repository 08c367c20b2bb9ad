// Owns what engines have said they hold, block by block, and its published form. Each holder (one cache of one target, for one model) has its
// blocks by the engine's own names; a block's place in the mesh is the chained hash of all tokens up to its end, carried on from its parent.
// Invariants: a block is published only while its holder has it and every block before it, so that what is published at a position is true
// of the whole prefix; memory is fixed at construction, and what has no room is left out and counted.
import type { BlockNames, BlocksRemoved, BlocksStored } from '@infermesh/adapters';
import { mixHigh, mixLow } from '../../router/hash.js';
import { loraSalt, tokenSaltHigh, tokenSaltLow } from '../chain.js';
import { AHEAD_MAX, KvAhead } from './kv-ahead.js';
import {
	BLOCK_WORDS,
	END,
	FIRST_CHILD,
	HELD,
	KvBlocks,
	NEXT_SIBLING,
	NONE,
	PARENT,
	ROOTED,
	STATE_HIGH,
	STATE_LOW,
	TIERS,
} from './kv-blocks.js';
import { KvPositions, type KvSeat } from './kv-positions.js';
import type { KvTableWriter } from './shared-table.js';

/** Least tokens between two published positions: an engine may name single tokens. */
export const STRIDE_TOKENS_MIN = 16;

export interface KvHolder {
	readonly row: number;
	readonly generation: number;
	readonly modelId: number;
}

/** Tokens between two published positions of an engine with blocks of this size. */
export function strideOf(blockTokens: number, strideTokensMin = STRIDE_TOKENS_MIN): number {
	return blockTokens >= strideTokensMin ? blockTokens : blockTokens * Math.ceil(strideTokensMin / blockTokens);
}

interface Seat extends KvHolder, KvSeat {
	blockTokens: number;
	stride: number;
}

export class KvIndex {
	/** Blocks left out because there was no room for them. */
	refused = 0;
	/** Blocks that follow one that is not known. */
	orphans = 0;
	readonly #strideTokensMin: number;
	readonly #blocks: KvBlocks;
	readonly #positions: KvPositions;
	readonly #ahead: KvAhead;
	readonly #seats: (Seat | undefined)[] = [];
	readonly #stack: number[] = [];

	/** `strideTokensMin` is for those whose tokens stand for more: the simulator's. */
	constructor(blocksMax: number, table: KvTableWriter, strideTokensMin = STRIDE_TOKENS_MIN) {
		this.#strideTokensMin = strideTokensMin;
		this.#blocks = new KvBlocks(blocksMax);
		this.#positions = new KvPositions(this.#blocks.words, table, this.#seats);
		this.#ahead = new KvAhead(this.#blocks, table);
	}

	/** Blocks known, of all holders. */
	get blocks(): number {
		return this.#blocks.count;
	}

	/** Distinct published positions. */
	get positions(): number {
		return this.#positions.count;
	}

	/** Positions that found their bucket full. */
	get unpublished(): number {
		return this.#positions.unpublished;
	}

	/** Opens a holder; the number it gives names it from here on. */
	open(holder: KvHolder): number {
		let seat = this.#seats.indexOf(undefined);
		if (seat < 0) seat = this.#seats.length;
		if (seat > 0xffff) throw new RangeError('more than 65,536 holders');
		this.#seats[seat] = { ...holder, blockTokens: 0, stride: 0 };
		this.#blocks.open(seat);
		return seat;
	}

	close(holder: number): void {
		this.clear(holder);
		this.#seats[holder] = undefined;
	}

	/** Tokens of this holder's blocks; 0 until it has named one. */
	blockTokensOf(holder: number): number {
		return this.#seats[holder]?.blockTokens ?? 0;
	}

	blocksOf(holder: number): number {
		return this.#blocks.countOf(holder);
	}

	stored(holder: number, event: BlocksStored): void {
		const seat = this.#seats[holder];
		if (seat === undefined) return;
		const { blocks: names, tokens, blockTokens, tier, plainBlocks } = event;
		this.#sized(holder, seat, blockTokens);
		const blocks = this.#blocks;
		const { words } = blocks;
		let parent = NONE;
		if (event.parent !== undefined) {
			parent = blocks.find(holder, event.parent.low, event.parent.high, NONE);
			if (parent < 0) {
				this.orphans += names.lows.length;
				return;
			}
		}
		const salt = loraSalt(event.lora);
		let low = parent === NONE ? tokenSaltLow(seat.modelId, salt, seat.stride) : 0;
		let high = parent === NONE ? tokenSaltHigh(seat.modelId, salt, seat.stride) : 0;
		const ahead = this.#ahead;
		let first = 0;
		let past = 0;
		for (let at = 0; at < plainBlocks; at++) {
			if (at === past) {
				first = at;
				past = Math.min(at + AHEAD_MAX, plainBlocks);
				if (past - first > 1) ahead.named(holder, names, first, past - first);
				if (parent !== NONE) {
					low = words[parent * BLOCK_WORDS + STATE_LOW] as number;
					high = words[parent * BLOCK_WORDS + STATE_HIGH] as number;
				}
				if (tokens.length > 0) ahead.stored(low, high, tokens, first * blockTokens, blockTokens, past - first);
			}
			const nameLow = names.lows[at] as number;
			const nameHigh = names.highs[at] as number;
			const child = parent === NONE ? NONE : (words[parent * BLOCK_WORDS + FIRST_CHILD] as number);
			let block = blocks.find(holder, nameLow, nameHigh, child);
			if (block < 0) {
				if (tokens.length === 0) continue;
				if (blocks.isFull) {
					this.refused += plainBlocks - at;
					return;
				}
				block = blocks.add(holder, nameLow, nameHigh, parent);
				this.#carryOn(block, parent, tokens, at * blockTokens, blockTokens, at - first);
			}
			this.#gain(block, tierBit(tier));
			parent = block;
		}
	}

	/** Gives a new block the chain's state at its end, which was worked out ahead; anew when it follows a block that was known under other tokens. */
	#carryOn(block: number, parent: number, tokens: Uint32Array, from: number, blockTokens: number, at: number): void {
		const { words } = this.#blocks;
		const { lows, highs } = this.#ahead;
		let low = lows[at] as number;
		let high = highs[at] as number;
		let end = blockTokens;
		if (parent !== NONE) {
			const before = parent * BLOCK_WORDS;
			end += words[before + END] as number;
			if (at > 0 && (words[before + STATE_LOW] !== lows[at - 1] || words[before + STATE_HIGH] !== highs[at - 1])) {
				low = words[before + STATE_LOW] as number;
				high = words[before + STATE_HIGH] as number;
				for (let token = from; token < from + blockTokens; token++) {
					low = mixLow(low, tokens[token] as number);
					high = mixHigh(high, tokens[token] as number);
				}
			}
		}
		words[block * BLOCK_WORDS + STATE_LOW] = low;
		words[block * BLOCK_WORDS + STATE_HIGH] = high;
		words[block * BLOCK_WORDS + END] = end;
	}

	/**
	 * Takes blocks out of a tier. Where those of a prompt go one after the other, the last first, they are found at once. What is found ahead and dropped before
	 * its turn, with what followed it, is in no tier then, and nothing is added meanwhile.
	 */
	removed(holder: number, { blocks, tier }: BlocksRemoved): void {
		const { found } = this.#ahead;
		const loses = tierBit(tier);
		for (let from = 0; from < blocks.lows.length; from += AHEAD_MAX) {
			const count = this.#ahead.leaving(holder, blocks, from);
			for (let at = 0; at < count; at++) if ((found[at] as number) >= 0) this.#lose(found[at] as number, loses);
		}
	}

	/** Takes known blocks from one tier to another; in order as `removed`. */
	moved(holder: number, blocks: BlockNames, from: number, to: number): void {
		const { found } = this.#ahead;
		const [loses, gains] = [tierBit(from), tierBit(to)];
		if (loses === gains) return;
		let guess = NONE;
		for (let first = 0; first < blocks.lows.length; first += AHEAD_MAX) {
			const count = this.#ahead.staying(holder, blocks, first, guess);
			guess = this.#ahead.next;
			for (let at = 0; at < count; at++) {
				const block = found[at] as number;
				if (block < 0) continue;
				this.#gain(block, gains);
				this.#lose(block, loses);
			}
		}
	}

	/** Forgets all a holder has. */
	clear(holder: number): void {
		if (this.#seats[holder] === undefined) return;
		const blocks = this.#blocks;
		const { words } = blocks;
		// Only a block that is followed by none is dropped alone.
		for (let block = blocks.rootOf(holder); block !== NONE; ) {
			const at = block * BLOCK_WORDS;
			const child = words[at + FIRST_CHILD] as number;
			if (child !== NONE) {
				block = child;
				continue;
			}
			const parent = words[at + PARENT] as number;
			this.#positions.unpublish(block);
			blocks.drop(block);
			block = parent === NONE ? blocks.rootOf(holder) : parent;
		}
	}

	/** Blocks of another size are of another engine behind the same address. */
	#sized(holder: number, seat: Seat, blockTokens: number): void {
		if (seat.blockTokens === blockTokens) return;
		if (seat.blockTokens !== 0) this.clear(holder);
		seat.blockTokens = blockTokens;
		seat.stride = strideOf(blockTokens, this.#strideTokensMin);
	}

	#gain(block: number, tier: number): void {
		const { words } = this.#blocks;
		const at = block * BLOCK_WORDS;
		const held = words[at + HELD] as number;
		if ((held & tier) !== 0) return;
		words[at + HELD] = held | tier;
		if ((held & TIERS) !== 0) return this.#positions.rename(block, held, held | tier);
		const parent = words[at + PARENT] as number;
		if (parent !== NONE && ((words[parent * BLOCK_WORDS + HELD] as number) & ROOTED) === 0) return;
		// A new block is followed by none.
		if (words[at + FIRST_CHILD] === NONE) this.#positions.publish(block);
		else this.#publishFrom(block);
	}

	#lose(block: number, tier: number): void {
		const { words } = this.#blocks;
		const at = block * BLOCK_WORDS;
		const held = words[at + HELD] as number;
		if ((held & tier) === 0) return;
		words[at + HELD] = held & ~tier;
		if ((held & ~tier & TIERS) !== 0) return this.#positions.rename(block, held, held & ~tier);
		if (words[at + FIRST_CHILD] === NONE) this.#positions.unpublish(block);
		else this.#unpublishFrom(block);
		this.#dropGone(block);
	}

	/** Publishes a block and those behind it that are there. */
	#publishFrom(block: number): void {
		const stack = this.#stack;
		stack.push(block);
		for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
			if (((this.#blocks.words[one * BLOCK_WORDS + HELD] as number) & TIERS) === 0) continue;
			this.#positions.publish(one);
			this.#pushChildren(one);
		}
	}

	#unpublishFrom(block: number): void {
		const stack = this.#stack;
		stack.push(block);
		for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
			if (((this.#blocks.words[one * BLOCK_WORDS + HELD] as number) & ROOTED) === 0) continue;
			this.#positions.unpublish(one);
			this.#pushChildren(one);
		}
	}

	#pushChildren(block: number): void {
		const { words } = this.#blocks;
		let child = words[block * BLOCK_WORDS + FIRST_CHILD] as number;
		for (; child !== NONE; child = words[child * BLOCK_WORDS + NEXT_SIBLING] as number) this.#stack.push(child);
	}

	/** Drops a block that is gone and followed by none, and those before it of which that is true then. */
	#dropGone(block: number): void {
		const { words } = this.#blocks;
		for (let one = block; one !== NONE; ) {
			const at = one * BLOCK_WORDS;
			if (((words[at + HELD] as number) & TIERS) !== 0 || words[at + FIRST_CHILD] !== NONE) return;
			const parent = words[at + PARENT] as number;
			this.#blocks.drop(one);
			one = parent;
		}
	}
}

/** Tiers from the eighth on are one. */
function tierBit(tier: number): number {
	return 1 << Math.min(tier, 7);
}
