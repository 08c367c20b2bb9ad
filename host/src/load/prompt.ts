// Owns the text of prompts: 4 UTF-8 bytes a token, equal block ids give equal text, everything else is unlike.
// Leaves the choice of blocks and lengths to the trace. Output holds only letters, digits and spaces: it needs no JSON escaping.
import { type Random, SeededRandom } from '@infermesh/proto';
import type { TraceRequest } from './trace/types.js';

/** Where no tokeniser is configured, a token is this many bytes everywhere in the mesh. */
export const BYTES_PER_TOKEN = 4;

export interface PromptOptions {
	/** Unsigned 32-bit; equal seeds give equal text. Default 1. */
	readonly seed?: number;
	/** Tokens of a full block. */
	readonly blockTokens: number;
	/** Texts of blocks kept for reuse. Default 4,096 (8 MiB at 2,048 bytes a block). */
	readonly blocksCachedMax?: number;
}

/** Makes the text of a request's prompt; `ordinal` sets prompts without blocks apart from one another. */
export type PromptText = (request: TraceRequest, ordinal: number) => string;

/** Text is cut from one seeded pool at a place that depends on the id; a block starts with its id, so blocks differ from byte 0. */
const POOL_BYTES = 1 << 18;

export function createPromptText(options: PromptOptions): PromptText {
	const pool = createPool(new SeededRandom(options.seed ?? 1, 7));
	const cached = new Map<number, string>();
	const cachedMax = options.blocksCachedMax ?? 4096;
	const blockBytes = options.blockTokens * BYTES_PER_TOKEN;

	const blockText = (id: number): string => {
		const known = cached.get(id);
		if (known !== undefined) return known;
		const text = textOf(pool, `b${id.toString(36)} `, id, blockBytes);
		if (cached.size >= cachedMax) {
			const oldest = cached.keys().next();
			if (oldest.done !== true) cached.delete(oldest.value);
		}
		cached.set(id, text);
		return text;
	};

	return (request, ordinal) => {
		const bytes = request.inputTokens * BYTES_PER_TOKEN;
		if (request.blocks === undefined) return textOf(pool, `r${ordinal.toString(36)} `, ordinal, bytes);
		let text = '';
		for (const id of request.blocks) text += blockText(id);
		return text.length > bytes ? text.slice(0, bytes) : text.padEnd(bytes, ' ');
	};
}

/** Exactly `bytes` characters: `head`, then pool text from a place given by `id`, wrapping around. */
function textOf(pool: string, head: string, id: number, bytes: number): string {
	let text = head;
	let from = Math.imul(id % 0x1_0000_0000, 0x9e3779b9) >>> 14;
	while (text.length < bytes) {
		text += pool.slice(from, from + bytes - text.length);
		from = 0;
	}
	return text.slice(0, bytes);
}

/** Words of 2 to 9 letters, as a tokeniser of real text would like them. */
function createPool(random: Random): string {
	const letters = 'etaoinshrdlucmfwypvbgkjqxz';
	let pool = '';
	while (pool.length < POOL_BYTES) {
		const length = 2 + Math.floor(random.nextFloat() * 8);
		let word = '';
		for (let i = 0; i < length; i++) word += letters.charAt(Math.floor(random.nextFloat() ** 2 * letters.length));
		pool += `${word} `;
	}
	return pool.slice(0, POOL_BYTES);
}
