// Owns the chained hashes of one prompt: position p of a chain names everything up to block p, salted by model and adapter. Two forms:
// over UTF-8 bytes, where no token ids are known, and over token ids. Each is cut at a bound of blocks; the arrays are the chain's own and
// valid until it is filled again.
import { finish, type Hash64, hashText, mixHigh, mixLow } from '../router/hash.js';

const SALT_LOW = 0x2f1b;
const SALT_HIGH = 0x6c33;
/** Keeps chains over token ids apart from chains over bytes. */
const TOKEN_DOMAIN = 0x746f6b;
/** Primes of xxHash32, and where its four lanes begin with a seed of 0. */
const PRIME_1 = 0x9e3779b1 | 0;
const PRIME_2 = 0x85ebca77 | 0;
const LANE_A = (PRIME_1 + PRIME_2) | 0;
const LANE_B = PRIME_2;
const LANE_C = 0;
const LANE_D = -PRIME_1 | 0;

export class HashChain {
	/** Blocks of the prompt last hashed. */
	blocks = 0;
	readonly lows: Uint32Array;
	readonly highs: Uint32Array;

	constructor(blocksMax: number) {
		this.lows = new Uint32Array(blocksMax);
		this.highs = new Uint32Array(blocksMax);
	}

	get blocksMax(): number {
		return this.lows.length;
	}

	/**
	 * Hashes the full blocks of `wordsPerBlock` words each; `words` holds at least `wordCount`. A block goes through four lanes of xxHash32 (Collet 2012), which
	 * depend on nothing before them, and the lanes then through the chain's own two: a third of the time of taking every word through those. Two blocks that differ in the words
	 * of one lane only are mistaken for each other once in 2^32, all others once in 2^64.
	 */
	fill(modelId: number, loraId: number, words: Uint32Array, wordCount: number, wordsPerBlock: number): void {
		const { lows, highs } = this;
		const blocks = Math.min(Math.floor(wordCount / wordsPerBlock), lows.length);
		const inLanes = wordsPerBlock & ~3;
		let low = saltLow(modelId, loraId);
		let high = saltHigh(modelId, loraId);
		for (let block = 0, at = 0; block < blocks; block++) {
			const end = at + wordsPerBlock;
			const lanesEnd = at + inLanes;
			let a = LANE_A;
			let b = LANE_B;
			let c = LANE_C;
			let d = LANE_D;
			for (; at < lanesEnd; at += 4) {
				a = lane(a, words[at] as number);
				b = lane(b, words[at + 1] as number);
				c = lane(c, words[at + 2] as number);
				d = lane(d, words[at + 3] as number);
			}
			low = mixLow(mixLow(mixLow(mixLow(low, a), b), c), d);
			high = mixHigh(mixHigh(mixHigh(mixHigh(high, d), c), b), a);
			for (; at < end; at++) {
				low = mixLow(low, words[at] as number);
				high = mixHigh(high, words[at] as number);
			}
			lows[block] = finish(low);
			highs[block] = finish(high);
		}
		this.blocks = blocks;
	}

	/** Names the positions that are whole multiples of `stride` tokens, token by token, as they are named when engines tell of blocks that end anywhere. */
	fillTokens(modelId: number, lora: number, tokens: Uint32Array, stride: number): void {
		const { lows, highs } = this;
		const blocks = Math.min(Math.floor(tokens.length / stride), lows.length);
		let low = tokenSaltLow(modelId, lora, stride);
		let high = tokenSaltHigh(modelId, lora, stride);
		for (let block = 0, at = 0; block < blocks; block++) {
			for (const end = at + stride; at < end; at++) {
				low = mixLow(low, tokens[at] as number);
				high = mixHigh(high, tokens[at] as number);
			}
			lows[block] = finish(low);
			highs[block] = finish(high);
		}
		this.blocks = blocks;
	}

	/** Takes every `step`th position of another chain. */
	sample(from: HashChain, step: number): this {
		this.blocks = Math.min(Math.floor(from.blocks / step), this.lows.length);
		for (let block = 0, at = step - 1; block < this.blocks; block++, at += step) {
			this.lows[block] = from.lows[at] as number;
			this.highs[block] = from.highs[at] as number;
		}
		return this;
	}
}

/** xxHash32's round. */
function lane(state: number, word: number): number {
	const sum = (state + Math.imul(word, PRIME_2)) | 0;
	return Math.imul((sum << 13) | (sum >>> 19), PRIME_1);
}

export function saltLow(modelId: number, loraId: number): number {
	return mixLow(mixLow(SALT_LOW, modelId), loraId);
}

export function saltHigh(modelId: number, loraId: number): number {
	return mixHigh(mixHigh(SALT_HIGH, modelId), loraId);
}

/**
 * Running state of a chain over token ids before its first token; `mixLow` and `mixHigh` take it on by a token, `finish` names the position. Adapters go by
 * a hash of their name. Chains with different strides are kept apart, so that each engine has all positions of its own chains.
 */
export function tokenSaltLow(modelId: number, lora: number, stride: number): number {
	return mixLow(mixLow(saltLow(modelId, lora), TOKEN_DOMAIN), stride);
}

export function tokenSaltHigh(modelId: number, lora: number, stride: number): number {
	return mixHigh(mixHigh(saltHigh(modelId, lora), TOKEN_DOMAIN), stride);
}

/** Names are interned by each worker for itself, so a hash of an adapter's name stands for it; 0 = none. */
export function loraSalt(name: string): number {
	hashText(name, scratch);
	return scratch.low;
}
const scratch: Hash64 = { low: 0, high: 0 };
