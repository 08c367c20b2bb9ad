// Owns the long strings and lists of token ids of a request body while it is read: they are taken out of the JSON before it is parsed, each leaving a short mark, and
// stay bytes. Prompts are nearly all of a body; as JavaScript strings and arrays they would be copied, unescaped and encoded again only to be hashed. Only values within the
// members that hold the prompt are taken: whatever else is read of a body is as the client wrote it. One body at a time, within one tick.
import type { Random } from '@infermesh/proto';
import { closingQuote } from './json-bytes.js';
import { readIds } from './long-ids.js';

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const BACKSLASH = 0x5c;

/** Bodies below it are parsed as they are: there is little to save. */
const BODY_BYTES_MIN = 8 * 1024;
/** Strings of at least this many bytes are taken; a mark and its look-up cost less than parsing so many. */
const STRING_BYTES_MIN = 1024;
const NAME_BYTES_MAX = 64;
const INDEX_DIGITS = 8;
const IDS_MAX = 128 * 1024;

/** How deep lists of token ids may lie in a body: a member's value, or one of a list of lists; the data of one of a list of tensors, or one of a list of lists there. */
export const IDS_DEPTH = { none: 0, lists: 2, tensors: 4 } as const;

/** Members of a body that hold the prompt, and how deep lists of token ids are taken from them as well as strings; 0 = not at all. */
export type PromptMembers = ReadonlyMap<string, number>;

const NOTHING = Buffer.alloc(0);

export class LongStrings {
	readonly #mark: string;
	readonly #chars: number;
	#body: Buffer = NOTHING;
	#starts: number[] = [];
	#ends: number[] = [];
	/** Ids of each that is a list of them, 0 = it is a string, and where among those of the body they begin. */
	#ids: number[] = [];
	#idsAt: number[] = [];
	/** Of all ids of the body as many as prompts are known by. Made for the first list there is. */
	#words = new Uint32Array(0);
	#wordsUsed = 0;
	/** Lists are of tensors, of which any one may be the prompt: one that found no room for its words beside others, as beside a mask, is read again. */
	#ofTensors = false;
	/** It was: of other lists nothing is kept any more. */
	#reread = false;
	readonly #wordsMax: number;

	/**
	 * The mark is drawn, so that no text is one by chance. A client that guessed it would only have its own prompt hashed otherwise. `idsMax`: token ids kept of a body;
	 * what is beyond is counted.
	 */
	constructor(random: Random, idsMax = IDS_MAX) {
		this.#wordsMax = idsMax;
		this.#mark = `im${hex(random.nextU32())}${hex(random.nextU32())}`;
		this.#chars = this.#mark.length + INDEX_DIGITS;
	}

	/** Strings and lists taken out of the body at hand. */
	get count(): number {
		return this.#starts.length;
	}

	/** `body`, with the long strings and lists under its top-level `members` replaced by marks; itself when it has none. What is no JSON is not made any. */
	take(body: Buffer, members: PromptMembers): Buffer {
		this.forget();
		if (body.length < BODY_BYTES_MIN || members.size === 0) return body;
		this.#body = body;
		this.#find(body, members);
		return this.count === 0 ? body : this.#marked(body);
	}

	/** Lets go of the body: marks mean nothing any more. */
	forget(): void {
		this.#body = NOTHING;
		this.#starts.length = 0;
		this.#ends.length = 0;
		this.#ids.length = 0;
		this.#idsAt.length = 0;
		this.#wordsUsed = 0;
		this.#ofTensors = false;
		this.#reread = false;
	}

	/** Whether a parsed string stands for one that was taken. */
	has(text: string): boolean {
		return (
			this.count > 0 && text.length === this.#chars && text.startsWith(this.#mark) && this.#index(text) < this.count
		);
	}

