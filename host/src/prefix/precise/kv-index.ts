// Owns what engines have said they hold, block by block, and its published form. Each holder (one cache of one target, for one model) has its
// blocks by the engine's own names; a block's place in the mesh is the chained hash of all tokens up to its end, carried on from its parent.
// Invariants: a block is published only while its holder has it and every block before it, so that what is published at a position is true
// of the whole prefix; memory is fixed at construction, and what has no room is left out and counted.
import type { BlocksRemoved, BlocksStored } from '@infermesh/adapters';
import { finish, mixHigh, mixLow } from '../../router/hash.js';
import { loraSalt, tokenSaltHigh, tokenSaltLow } from '../chain.js';
import { KeyIndex } from '../key-index.js';
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
export function strideOf(blockTokens: number): number {
	return blockTokens >= STRIDE_TOKENS_MIN ? blockTokens : blockTokens * Math.ceil(STRIDE_TOKENS_MIN / blockTokens);
}

interface Seat extends KvHolder {
	/** Tokens of a block; 0 until it is known. */
	blockTokens: number;
	first: number;
	blocks: number;
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
	// Blocks: their name under their holder, the chain's state at their end, and their place in the tree of their holder.
	readonly #nameLows: Uint32Array;
	readonly #nameHighs: Uint32Array;
	readonly #names: KeyIndex;
	readonly #stateLows: Int32Array;
	readonly #stateHighs: Int32Array;
	readonly #ends: Uint32Array;
	readonly #seatOf: Uint16Array;
	/** Bit per tier the block is in; 0 = gone, kept only because others follow it. */
	readonly #tiers: Uint8Array;
	readonly #rooted: Uint8Array;
	readonly #parents: Int32Array;
	readonly #firstChild: Int32Array;
	readonly #nextSibling: Int32Array;
	readonly #previousSibling: Int32Array;
	readonly #positionOf: Int32Array;
	readonly #nextAtPosition: Int32Array;
	readonly #previousAtPosition: Int32Array;
	readonly #nextOfSeat: Int32Array;
	readonly #previousOfSeat: Int32Array;
	#free = NONE;
	#used = 0;
	#blocks = 0;
	// Positions: distinct chained hashes with the blocks that stand there.
	readonly #positionLows: Uint32Array;
	readonly #positionHighs: Uint32Array;
	readonly #positions: KeyIndex;
	readonly #firstAtPosition: Int32Array;
	readonly #countAtPosition: Uint32Array;
	readonly #ways: Int32Array;
	#freePosition = NONE;
	#positionsUsed = 0;
	#positionCount = 0;
	readonly #seats: (Seat | undefined)[] = [];
	readonly #stack: number[] = [];
	readonly #named = new Uint32Array(HOLDERS_NAMED_MAX);

	constructor(blocksMax: number, table: KvTableWriter) {
		this.#table = table;
		this.#blocksMax = blocksMax;
		const ints = (): Int32Array => new Int32Array(blocksMax);
		const uints = (): Uint32Array => new Uint32Array(blocksMax);
		this.#nameLows = uints();
		this.#nameHighs = uints();
		this.#names = new KeyIndex(this.#nameLows, this.#nameHighs);
		this.#stateLows = ints();
		this.#stateHighs = ints();
		this.#ends = uints();
		this.#seatOf = new Uint16Array(blocksMax);
		this.#tiers = new Uint8Array(blocksMax);
		this.#rooted = new Uint8Array(blocksMax);
		this.#parents = ints();
		this.#firstChild = ints();
		this.#nextSibling = ints();
		this.#previousSibling = ints();
		this.#positionOf = ints();
		this.#nextAtPosition = ints();
		this.#previousAtPosition = ints();
		this.#nextOfSeat = ints();
		this.#previousOfSeat = ints();
		this.#positionLows = uints();
		this.#positionHighs = uints();
		this.#positions = new KeyIndex(this.#positionLows, this.#positionHighs);
		this.#firstAtPosition = ints();
		this.#countAtPosition = uints();
		this.#ways = ints();
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
		this.#seats[seat] = { ...holder, blockTokens: 0, first: NONE, blocks: 0 };
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
		// Blocks of another size are of another engine behind the same address.
		if (seat.blockTokens !== 0 && seat.blockTokens !== blockTokens) this.clear(holder);
		seat.blockTokens = blockTokens;
		let parent = NONE;
		if (event.parent !== undefined) {
			parent = this.#find(holder, event.parent.low, event.parent.high);
			if (parent < 0) {
				this.orphans += blocks.lows.length;
				return;
			}
		}
		const salt = loraSalt(event.lora);
		const stride = strideOf(blockTokens);
		for (let at = 0; at < plainBlocks; at++) {
			let block = this.#find(holder, blocks.lows[at] as number, blocks.highs[at] as number);
			if (block < 0) {
				if (tokens.length === 0) return;
				if (this.#blocks >= this.#blocksMax) {
					this.refused += plainBlocks - at;
					return;
				}
				block = this.#add(holder, seat, blocks.lows[at] as number, blocks.highs[at] as number, parent);
				this.#carryOn(block, parent, seat.modelId, salt, stride, tokens, at * blockTokens, blockTokens);
			}
			this.#gain(block, 1 << tier);
			parent = block;
		}
	}

