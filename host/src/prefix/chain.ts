// Owns the chained hashes of one prompt: position p of a chain names everything up to block p, salted by model and adapter. Two forms:
// over UTF-8 bytes, where no token ids are known, and over token ids. Each is cut at a bound of blocks; the arrays are the chain's own and
// valid until it is filled again.
import { finish, type Hash64, hashText, mixHigh, mixLow } from '../router/hash.js';

const SALT_LOW = 0x2f1b;
const SALT_HIGH = 0x6c33;
/** Keeps chains over token ids apart from chains over bytes. */
const TOKEN_DOMAIN = 0x746f6b;

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

	/** Hashes the full blocks of `wordsPerBlock` words each; `words` holds at least `wordCount`. */
	fill(modelId: number, loraId: number, words: Uint32Array, wordCount: number, wordsPerBlock: number): void {
		this.#fill(saltLow(modelId, loraId), saltHigh(modelId, loraId), words, wordCount, wordsPerBlock);
	}

	/** Names the positions that are whole multiples of `stride` tokens. */
	fillTokens(modelId: number, lora: number, tokens: Uint32Array, stride: number): void {
		const low = tokenSaltLow(modelId, lora, stride);
		this.#fill(low, tokenSaltHigh(modelId, lora, stride), tokens, tokens.length, stride);
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

	#fill(lowSalt: number, highSalt: number, words: Uint32Array, wordCount: number, wordsPerBlock: number): void {
		const { lows, highs } = this;
		const blocks = Math.min(Math.floor(wordCount / wordsPerBlock), lows.length);
		let low = lowSalt;
		let high = highSalt;
		for (let block = 0, at = 0; block < blocks; block++) {
			const end = at + wordsPerBlock;
			for (; at < end; at++) {
				const word = words[at] as number;
				low = mixLow(low, word);
				high = mixHigh(high, word);
			}
			lows[block] = finish(low);
			highs[block] = finish(high);
		}
		this.blocks = blocks;
	}
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
