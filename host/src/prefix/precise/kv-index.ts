// Owns what engines have said they hold, block by block, and its published form. Each holder (one cache of one target, for one model) has its
// blocks by the engine's own names; a block's place in the mesh is the chained hash of all tokens up to its end, carried on from its parent.
// Invariants: a block is published only while its holder has it and every block before it, so that what is published at a position is true
// of the whole prefix; memory is fixed at construction, and what has no room is left out and counted.
import type { BlocksRemoved, BlocksStored } from '@infermesh/adapters';
import { finish, mixHigh, mixLow } from '../../router/hash.js';
import { loraSalt, tokenSaltHigh, tokenSaltLow } from '../chain.js';
import { KeyIndex } from '../key-index.js';
import { AHEAD_MAX, KvAhead } from './kv-ahead.js';
import { HOLDERS_NAMED_MAX, type KvTableWriter, packHolder } from './shared-table.js';

const NONE = -1;
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

interface Seat extends KvHolder {
	/** Tokens of a block; 0 until it is known. */
	blockTokens: number;
	stride: number;
	/** First of its blocks that follow none. */
	firstRoot: number;
	blocks: number;
}

/**
 * Words of a block, a cache line: its name under its holder, the chain's state at its end and the tokens up to there, its holder with a bit per tier it is in
 * (no tier = gone, kept only because others follow it) and whether it is rooted, its place in the tree of its holder, and its place among the blocks of its position.
 * While it is free, `PARENT` is the next free one.
 */
const BLOCK_WORDS = 16;
const NAME_HIGH = 1;
const STATE_LOW = 2;
const STATE_HIGH = 3;
const END = 4;
/** Holder from bit 16 on, `ROOTED`, and the tiers in the low byte. */
const HELD = 5;
const PARENT = 6;
const FIRST_CHILD = 7;
const NEXT_SIBLING = 8;
const PREVIOUS_SIBLING = 9;
/** An entry of the table, an overflown position as -2 - its number, or none. */
const POSITION = 10;
const NEXT_AT = 11;
const PREVIOUS_AT = 12;

const TIERS = 0xff;
const ROOTED = 0x100;
const HOLDER_BITS = 16;

/** A position whose bucket was full when it came: nothing is said of it, and its blocks are kept. */
interface Overflown {
	readonly key: number;
	readonly bucket: number;
	first: number;
	count: number;
}

export class KvIndex {
	/** Blocks left out because there was no room for them. */
	refused = 0;
	/** Positions that found their bucket full. */
	unpublished = 0;
	/** Blocks that follow one that is not known. */
	orphans = 0;
	readonly #table: KvTableWriter;
	readonly #blocksMax: number;
	readonly #strideTokensMin: number;
	readonly #block: Int32Array;
	readonly #names: KeyIndex;
	readonly #ahead: KvAhead;
	#free = NONE;
	#used = 0;
	#blocks = 0;
	#positionCount = 0;
	readonly #overflown: (Overflown | undefined)[] = [];
	readonly #freeOverflown: number[] = [];
	readonly #overflownByKey = new Map<number, number>();
	/** Overflown positions of each bucket. */
	readonly #overflownOf: Uint16Array;
	readonly #seats: (Seat | undefined)[] = [];
	readonly #stack: number[] = [];
	readonly #named = new Uint32Array(HOLDERS_NAMED_MAX);

	/** `strideTokensMin` is for those whose tokens stand for more: the simulator's. */
	constructor(blocksMax: number, table: KvTableWriter, strideTokensMin = STRIDE_TOKENS_MIN) {
		this.#table = table;
		this.#strideTokensMin = strideTokensMin;
		this.#blocksMax = blocksMax;
		const block = new Uint32Array(blocksMax * BLOCK_WORDS);
		this.#block = new Int32Array(block.buffer);
		this.#names = new KeyIndex(block, block.subarray(NAME_HIGH), blocksMax, BLOCK_WORDS);
		this.#ahead = new KvAhead(this.#names, table);
		this.#overflownOf = new Uint16Array(table.buckets);
	}

	/** Blocks known, of all holders. */
	get blocks(): number {
		return this.#blocks;
	}

	/** Distinct published positions. */
	get positions(): number {
		return this.#positionCount;
	}