	/** How many token ids a mark stands for; 0 for a string, and for what is no mark. */
	ids(text: string): number {
		return this.has(text) ? (this.#ids[this.#index(text)] as number) : 0;
	}

	/** Those of them that are kept; valid until words are asked for again. */
	words(text: string): Uint32Array {
		const index = this.#index(text);
		const count = this.#ids[index] as number;
		let at = this.#idsAt[index] as number;
		if (this.#ofTensors && (this.#reread || (at > 0 && at + count > this.#wordsMax))) {
			readIds(this.#body, this.#starts[index] as number, this.#words, 0);
			this.#reread = true;
			at = 0;
		}
		return this.#words.subarray(at, at + count);
	}

	/** The bytes a mark stands for, as the client wrote them: still escaped. */
	bytes(text: string): Buffer {
		const index = this.#index(text);
		return this.#body.subarray(this.#starts[index], this.#ends[index]);
	}

	/** JSON text with marks in it, in parts: text, then the mark of a string, and so on. */
	parts(json: string): string[] {
		const parts: string[] = [];
		let from = 0;
		for (let at = json.indexOf(this.#mark); at >= 0; at = json.indexOf(this.#mark, from)) {
			parts.push(json.slice(from, at), json.slice(at, at + this.#chars));
			from = at + this.#chars;
		}
		parts.push(json.slice(from));
		return parts;
	}

	#index(text: string): number {
		return Number(text.slice(this.#mark.length));
	}

	#find(body: Buffer, members: PromptMembers): void {
		let depth = 0;
		let isKey = false;
		let inPrompt = false;
		let idsDepth = 0;
		for (let at = 0; at < body.length; at++) {
			const byte = body[at];
			if (byte === QUOTE) {
				const end = closingQuote(body, at + 1);
				if (isKey) {
					isKey = false;
					const ids = end - at <= NAME_BYTES_MAX ? members.get(body.toString('latin1', at + 1, end)) : undefined;
					inPrompt = ids !== undefined;
					idsDepth = ids ?? 0;
				} else if (inPrompt && end - at > STRING_BYTES_MIN && end < body.length) this.#push(at + 1, end, 0);
				at = end;
			} else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
				const end = byte === OPEN_BRACKET && depth <= idsDepth ? this.#takeIds(body, at) : 0;
				if (end > 0) {
					this.#ofTensors = idsDepth === IDS_DEPTH.tensors;
					at = end - 1;
					continue;
				}
				depth++;
				isKey = depth === 1;
			} else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
			else if (byte === COMMA && depth === 1) {
				isKey = true;
				inPrompt = false;
				idsDepth = 0;
			}
		}
	}

	/** Where the list of ids that opens at `open` ends, taken if it is long; 0 when it is none. */
	#takeIds(body: Buffer, open: number): number {
		if (this.#words.length === 0) this.#words = new Uint32Array(this.#wordsMax);
		const ids = readIds(body, open, this.#words, this.#wordsUsed);
		if (ids === undefined) return 0;
		if (ids.end - open > STRING_BYTES_MIN) this.#push(open, ids.end, ids.count);
		return ids.end;
	}

	#push(start: number, end: number, ids: number): void {
		this.#starts.push(start);
		this.#ends.push(end);
		this.#ids.push(ids);
		this.#idsAt.push(this.#wordsUsed);
		this.#wordsUsed = Math.min(this.#wordsMax, this.#wordsUsed + ids);
	}

	#marked(body: Buffer): Buffer {
		let bytes = body.length;
		for (let index = 0; index < this.count; index++)
			bytes += this.#chars - ((this.#ends[index] as number) - (this.#starts[index] as number)) + this.#quotes(index);
		const marked = Buffer.allocUnsafe(bytes);
		let from = 0;
		let to = 0;
		for (let index = 0; index < this.count; index++) {
			to += body.copy(marked, to, from, this.#starts[index]);
			const mark = `${this.#mark}${String(index).padStart(INDEX_DIGITS, '0')}`;
			to += marked.write(this.#quotes(index) === 0 ? mark : `"${mark}"`, to, 'latin1');
			from = this.#ends[index] as number;
		}
		body.copy(marked, to, from);
		return marked;
	}

	/** Quotes that a mark brings: a list had none. */
	#quotes(index: number): number {
		return this.#ids[index] === 0 ? 0 : 2;
	}
}

function hex(word: number): string {
	return word.toString(16).padStart(8, '0');
}

/** Bytes between two escapes that are read one by one before the next is searched for. */
const STEPS_BEFORE_SEARCH = 128;
/** What `\` and a byte stand for: themselves, but for the few that JSON names. */
const LETTER_OF = Uint8Array.from({ length: 256 }, (_, byte) => {
	const named = 'bfnrt'.indexOf(String.fromCharCode(byte));
	return named < 0 ? byte : '\b\f\n\r\t'.charCodeAt(named);
});

/**
 * Writes what an escaped JSON text says to `into` from `at` on, as UTF-8, and returns where it ends. `into` has room for `escaped.length` bytes: no escape is
 * shorter than what it stands for. Of escapes that JSON does not have the text stands as it is, halves of a surrogate pair become U+FFFD.
 */
export function unescapeJson(escaped: Buffer, into: Buffer, at: number): number {
	let to = at;
	for (let from = 0; from < escaped.length; ) {
		const near = Math.min(escaped.length, from + STEPS_BEFORE_SEARCH);
		while (from < near) {
			const byte = escaped[from] as number;
			if (byte !== BACKSLASH) {
				into[to++] = byte;
				from++;
				continue;
			}
			const next = escaped[from + 1] as number;
			if (next === LETTER_U) {
				const unit = unitAt(escaped, from);
				const low = isHigh(unit) ? unitAt(escaped, from + ESCAPE_BYTES) : NO_UNIT;
				if (unit === NO_UNIT) {
					into[to++] = byte;
					from++;
				} else if (isLow(low)) {
					to = writeUtf8(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00), into, to);
					from += 2 * ESCAPE_BYTES;
				} else {
					to = writeUtf8(isHigh(unit) || isLow(unit) ? REPLACEMENT : unit, into, to);
					from += ESCAPE_BYTES;
				}
			} else {
				into[to++] = LETTER_OF[next] ?? BACKSLASH;
				from += 2;
			}
		}
		if (from >= escaped.length) break;
		const escape = escaped.indexOf(BACKSLASH, from);
		const end = escape < 0 ? escaped.length : escape;
		to += escaped.copy(into, to, from, end);
		from = end;
	}
	return to;
}

const LETTER_U = 0x75;
const ESCAPE_BYTES = 6;
const NO_UNIT = -1;
const REPLACEMENT = 0xfffd;
const isHigh = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;

/** The UTF-16 unit that `\uXXXX` at `at` stands for, or `NO_UNIT` when there is no such escape. */
function unitAt(escaped: Buffer, at: number): number {
	if (escaped[at] !== BACKSLASH || escaped[at + 1] !== LETTER_U) return NO_UNIT;
	let unit = 0;
	for (let digit = at + 2; digit < at + ESCAPE_BYTES; digit++) {
		const value = hexValue(escaped[digit] ?? 0);
		if (value < 0) return NO_UNIT;
		unit = unit * 16 + value;
	}
	return unit;
}

function hexValue(byte: number): number {
	if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
	const letter = byte | 0x20;
	return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}

function writeUtf8(point: number, into: Buffer, at: number): number {
	if (point < 0x80) {
		into[at] = point;
		return at + 1;
	}
	if (point < 0x800) {
		into[at] = 0xc0 | (point >> 6);
		into[at + 1] = 0x80 | (point & 0x3f);
		return at + 2;
	}
	if (point < 0x1_0000) {
		into[at] = 0xe0 | (point >> 12);
		into[at + 1] = 0x80 | ((point >> 6) & 0x3f);
		into[at + 2] = 0x80 | (point & 0x3f);
		return at + 3;
	}
	into[at] = 0xf0 | (point >> 18);
	into[at + 1] = 0x80 | ((point >> 12) & 0x3f);
	into[at + 2] = 0x80 | ((point >> 6) & 0x3f);
	into[at + 3] = 0x80 | (point & 0x3f);
	return at + 4;
}
