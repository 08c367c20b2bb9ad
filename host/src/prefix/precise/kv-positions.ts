// Owns what is published of blocks: each position of a chain that somebody holds has an entry of the shared table, which names its latest holders and counts
// all. The blocks of a position are in a list of their own. Where a bucket of the table is full, nothing is said of the position and its blocks are kept, so
// that an entry which finds room later never counts too few.
import { finish } from '../../router/hash.js';
import {
	BLOCK_WORDS,
	END,
	HELD,
	HOLDER_BITS,
	NEXT_AT,
	NONE,
	POSITION,
	PREVIOUS_AT,
	ROOTED,
	STATE_HIGH,
	STATE_LOW,
	TIERS,
} from './kv-blocks.js';
import { HOLDERS_NAMED_MAX, type KvTableWriter, packHolder } from './shared-table.js';

/** What is published of a holder. */
export interface KvSeat {
	readonly row: number;
	readonly generation: number;
	/** Tokens of a block; 0 until it is known. */
	readonly blockTokens: number;
	/** Tokens between two positions. */
	readonly stride: number;
}

/** A position whose bucket was full when it came. */
interface Overflown {
	readonly key: number;
	readonly bucket: number;
	first: number;
	count: number;
}

export class KvPositions {
	/** Distinct positions. */
	count = 0;
	/** Positions that found their bucket full. */
	unpublished = 0;
	readonly #words: Int32Array;
	readonly #table: KvTableWriter;
	readonly #seats: readonly (KvSeat | undefined)[];
	readonly #overflown: (Overflown | undefined)[] = [];
	readonly #freeOverflown: number[] = [];
	readonly #overflownByKey = new Map<number, number>();
	/** Overflown positions of each bucket. */
	readonly #overflownOf: Uint16Array;
	readonly #named = new Uint32Array(HOLDERS_NAMED_MAX);

	/** `words`: of the blocks. `seats`: by holder. */
	constructor(words: Int32Array, table: KvTableWriter, seats: readonly (KvSeat | undefined)[]) {
		this.#words = words;
		this.#table = table;
		this.#seats = seats;
		this.#overflownOf = new Uint16Array(table.buckets);
	}

	/** A block is held, and all before it are. */
	publish(block: number): void {
		const words = this.#words;
		const table = this.#table;
		const at = block * BLOCK_WORDS;
		const held = words[at + HELD] as number;
		words[at + HELD] = held | ROOTED;
		const seat = this.#seats[held >>> HOLDER_BITS] as KvSeat;
		if (seat.stride !== seat.blockTokens && (words[at + END] as number) % seat.stride !== 0) return;
		const low = finish(words[at + STATE_LOW] as number);
		const high = finish(words[at + STATE_HIGH] as number);
		words[at + PREVIOUS_AT] = NONE;
		words[at + NEXT_AT] = NONE;
		let position = table.find(low, high);
		if (position < 0) {
			const bucket = table.bucketOf(low, high);
			if (this.#overflownOf[bucket] !== 0) position = this.#overflownByKey.get(keyOf(low, high)) ?? NONE;
			if (position === NONE) {
				this.count++;
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

	/** A block, or one before it, is held no more. */
	unpublish(block: number): void {
		const words = this.#words;
		const at = block * BLOCK_WORDS;
		words[at + HELD] = (words[at + HELD] as number) & ~ROOTED;
		const position = words[at + POSITION] as number;
		if (position === NONE) return;
		words[at + POSITION] = NONE;
		const next = words[at + NEXT_AT] as number;
		const previous = words[at + PREVIOUS_AT] as number;
		if (next === NONE && previous === NONE) {
			this.count--;
			if (position >= 0) this.#table.remove(position);
			else this.#dropOverflown(position);
			return;
		}
		if (next !== NONE) words[next * BLOCK_WORDS + PREVIOUS_AT] = previous;
		if (previous === NONE) this.#setFirst(position, next);
		else words[previous * BLOCK_WORDS + NEXT_AT] = next;
		this.#write(position, this.#countAt(position) - 1);
	}

	/** A block has changed its tiers, and stays where it is. */
	rename(block: number, before: number, now: number): void {
		const position = this.#words[block * BLOCK_WORDS + POSITION] as number;
		if (position < 0 || lowestBit(before & TIERS) === lowestBit(now & TIERS)) return;
		this.#table.rename(position, this.#holderWord(before), this.#holderWord(now));
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
		const words = this.#words;
		let named = 0;
		let block = this.#table.noteOf(position);
		for (; block !== NONE && named < HOLDERS_NAMED_MAX; block = words[block * BLOCK_WORDS + NEXT_AT] as number)
			this.#named[named++] = this.#holderWord(words[block * BLOCK_WORDS + HELD] as number);
		this.#table.set(position, count, this.#named, named);
	}

	/** How a holder stands in the table, by the `HELD` word of its block. */
	#holderWord(held: number): number {
		const seat = this.#seats[held >>> HOLDER_BITS] as KvSeat;
		return packHolder(seat.row, seat.generation, lowestBit(held & TIERS));
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

function lowestBit(bits: number): number {
	return 31 - Math.clz32(bits & -bits);
}
