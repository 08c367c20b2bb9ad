// Owns how text becomes tokens in an emulated engine: 4 UTF-8 bytes a token, everywhere. A token id is its bytes as a
// little-endian number, so a prompt sent as text and one sent as its token ids are the same prompt.
import { hashByteBlocks } from '../model/block-hash.js';

export const TOKEN_BYTES = 4;

/** A prompt as the engine sees it. */
export interface Prompt {
	readonly bytes: Uint8Array;
	/** At least 1: an empty prompt still has a start token. */
	readonly tokens: number;
}

const encoder = new TextEncoder();

export function promptFromText(text: string): Prompt {
	const bytes = encoder.encode(text);
	return { bytes, tokens: tokenCount(bytes.length) };
}

/** `ids` are unsigned 32-bit integers. */
export function promptFromIds(ids: readonly number[]): Prompt {
	const bytes = new Uint8Array(ids.length * TOKEN_BYTES);
	const view = new DataView(bytes.buffer);
	for (const [i, id] of ids.entries()) view.setUint32(i * TOKEN_BYTES, id, true);
	return { bytes, tokens: Math.max(1, ids.length) };
}

export function tokenCount(bytes: number): number {
	return Math.max(1, Math.ceil(bytes / TOKEN_BYTES));
}

/** The token ids of a prompt; a last partial token is padded with zero bytes. */
export function tokenIds(prompt: Prompt): number[] {
	const padded = new Uint8Array(prompt.tokens * TOKEN_BYTES);
	padded.set(prompt.bytes);
	const view = new DataView(padded.buffer);
	return Array.from({ length: prompt.tokens }, (_, i) => view.getUint32(i * TOKEN_BYTES, true));
}

/** Chained hashes of the KV blocks of a prompt and the text that will follow it. `salt` keeps tenants apart. */
export function sequenceHashes(prompt: Prompt, output: string, blockTokens: number, salt: number): Uint32Array {
	return hashByteBlocks(sequenceBytes(prompt, output), blockTokens * TOKEN_BYTES, salt);
}

/** The token ids of a prompt and the text that will follow it, as far as they are whole. */
export function sequenceTokens(prompt: Prompt, output: string): Uint32Array {
	const bytes = sequenceBytes(prompt, output);
	const view = new DataView(bytes.buffer);
	return Uint32Array.from({ length: bytes.length >>> 2 }, (_, at) => view.getUint32(at * TOKEN_BYTES, true));
}

function sequenceBytes(prompt: Prompt, output: string): Uint8Array {
	const tail = encoder.encode(output);
	const bytes = new Uint8Array(prompt.bytes.length + tail.length);
	bytes.set(prompt.bytes);
	bytes.set(tail, prompt.bytes.length);
	return bytes;
}

/** A 32-bit hash of any bytes: the seed of an answer where the request gives none, and the salt of a named cache. */
export function contentSeed(bytes: Uint8Array): number {
	const padded = new Uint8Array(Math.ceil((bytes.length + 1) / TOKEN_BYTES) * TOKEN_BYTES);
	padded.set(bytes);
	padded[bytes.length] = 0x80;
	return hashByteBlocks(padded, padded.length)[0] ?? 0;
}

export function textSeed(text: string): number {
	return contentSeed(encoder.encode(text));
}