	/** Opens a holder; the number it gives names it from here on. */
	open(holder: KvHolder): number {
		let seat = this.#seats.indexOf(undefined);
		if (seat < 0) seat = this.#seats.length;
		if (seat > 0xffff) throw new RangeError('more than 65,536 holders');
		this.#seats[seat] = { ...holder, blockTokens: 0, stride: 0, firstRoot: NONE, blocks: 0 };
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
		return this.#seats[holder]?.blocks ?? 0;
	}

	stored(holder: number, event: BlocksStored): void {
		const seat = this.#seats[holder];
		if (seat === undefined) return;
		const { blocks, tokens, blockTokens, tier, plainBlocks } = event;
		this.#sized(holder, seat, blockTokens);
		let parent = NONE;
		if (event.parent !== undefined) {
			parent = this.#find(holder, event.parent.low, event.parent.high, NONE);
			if (parent < 0) {
				this.orphans += blocks.lows.length;
				return;
			}
		}
		const salt = loraSalt(event.lora);
		let low = parent === NONE ? tokenSaltLow(seat.modelId, salt, seat.stride) : 0;
		let high = parent === NONE ? tokenSaltHigh(seat.modelId, salt, seat.stride) : 0;
		const words = this.#block;
		const ahead = this.#ahead;
		let first = 0;
		let past = 0;
		for (let at = 0; at < plainBlocks; at++) {
			if (at === past) {
				first = at;
				past = Math.min(at + AHEAD_MAX, plainBlocks);
				if (past - first > 1)
					ahead.named(blocks.lows, blocks.highs, first, past - first, lowMask(holder), highMask(holder));
				if (parent !== NONE) {
					low = words[parent * BLOCK_WORDS + STATE_LOW] as number;
					high = words[parent * BLOCK_WORDS + STATE_HIGH] as number;
				}
				if (tokens.length > 0) ahead.stored(low, high, tokens, first * blockTokens, blockTokens, past - first);
			}
			const nameLow = blocks.lows[at] as number;
			const nameHigh = blocks.highs[at] as number;
			let block = this.#find(
				holder,
				nameLow,
				nameHigh,
				parent === NONE ? NONE : (words[parent * BLOCK_WORDS + FIRST_CHILD] as number),
			);
			if (block < 0) {
				if (tokens.length === 0) continue;
				if (this.#blocks >= this.#blocksMax) {
					this.refused += plainBlocks - at;
					return;
				}
				block = this.#add(holder, seat, nameLow, nameHigh, parent);
				this.#carryOn(block, parent, tokens, at * blockTokens, blockTokens, at - first);
			}
			this.#gain(block, tierBit(tier));
			parent = block;
		}
	}

	/** Gives a new block the chain's state at its end, which was worked out ahead; anew when it follows a block that was known under other tokens. */
	#carryOn(block: number, parent: number, tokens: Uint32Array, from: number, blockTokens: number, at: number): void {
		const words = this.#block;
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

	removed(holder: number, { blocks, tier }: BlocksRemoved): void {
		let before = NONE;
		const { lows, highs } = blocks;
		for (let at = 0; at < lows.length; at++) {
			if (at % AHEAD_MAX === 0) this.expect(holder, lows, highs, at, Math.min(AHEAD_MAX, lows.length - at));
			before = this.removedOne(holder, lows[at] as number, highs[at] as number, tier, before);
		}
	}

	/** Reads ahead for blocks that are about to be moved or removed, `count` of them and at most `AHEAD_MAX`. Changes nothing. */
	expect(holder: number, lows: Uint32Array, highs: Uint32Array, from: number, count: number): void {
		if (count < 2) return;
		const words = this.#block;
		this.#ahead.held(lows, highs, from, count, lowMask(holder), highMask(holder), words, BLOCK_WORDS, POSITION);
	}

	/**
	 * Takes a block out of a tier. Returns the one it follows, or -1: where the blocks of a prompt go one after the other, the last first, it is the next, and found
	 * at once when it is given as `guess`. A wrong guess costs a look.
	 */
	removedOne(holder: number, low: number, high: number, tier: number, guess: number): number {
		const block = this.#find(holder, low, high, guess);
		if (block < 0) return NONE;
		const parent = this.#block[block * BLOCK_WORDS + PARENT] as number;
		this.#lose(block, tierBit(tier));
		return parent;
	}

	/** Puts a known block into a tier, and takes it out of another if one is named. As `removedOne` otherwise. */
	moved(holder: number, low: number, high: number, from: number | undefined, to: number, guess: number): number {
		const block = this.#find(holder, low, high, guess);
		if (block < 0) return NONE;
		this.#gain(block, tierBit(to));
		if (from !== undefined) this.#lose(block, tierBit(from));
		return this.#block[block * BLOCK_WORDS + PARENT] as number;
	}

	/** Forgets all a holder has. */
	clear(holder: number): void {
		const seat = this.#seats[holder];
		if (seat === undefined) return;
		const words = this.#block;
		// Only a block that is followed by none is dropped alone.
		for (let block = seat.firstRoot; block !== NONE; ) {
			const at = block * BLOCK_WORDS;
			const child = words[at + FIRST_CHILD] as number;
			if (child !== NONE) {
				block = child;
				continue;
			}
			const parent = words[at + PARENT] as number;
			this.#unpublish(block);
			this.#drop(block);
			block = parent === NONE ? seat.firstRoot : parent;
		}
	}

	/** Blocks of another size are of another engine behind the same address. */
	#sized(holder: number, seat: Seat, blockTokens: number): void {
		if (seat.blockTokens === blockTokens) return;
		if (seat.blockTokens !== 0) this.clear(holder);
		seat.blockTokens = blockTokens;
		seat.stride = strideOf(blockTokens, this.#strideTokensMin);
	}

	/** Block of a name. `guess` is looked at first: engines name the blocks of a prompt in order, and let go of them in the opposite one. */
	#find(holder: number, low: number, high: number, guess: number): number {
		const nameLow = (low ^ lowMask(holder)) >>> 0;
		const nameHigh = (high ^ highMask(holder)) >>> 0;
		if (guess !== NONE) {
			const at = guess * BLOCK_WORDS;
			if (
				this.#block[at] === (nameLow | 0) &&
				this.#block[at + NAME_HIGH] === (nameHigh | 0) &&
				(this.#block[at + HELD] as number) >>> HOLDER_BITS === holder
			)
				return guess;
		}
		return this.#names.find(nameLow, nameHigh);
	}

	#add(holder: number, seat: Seat, low: number, high: number, parent: number): number {
		const words = this.#block;
		let block = this.#free;
		if (block === NONE) block = this.#used++;
		else this.#free = words[block * BLOCK_WORDS + PARENT] as number;
		const at = block * BLOCK_WORDS;
		words[at] = low ^ lowMask(holder);
		words[at + NAME_HIGH] = high ^ highMask(holder);
		words[at + HELD] = holder << HOLDER_BITS;
		words[at + PARENT] = parent;
		words[at + FIRST_CHILD] = NONE;
		words[at + POSITION] = NONE;
		words[at + PREVIOUS_SIBLING] = NONE;
		this.#names.link(block);
		let sibling = seat.firstRoot;
		if (parent === NONE) seat.firstRoot = block;
		else {
			sibling = words[parent * BLOCK_WORDS + FIRST_CHILD] as number;
			words[parent * BLOCK_WORDS + FIRST_CHILD] = block;
		}
		words[at + NEXT_SIBLING] = sibling;
		if (sibling !== NONE) words[sibling * BLOCK_WORDS + PREVIOUS_SIBLING] = block;
		seat.blocks++;
		this.#blocks++;
		return block;
	}

	#gain(block: number, tier: number): void {
		const words = this.#block;
		const at = block * BLOCK_WORDS;
		const held = words[at + HELD] as number;
		if ((held & tier) !== 0) return;
		words[at + HELD] = held | tier;
		if ((held & TIERS) !== 0) return this.#rename(block, held, held | tier);
		const parent = words[at + PARENT] as number;
		if (parent !== NONE && ((words[parent * BLOCK_WORDS + HELD] as number) & ROOTED) === 0) return;
		// A new block is followed by none.
		if (words[at + FIRST_CHILD] === NONE) this.#publish(block);
		else this.#publishFrom(block);
	}

	#lose(block: number, tier: number): void {
		const words = this.#block;
		const at = block * BLOCK_WORDS;
		const held = words[at + HELD] as number;
		if ((held & tier) === 0) return;
		words[at + HELD] = held & ~tier;
		if ((held & ~tier & TIERS) !== 0) return this.#rename(block, held, held & ~tier);
		if (words[at + FIRST_CHILD] === NONE) this.#unpublish(block);
		else this.#unpublishFrom(block);
		this.#dropGone(block);
	}

	/** Publishes a block and those behind it that are there. */
	#publishFrom(block: number): void {
		const stack = this.#stack;
		stack.push(block);
		for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
			if (((this.#block[one * BLOCK_WORDS + HELD] as number) & TIERS) === 0) continue;
			this.#publish(one);
			this.#pushChildren(one);
		}
	}

	#unpublishFrom(block: number): void {
		const stack = this.#stack;
		stack.push(block);
		for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
			if (((this.#block[one * BLOCK_WORDS + HELD] as number) & ROOTED) === 0) continue;
			this.#unpublish(one);
			this.#pushChildren(one);
		}
	}

	#pushChildren(block: number): void {
		const words = this.#block;
		let child = words[block * BLOCK_WORDS + FIRST_CHILD] as number;
		for (; child !== NONE; child = words[child * BLOCK_WORDS + NEXT_SIBLING] as number) this.#stack.push(child);
	}

	/** Drops a block that is gone and followed by none, and those before it of which that is true then. */
	#dropGone(block: number): void {
		const words = this.#block;
		for (let one = block; one !== NONE; ) {
			const at = one * BLOCK_WORDS;
			if (((words[at + HELD] as number) & TIERS) !== 0 || words[at + FIRST_CHILD] !== NONE) return;
			const parent = words[at + PARENT] as number;
			this.#drop(one);
			one = parent;
		}
	}

	#drop(block: number): void {
		const words = this.#block;
		const at = block * BLOCK_WORDS;
		const parent = words[at + PARENT] as number;
		const next = words[at + NEXT_SIBLING] as number;
		const previous = words[at + PREVIOUS_SIBLING] as number;
		const seat = this.#seats[(words[at + HELD] as number) >>> HOLDER_BITS] as Seat;
		if (next !== NONE) words[next * BLOCK_WORDS + PREVIOUS_SIBLING] = previous;
		if (previous !== NONE) words[previous * BLOCK_WORDS + NEXT_SIBLING] = next;
		else if (parent !== NONE) words[parent * BLOCK_WORDS + FIRST_CHILD] = next;
		else seat.firstRoot = next;
		seat.blocks--;
		this.#names.unlink(block);
		words[at + HELD] = 0;
		words[at] = 0;
		words[at + NAME_HIGH] = 0;
		words[at + PARENT] = this.#free;
		this.#free = block;
		this.#blocks--;
	}

	#publish(block: number): void {
		const words = this.#block;
		const table = this.#table;
		const at = block * BLOCK_WORDS;
		const held = words[at + HELD] as number;
		words[at + HELD] = held | ROOTED;
		const seat = this.#seats[held >>> HOLDER_BITS] as Seat;
		if (seat.stride !== seat.blockTokens && (words[at + END] as number) % seat.stride !== 0) return;
		const low = finish(words[at + STATE_LOW] as number);
		const high = finish(words[at + STATE_HIGH] as number);
		words[at + PREVIOUS_AT] = NONE;
		words[at + NEXT_AT] = NONE;
		let position = table.find(low, high);
		if (position < 0) {
			const bucket = table.bucketOf(low, high);
			if (this.#overflownOf[bucket] !== 0) position = this.#findOverflown(low, high);
			if (position === NONE) {
				this.#positionCount++;
				position = table.add(low, high, packHolder(seat.row, seat.generation, lowestBit(held & TIERS)), block);
				if (position < 0) position = this.#overflow(low, high, bucket, block);
				words[at + POSITION] = position;
				return;
			}
		}
		words[at + POSITION] = position;
		const first = this.#firstAt(position);
		words[at + NEXT_AT] = first;
		words[first * BLOCK_WORDS + PREVIOUS_AT] = block;
		this.#setFirst(position, block);
		this.#write(position, this.#countAt(position) + 1);
	}

	#unpublish(block: number): void {
		const words = this.#block;
		const at = block * BLOCK_WORDS;
		words[at + HELD] = (words[at + HELD] as number) & ~ROOTED;
		const position = words[at + POSITION] as number;
		if (position === NONE) return;
		words[at + POSITION] = NONE;
		const next = words[at + NEXT_AT] as number;
		const previous = words[at + PREVIOUS_AT] as number;
		if (next === NONE && previous === NONE) {
			this.#positionCount--;
			if (position >= 0) this.#table.remove(position);
			else this.#dropOverflown(position);
			return;
		}
		if (next !== NONE) words[next * BLOCK_WORDS + PREVIOUS_AT] = previous;
		if (previous === NONE) this.#setFirst(position, next);
		else words[previous * BLOCK_WORDS + NEXT_AT] = next;
		this.#write(position, this.#countAt(position) - 1);
	}

	#firstAt(position: number): number {
		return position >= 0 ? this.#table.noteOf(position) : (this.#overflown[-2 - position] as Overflown).first;
	}

	#setFirst(position: number, block: number): void {
		if (position >= 0) this.#table.note(position, block);
		else (this.#overflown[-2 - position] as Overflown).first = block;
	}

	#countAt(position: number): number {
		return position >= 0 ? this.#table.countOf(position) : (this.#overflown[-2 - position] as Overflown).count;
	}

	/** Says who stands at a position, now `count` of them. */
	#write(position: number, count: number): void {
		if (position < 0) {
			(this.#overflown[-2 - position] as Overflown).count = count;
			return;
		}
		const words = this.#block;
		let named = 0;
		let block = this.#table.noteOf(position);
		for (; block !== NONE && named < HOLDERS_NAMED_MAX; block = words[block * BLOCK_WORDS + NEXT_AT] as number)
			this.#named[named++] = this.#holderWord(words[block * BLOCK_WORDS + HELD] as number);
		this.#table.set(position, count, this.#named, named);
	}

	/** A block has changed its tiers, and stays where it is. */
	#rename(block: number, before: number, now: number): void {
		const position = this.#block[block * BLOCK_WORDS + POSITION] as number;
		if (position < 0 || lowestBit(before & TIERS) === lowestBit(now & TIERS)) return;
		this.#table.rename(position, this.#holderWord(before), this.#holderWord(now));
	}

	/** How a holder stands in the table, by the `HELD` word of its block. */
	#holderWord(held: number): number {
		const seat = this.#seats[held >>> HOLDER_BITS] as Seat;
		return packHolder(seat.row, seat.generation, lowestBit(held & TIERS));
	}

	#findOverflown(low: number, high: number): number {
		return this.#overflownByKey.get(keyOf(low, high)) ?? NONE;
	}

	#overflow(low: number, high: number, bucket: number, block: number): number {
		this.unpublished++;
		const at = this.#freeOverflown.pop() ?? this.#overflown.length;
		const key = keyOf(low, high);
		this.#overflown[at] = { key, bucket, first: block, count: 1 };
		this.#overflownByKey.set(key, -2 - at);
		this.#overflownOf[bucket] = (this.#overflownOf[bucket] as number) + 1;
		return -2 - at;
	}

	#dropOverflown(position: number): void {
		const { key, bucket } = this.#overflown[-2 - position] as Overflown;
		this.#overflown[-2 - position] = undefined;
		this.#freeOverflown.push(-2 - position);
		this.#overflownByKey.delete(key);
		this.#overflownOf[bucket] = (this.#overflownOf[bucket] as number) - 1;
	}
}

/** A position's 64 bits in a number: all but the lowest 11 of its high word. */
function keyOf(low: number, high: number): number {
	return (high >>> 11) * 2 ** 32 + low;
}

/** A name stands under one holder with its words masked: names of different engines must not meet. */
function lowMask(holder: number): number {
	return Math.imul(holder + 1, 0x9e3779b1);
}

function highMask(holder: number): number {
	return lowMask(~holder);
}

/** Tiers from the eighth on are one. */
function tierBit(tier: number): number {
	return 1 << Math.min(tier, 7);
}

function lowestBit(bits: number): number {
	return 31 - Math.clz32(bits & -bits);
}
