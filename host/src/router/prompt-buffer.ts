// Owns the scratch buffer in which the prompt of the request at hand is laid out as UTF-8, for hashing and for the token estimate. One per
// router, valid within one tick. Text beyond the bound is counted but not kept. Strings that were taken out of the body before it was parsed come as their bytes.
import { type LongStrings, unescapeJson } from './long-strings.js';

const BACKSLASH = 0x5c;
const INITIAL_BYTES = 64 * 1024;
/** UTF-8 bytes taken for one token where no tokeniser is configured. */
export const BYTES_PER_TOKEN = 4;

export class PromptBuffer {
	readonly #bytesMax: number;
	readonly #longs: LongStrings | undefined;
	#buffer: Buffer;
	#used = 0;
	#textBytes = 0;
	#extraTokens = 0;

	constructor(bytesMax: number, longs?: LongStrings) {
		this.#bytesMax = bytesMax;
		this.#longs = longs;
		this.#buffer = Buffer.allocUnsafe(Math.min(INITIAL_BYTES, bytesMax));
	}

	reset(): void {
		this.#used = 0;
		this.#textBytes = 0;
		this.#extraTokens = 0;
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

	/** A prompt given as token ids. */
	ids(ids: readonly unknown[]): void {
		this.#extraTokens += ids.length;
		for (const id of ids) {
			if (!this.#room(4)) return;
			this.#used = this.#buffer.writeUInt32LE(typeof id === 'number' ? id >>> 0 : 0, this.#used);
		}
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
