// Owns the records of blocks that engines have said they hold: by name under their holder, and in the tree of what follows what. What it means that a block
// is held, and what is published of it, belongs to the rooms above. Memory is fixed at construction. A record is a cache line, and records are taken so
// that blocks which came together lie side by side.
import { KeyIndex } from '../key-index.js';

export const NONE = -1;

/**
 * Words of a block, a cache line: its name under its holder, the chain's state at its end and the tokens up to there, its holder with a bit per tier it is in
 * (no tier = gone, kept only because others follow it) and whether it is rooted, its place in the tree of its holder, and its place among the blocks of its position.
 * While it is free, `PARENT` is the next free one, and it is in no tier.
 */
export const BLOCK_WORDS = 16;
const NAME_HIGH = 1;
export const STATE_LOW = 2;
export const STATE_HIGH = 3;
export const END = 4;
/** Holder from bit 16 on, `ROOTED`, and the tiers in the low byte. */
export const HELD = 5;
export const PARENT = 6;
export const FIRST_CHILD = 7;
export const NEXT_SIBLING = 8;
const PREVIOUS_SIBLING = 9;
/** Left to kv-positions.ts: an entry of the table, an overflown position as -2 - its number, or none; and its neighbours there. */
export const POSITION = 10;
export const NEXT_AT = 11;
export const PREVIOUS_AT = 12;

export const TIERS = 0xff;
export const ROOTED = 0x100;
export const HOLDER_BITS = 16;

/** Of a holder: the first of its blocks that follow none, and how many it has. */
interface Own {
	root: number;
	count: number;
}

export class KvBlocks {
	readonly words: Int32Array;
	readonly names: KeyIndex;
	readonly #blocksMax: number;
	#free = NONE;
	#used = 0;
	#count = 0;
	readonly #holders: Own[] = [];

	constructor(blocksMax: number) {
		this.#blocksMax = blocksMax;
		const words = new Uint32Array(blocksMax * BLOCK_WORDS);
		this.words = new Int32Array(words.buffer);
		this.names = new KeyIndex(words, words.subarray(NAME_HIGH), blocksMax, BLOCK_WORDS);
	}

	get count(): number {
		return this.#count;
	}

	get isFull(): boolean {
		return this.#count >= this.#blocksMax;
	}

	/** Begins to keep the blocks of a holder, which has none. */
	open(holder: number): void {
		this.#holders[holder] = { root: NONE, count: 0 };
	}

	rootOf(holder: number): number {
		return this.#holders[holder]?.root ?? NONE;
	}

	countOf(holder: number): number {
		return this.#holders[holder]?.count ?? 0;
	}

	/** Block of a name, or -1. `guess` is looked at first: engines name the blocks of a prompt in order, and let go of them in the opposite one. */
	find(holder: number, low: number, high: number, guess: number): number {
		const nameLow = (low ^ lowMask(holder)) >>> 0;
		const nameHigh = (high ^ highMask(holder)) >>> 0;
		if (guess !== NONE) {
			const { words } = this;
			const at = guess * BLOCK_WORDS;
			if (
				words[at] === (nameLow | 0) &&
				words[at + NAME_HIGH] === (nameHigh | 0) &&
				(words[at + HELD] as number) >>> HOLDER_BITS === holder
			)
				return guess;
		}
		return this.names.find(nameLow, nameHigh);
	}

	/** Adds a block of a new name behind another, or behind none; in no tier yet. There must be room. */
	add(holder: number, low: number, high: number, parent: number): number {
		const { words } = this;
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
		this.names.link(block);
		const own = this.#holders[holder] as Own;
		let sibling = own.root;
		if (parent === NONE) own.root = block;
		else {
			sibling = words[parent * BLOCK_WORDS + FIRST_CHILD] as number;
			words[parent * BLOCK_WORDS + FIRST_CHILD] = block;
		}
		words[at + NEXT_SIBLING] = sibling;
		if (sibling !== NONE) words[sibling * BLOCK_WORDS + PREVIOUS_SIBLING] = block;
		own.count++;
		this.#count++;
		return block;
	}

	/** Takes out a block that is followed by none. */
	drop(block: number): void {
		const { words } = this;
		const at = block * BLOCK_WORDS;
		const parent = words[at + PARENT] as number;
		const next = words[at + NEXT_SIBLING] as number;
		const previous = words[at + PREVIOUS_SIBLING] as number;
		const own = this.#holders[(words[at + HELD] as number) >>> HOLDER_BITS] as Own;
		if (next !== NONE) words[next * BLOCK_WORDS + PREVIOUS_SIBLING] = previous;
		if (previous !== NONE) words[previous * BLOCK_WORDS + NEXT_SIBLING] = next;
		else if (parent !== NONE) words[parent * BLOCK_WORDS + FIRST_CHILD] = next;
		else own.root = next;
		own.count--;
		this.names.unlink(block);
		words[at + HELD] = 0;
		words[at] = 0;
		words[at + NAME_HIGH] = 0;
		words[at + PARENT] = this.#free;
		this.#free = block;
		this.#count--;
	}
}

/** A name stands under one holder with its words masked: names of different engines must not meet. */
export function lowMask(holder: number): number {
	return Math.imul(holder + 1, 0x9e3779b1);
}

export function highMask(holder: number): number {
	return lowMask(~holder);
}