	removed(holder: number, { blocks, tier }: BlocksRemoved): void {
		for (let at = 0; at < blocks.lows.length; at++) {
			const block = this.#find(holder, blocks.lows[at] as number, blocks.highs[at] as number);
			if (block >= 0) this.#lose(block, 1 << tier);
		}
	}

	/** Forgets all a holder has. */
	clear(holder: number): void {
		const seat = this.#seats[holder];
		if (seat === undefined) return;
		while (seat.first !== NONE) {
			const block = seat.first;
			this.#unpublish(block);
			this.#tiers[block] = 0;
			// Children are dropped on their own; nothing may lead back here.
			for (let child = this.#firstChild[block] as number; child !== NONE; child = this.#nextSibling[child] as number)
				this.#parents[child] = NONE;
			this.#firstChild[block] = NONE;
			this.#drop(block);
		}
	}

	#find(holder: number, low: number, high: number): number {
		return this.#names.find(under(low, holder), under(high, ~holder));
	}

	#add(holder: number, seat: Seat, low: number, high: number, parent: number): number {
		let block = this.#free;
		if (block === NONE) block = this.#used++;
		else this.#free = this.#nextOfSeat[block] as number;
		this.#nameLows[block] = under(low, holder);
		this.#nameHighs[block] = under(high, ~holder);
		this.#names.link(block);
		this.#seatOf[block] = holder;
		this.#tiers[block] = 0;
		this.#rooted[block] = 0;
		this.#positionOf[block] = NONE;
		this.#firstChild[block] = NONE;
		this.#parents[block] = parent;
		this.#previousSibling[block] = NONE;
		this.#nextSibling[block] = NONE;
		if (parent !== NONE) {
			const sibling = this.#firstChild[parent] as number;
			this.#nextSibling[block] = sibling;
			if (sibling !== NONE) this.#previousSibling[sibling] = block;
			this.#firstChild[parent] = block;
		}
		this.#nextOfSeat[block] = seat.first;
		this.#previousOfSeat[block] = NONE;
		if (seat.first !== NONE) this.#previousOfSeat[seat.first] = block;
		seat.first = block;
		seat.blocks++;
		this.#blocks++;
		return block;
	}

	/** Carries the chain on over a new block's tokens. */
	#carryOn(
		block: number,
		parent: number,
		modelId: number,
		salt: number,
		stride: number,
		tokens: Uint32Array,
		from: number,
		count: number,
	): void {
		let low = parent === NONE ? tokenSaltLow(modelId, salt, stride) : (this.#stateLows[parent] as number);
		let high = parent === NONE ? tokenSaltHigh(modelId, salt, stride) : (this.#stateHighs[parent] as number);
		for (let at = from; at < from + count; at++) {
			const token = tokens[at] as number;
			low = mixLow(low, token);
			high = mixHigh(high, token);
		}
		this.#stateLows[block] = low;
		this.#stateHighs[block] = high;
		this.#ends[block] = (parent === NONE ? 0 : (this.#ends[parent] as number)) + count;
	}

	#gain(block: number, tier: number): void {
		const before = this.#tiers[block] as number;
		if ((before & tier) !== 0) return;
		this.#tiers[block] = before | tier;
		if (before !== 0) {
			if (this.#positionOf[block] !== NONE) this.#write(this.#positionOf[block] as number);
			return;
		}
		const parent = this.#parents[block] as number;
		if (parent !== NONE && this.#rooted[parent] === 0) return;
		this.#eachBelow(block, (one) => {
			if (this.#tiers[one] === 0) return false;
			this.#publish(one);
			return true;
		});
	}

	#lose(block: number, tier: number): void {
		const before = this.#tiers[block] as number;
		if ((before & tier) === 0) return;
		const after = before & ~tier;
		this.#tiers[block] = after;
		if (after !== 0) {
			if (this.#positionOf[block] !== NONE) this.#write(this.#positionOf[block] as number);
			return;
		}
		this.#eachBelow(block, (one) => {
			if (this.#rooted[one] === 0) return false;
			this.#unpublish(one);
			return true;
		});
		this.#dropGone(block);
	}

	/** Visits a block and, below each for which `visit` says so, those that follow it. */
	#eachBelow(block: number, visit: (block: number) => boolean): void {
		const stack = this.#stack;
		stack.push(block);
		for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
			if (!visit(one)) continue;
			for (let child = this.#firstChild[one] as number; child !== NONE; child = this.#nextSibling[child] as number)
				stack.push(child);
		}
	}

	/** Drops a block that is gone and followed by none, and those before it of which that is true then. */
	#dropGone(block: number): void {
		for (let one = block; one !== NONE && this.#tiers[one] === 0 && this.#firstChild[one] === NONE; ) {
			const parent = this.#parents[one] as number;
			this.#drop(one);
			one = parent;
		}
	}

	#drop(block: number): void {
		const parent = this.#parents[block] as number;
		const [next, previous] = [this.#nextSibling[block] as number, this.#previousSibling[block] as number];
		if (parent !== NONE) {
			if (next !== NONE) this.#previousSibling[next] = previous;
			if (previous === NONE) this.#firstChild[parent] = next;
			else this.#nextSibling[previous] = next;
		}
		const seat = this.#seats[this.#seatOf[block] as number] as Seat;
		const [after, before] = [this.#nextOfSeat[block] as number, this.#previousOfSeat[block] as number];
		if (after !== NONE) this.#previousOfSeat[after] = before;
		if (before === NONE) seat.first = after;
		else this.#nextOfSeat[before] = after;
		seat.blocks--;
		this.#names.unlink(block);
		this.#nextOfSeat[block] = this.#free;
		this.#free = block;
		this.#blocks--;
	}

	#publish(block: number): void {
		this.#rooted[block] = 1;
		const seat = this.#seats[this.#seatOf[block] as number] as Seat;
		if ((this.#ends[block] as number) % strideOf(seat.blockTokens) !== 0) return;
		const low = finish(this.#stateLows[block] as number);
		const high = finish(this.#stateHighs[block] as number);
		let position = this.#positions.find(low, high);
		if (position < 0) position = this.#addPosition(low, high);
		const first = this.#firstAtPosition[position] as number;
		this.#nextAtPosition[block] = first;
		this.#previousAtPosition[block] = NONE;
		if (first !== NONE) this.#previousAtPosition[first] = block;
		this.#firstAtPosition[position] = block;
		this.#countAtPosition[position] = (this.#countAtPosition[position] as number) + 1;
		this.#positionOf[block] = position;
		this.#write(position);
	}

	#unpublish(block: number): void {
		this.#rooted[block] = 0;
		const position = this.#positionOf[block] as number;
		if (position === NONE) return;
		this.#positionOf[block] = NONE;
		const [next, previous] = [this.#nextAtPosition[block] as number, this.#previousAtPosition[block] as number];
		if (next !== NONE) this.#previousAtPosition[next] = previous;
		if (previous === NONE) this.#firstAtPosition[position] = next;
		else this.#nextAtPosition[previous] = next;
		this.#countAtPosition[position] = (this.#countAtPosition[position] as number) - 1;
		if (this.#countAtPosition[position] !== 0) return this.#write(position);
		const way = this.#ways[position] as number;
		if (way >= 0) this.#table.remove(way);
		this.#positions.unlink(position);
		this.#firstAtPosition[position] = this.#freePosition;
		this.#freePosition = position;
		this.#positionCount--;
	}

	#addPosition(low: number, high: number): number {
		let position = this.#freePosition;
		if (position === NONE) position = this.#positionsUsed++;
		else this.#freePosition = this.#firstAtPosition[position] as number;
		this.#positionLows[position] = low;
		this.#positionHighs[position] = high;
		this.#positions.link(position);
		this.#firstAtPosition[position] = NONE;
		this.#countAtPosition[position] = 0;
		this.#ways[position] = this.#table.add(low, high);
		if (this.#ways[position] === NONE) this.unpublished++;
		this.#positionCount++;
		return position;
	}

	#write(position: number): void {
		const way = this.#ways[position] as number;
		if (way === NONE) return;
		let named = 0;
		let block = this.#firstAtPosition[position] as number;
		for (; block !== NONE && named < HOLDERS_NAMED_MAX; block = this.#nextAtPosition[block] as number) {
			const seat = this.#seats[this.#seatOf[block] as number] as Seat;
			this.#named[named++] = packHolder(seat.row, seat.generation, lowestBit(this.#tiers[block] as number));
		}
		this.#table.set(way, this.#countAtPosition[position] as number, this.#named, named);
	}
}

/** A name as it stands under one holder: names of different engines must not meet. */
function under(word: number, holder: number): number {
	return (word ^ Math.imul(holder + 1, 0x9e3779b1)) >>> 0;
}

function lowestBit(bits: number): number {
	return 31 - Math.clz32(bits & -bits);
}
