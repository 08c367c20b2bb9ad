// Owns the scratch buffer in which the prompt of the request at hand is laid out, text as UTF-8 and token ids as words, for hashing and for the count of tokens. One
// per router, valid within one tick. What is beyond the bound is counted but not kept. Strings and ids that were taken out of the body before it was parsed come as their bytes.
import { type IdBytes, layIds } from './id-bytes.js';
import { isId } from './long-ids.js';
import { type LongStrings, unescapeJson } from './long-strings.js';

const BACKSLASH = 0x5c;
const INITIAL_BYTES = 64 * 1024;
const ID_BYTES = 4;
/** UTF-8 bytes taken for one token where no tokeniser is configured. */
export const BYTES_PER_TOKEN = 4;

export class PromptBuffer {
	readonly #bytesMax: number;
	readonly #longs: LongStrings | undefined;
	#buffer: Buffer;
	#used = 0;
	#textBytes = 0;
	#extraTokens = 0;
	/** Lists of ids laid out, those kept of the last one, and where they begin. */
	#lists = 0;
	#idsKept = 0;
	#idsAt = 0;

	constructor(bytesMax: number, longs?: LongStrings) {
		this.#bytesMax = bytesMax;
		this.#longs = longs;
		this.#buffer = Buffer.allocUnsafe(Math.min(INITIAL_BYTES, bytesMax));
	}

	reset(): void {
		this.#used = 0;
		this.#textBytes = 0;
		this.#extraTokens = 0;
		this.#lists = 0;
		this.#idsKept = 0;
	}

	/** The bytes kept; valid until the next append. */
	get bytes(): Uint8Array {
		return this.#buffer.subarray(0, this.#used);
	}

	/** Prompt tokens: text at 4 bytes a token, and ids as they are. */
	get tokens(): number {
		return Math.ceil(this.#textBytes / BYTES_PER_TOKEN) + this.#extraTokens;
	}

	/** A separator between parts; part of what is hashed, not of the estimate. */
	mark(byte: number): void {
		if (!this.#room(1)) return;
		this.#buffer[this.#used] = byte;
		this.#used++;
	}

	text(text: string): void {
		if (this.#longs?.has(text) === true) this.#escaped(this.#longs.bytes(text));
		else this.#plain(text);
	}

	/** Text that comes as UTF-8. */
	utf8(bytes: Buffer): void {
		this.#bytes(bytes);
	}

	/** A value as JSON. */
	json(value: unknown): void {
		const json = JSON.stringify(value);
		const longs = this.#longs;
		if (longs === undefined || longs.count === 0) return this.#plain(json);
		for (const part of longs.parts(json)) {
			if (longs.has(part)) this.#bytes(longs.bytes(part));
			else this.#plain(part);
		}
	}

	/** Length and first `chars` of a text that is known by these, and not kept. */
	head(text: string, chars: number): string {
		if (this.#longs?.has(text) !== true) return `${text.length}:${text.slice(0, chars)}`;
		const bytes = this.#longs.bytes(text);
		return `${bytes.length}:${bytes.toString('latin1', 0, chars)}`;
	}

	/** Tokens that stand for something other than text. */
	count(tokens: number): void {
		this.#extraTokens += tokens;
	}

	/** A prompt, or one of several, given as token ids. */
	ids(ids: readonly unknown[]): void {
		const kept = this.#list(ids.length, ids.length);
		for (let at = 0; at < kept; at++) {
			const id = ids[at];
			// A list with anything else in it is counted, and known by its ids as far as they are some.
			if (!isId(id)) this.manyLists();
			this.#used = this.#buffer.writeUInt32LE(typeof id === 'number' ? id >>> 0 : 0, this.#used);
		}
	}

	/** Whether a text stands for a list of ids that was taken out of the body. */
	standsForIds(text: string): boolean {
		return this.#longs !== undefined && this.#longs.ids(text) > 0;
	}

	/** The same where they were taken out of the body before it was parsed; false when `text` stands for none. */
	longIds(text: string): boolean {
		const longs = this.#longs;
		if (longs === undefined || !this.standsForIds(text)) return false;
		const words = longs.words(text);
		const kept = this.#list(longs.ids(text), words.length);
		const bytes = new Uint8Array(words.buffer, words.byteOffset, kept * ID_BYTES);
		this.#buffer.set(bytes, this.#used);
		this.#used += bytes.length;
		return true;
	}

	/** The same where they are bytes of a tensor. */
	idBytes(ids: IdBytes): void {
		const room = this.#list(ids.count, ids.count);
		const { count, sound } = layIds(ids, this.#buffer, this.#used, room);
		this.#idsKept = count;
		this.#used += count * ID_BYTES;
		if (!sound || ids.rows > 1) this.manyLists();
	}

	/** What is laid out as one list are several prompts, or no ids alone: it has no one list of ids to be known by. */
	manyLists(): void {
		this.#lists = Number.POSITIVE_INFINITY;
	}

	/** The ids where they are all of the prompt, as many as were kept of them; undefined for text, for several prompts, and for none. */
	exactIds(): Uint32Array | undefined {
		if (this.#lists !== 1 || this.#textBytes > 0 || this.#idsKept === 0) return undefined;
		const ids = new Uint32Array(this.#idsKept);
		const from = this.#buffer.byteOffset + this.#idsAt;
		new Uint8Array(ids.buffer).set(new Uint8Array(this.#buffer.buffer, from, ids.byteLength));
		return ids;
	}

	/** Begins a list of `count` ids, of which the first `known` are at hand; returns how many of these there is room for. */
	#list(count: number, known: number): number {
		this.#extraTokens += count;
		this.#lists++;
		this.#room(known * ID_BYTES);
		this.#idsAt = this.#used;
		this.#idsKept = Math.min(known, Math.floor((this.#buffer.length - this.#used) / ID_BYTES));
		return this.#idsKept;
	}

	#plain(text: string): void {
		// A UTF-16 unit is at most three bytes of UTF-8; only long texts are measured exactly.
		const roomy = this.#used + text.length * 3 <= this.#buffer.length;
		if (!roomy) {
			const bytes = Buffer.byteLength(text);
			this.#room(bytes);
			this.#textBytes += bytes;
			this.#used += this.#buffer.write(text, this.#used, 'utf8');
			return;
		}
		const written = this.#buffer.write(text, this.#used, 'utf8');
		this.#used += written;
		this.#textBytes += written;
	}

	#bytes(bytes: Buffer): void {
		this.#room(bytes.length);
		this.#textBytes += bytes.length;
		this.#used += bytes.copy(this.#buffer, this.#used);
	}

	#escaped(escaped: Buffer): void {
		if (!escaped.includes(BACKSLASH)) return this.#bytes(escaped);
		this.#room(escaped.length);
		const kept = escaped.subarray(0, this.#buffer.length - this.#used);
		const end = unescapeJson(kept, this.#buffer, this.#used);
		// Of what is beyond the bound escapes count as they stand.
		this.#textBytes += end - this.#used + escaped.length - kept.length;
		this.#used = end;
	}

	/** Grows towards the bound; false when `bytes` more do not fit. */
	#room(bytes: number): boolean {
		const wanted = this.#used + bytes;
		if (wanted <= this.#buffer.length) return true;
		const size = Math.min(this.#bytesMax, Math.max(wanted, this.#buffer.length * 2));
		if (size > this.#buffer.length) {
			const larger = Buffer.allocUnsafe(size);
			this.#buffer.copy(larger, 0, 0, this.#used);
			this.#buffer = larger;
		}
		return wanted <= this.#buffer.length;
	}
}
