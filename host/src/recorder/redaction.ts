// Owns what becomes of the hashes of sessions and prompts on their way to the disk: a keyed hash in their place, nothing, or they themselves. The key is
// drawn for each recording and kept nowhere, so equal sessions stay equal within it and nobody can test a guess against it.
import { createHash } from 'node:crypto';
import { REQUEST_PROMPT_HASH_WORD, REQUEST_SESSION_WORD } from '@infermesh/sdk';
import type { HashMode } from './entries.js';
import { D, Flag, REQUEST_WORDS } from './layout.js';

/** Salted values kept at hand; a conversation asks for its own again and again. */
const KNOWN_MAX = 8192;

export class Redaction {
	readonly mode: HashMode;
	readonly #key: Uint8Array;
	readonly #known = new Map<number, readonly [low: number, high: number]>();
	readonly #input = Buffer.alloc(8);

	/** `key`: at least 16 random bytes. */
	constructor(mode: HashMode, key: Uint8Array) {
		this.mode = mode;
		this.#key = key;
	}

	/** Redacts the decision whose payload begins at `at`, in place. */
	decision(words: Uint32Array, at: number, blocks: number, blocksAt: number): void {
		if (this.mode === 'kept') return;
		const request = at + D.words;
		let redacted = this.#pair(words, request + REQUEST_SESSION_WORD);
		redacted = this.#pair(words, request + REQUEST_PROMPT_HASH_WORD) || redacted;
		for (let i = 0; i < blocks; i++) this.#pair(words, blocksAt + 2 * i);
		if (redacted) words[at + D.flags] = (words[at + D.flags] as number) | Flag.redacted;
	}

	/** True when there was something to redact. */
	#pair(words: Uint32Array, at: number): boolean {
		const low = words[at] as number;
		const high = words[at + 1] as number;
		if (low === 0 && high === 0) return false;
		const [to, toHigh] = this.mode === 'dropped' ? [0, 0] : this.#salted(low, high);
		words[at] = to;
		words[at + 1] = toHigh;
		return true;
	}

	#salted(low: number, high: number): readonly [low: number, high: number] {
		// 2^53 names enough pairs for a cache: one that is taken for another costs nothing but an equality that was not there.
		const name = (high & 0x1f_ffff) * 0x1_0000_0000 + low;
		const known = this.#known.get(name);
		if (known !== undefined) return known;
		this.#input.writeUInt32LE(low, 0);
		this.#input.writeUInt32LE(high, 4);
		const digest = createHash('sha256').update(this.#key).update(this.#input).digest();
		const salted = [digest.readUInt32LE(0) || 1, digest.readUInt32LE(4)] as const;
		if (this.#known.size >= KNOWN_MAX) this.#known.clear();
		this.#known.set(name, salted);
		return salted;
	}
}

/** Where the hashes of a decision's prompt blocks begin, by its own counts. */
export function blocksAt(words: Uint32Array, at: number): { readonly count: number; readonly at: number } {
	const answer = words[at + D.answer] as number;
	const rows = (answer >>> 16) & 0xff;
	const inputs = words[at + D.inputs] as number;
	const extras = words[at + D.extras] as number;
	const factors = rows * (extras & 0xff);
	return {
		count: extras >>> 8,
		at: at + D.words + REQUEST_WORDS + 2 * rows + factors + (inputs & 0xffff) + 4 * (inputs >>> 16),
	};
}
