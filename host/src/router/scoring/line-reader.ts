// Owns lines of JSON as they come: whole lines out of parts of any size, each byte copied once at most and within a bound; and what one line of a stream of questions says. The
// body of the request it describes is not parsed here but handed on as it lies in the line.
import { BodyParts, tooFine } from '../body-parts.js';
import type { Refusal } from '../errors.js';
import { eachMember, type Span } from '../json-bytes.js';
import { ENVELOPE_BYTES_MAX } from './conversation.js';
import { field, type Json } from './http.js';
import type { DescribedRequest } from './scored-request.js';

const NEWLINE = 0x0a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export class LineReader {
	readonly #bytesMax: number;
	/** Of a line that is not whole: its only part, where that is all of it, or several. */
	#only: Buffer | undefined;
	#parts: BodyParts | undefined;
	#bytes = 0;

	constructor(bytesMax: number) {
		this.#bytesMax = bytesMax;
	}

	/** Bytes of a line that is not whole. */
	get partialBytes(): number {
		return this.#bytes;
	}

	/** The lines that are whole with these bytes, those with nothing in them left out; or why no more is read. */
	read(chunk: Buffer): readonly Buffer[] | Refusal {
		const lines: Buffer[] = [];
		let from = 0;
		for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
			const refusal = end > from ? this.#add(chunk.subarray(from, end), true) : undefined;
			if (refusal !== undefined) return refusal;
			const line = this.last();
			if (line !== undefined) lines.push(line);
			from = end + 1;
		}
		return this.#add(chunk.subarray(from), false) ?? lines;
	}

	/** What is here of a line is all of it; undefined for one with nothing in it. */
	last(): Buffer | undefined {
		if (this.#bytes === 0) return undefined;
		const line = this.#only ?? this.#parts?.whole(this.#bytes);
		this.#only = undefined;
		this.#parts = undefined;
		this.#bytes = 0;
		return line === undefined || isBlank(line) ? undefined : line;
	}

	/** Most lines come whole: only of those that do not parts are kept. */
	#add(part: Buffer, ends: boolean): Refusal | undefined {
		if (part.length === 0) return undefined;
		this.#bytes += part.length;
		if (this.#bytes > this.#bytesMax)
			return { code: 'IM_REQUEST_BODY_SIZE', message: `A line is larger than ${this.#bytesMax} bytes.` };
		if (ends && this.#parts === undefined) {
			this.#only = part;
			return undefined;
		}
		this.#parts ??= new BodyParts();
		this.#parts.add(part);
		return tooFine(this.#bytes, this.#parts.added, 0);
	}
}

/** The caller's own, given back in the answer. */
export type LineId = string | number | undefined;

/** What a line says: a request to decide for, a report, or what is wrong with it. */
export type Line = { readonly id: LineId } & (
	| { readonly request: DescribedRequest }
	| { readonly report: Json }
	| { readonly refusal: Refusal }
);

const MEMBERS_MAX = 32;
const ID_CHARS_MAX = 128;
const PATH_CHARS_MAX = 4096;
const notJson: Refusal = { code: 'IM_REQUEST_JSON' };

/** Reads a line. One with `decision` is a report, any other describes a request. */
export function readLine(line: Buffer): Line {
	const members = membersOf(line);
	if (members === undefined) return { id: undefined, refusal: notJson };
	const value = (name: string): unknown => small(line, members.get(name));
	const id = value('id');
	if (id !== undefined && !isLineId(id))
		return { id: undefined, refusal: field('id', `a number, or a text of at most ${ID_CHARS_MAX} characters`) };
	if (members.has('decision')) {
		const report = small(line, { start: 0, end: line.length });
		return typeof report === 'object' ? { id, report: report as Json } : { id, refusal: notJson };
	}
	const path = value('path');
	if (typeof path !== 'string' || path.length > PATH_CHARS_MAX)
		return { id, refusal: field('path', 'where the request would have been sent') };
	const headers = members.has('headers') ? value('headers') : {};
	if (!areHeaders(headers)) return { id, refusal: field('headers', 'an object of texts') };
	const body = bodyOf(line, members);
	return 'code' in body ? { id, refusal: body } : { id, request: { path, headers, body } };
}

/** Where the members of the line lie; undefined where it is no object, or has more of them than one has reason to. */
function membersOf(line: Buffer): ReadonlyMap<string, Span> | undefined {
	const open = skipBlank(line, 0);
	if (line[open] !== OPEN_BRACE) return undefined;
	const members = new Map<string, Span>();
	let seen = 0;
	let end = open + 1;
	eachMember(line, open, (name, span) => {
		members.set(name, span);
		end = span.end;
		return ++seen < MEMBERS_MAX;
	});
	const close = skipBlank(line, end);
	return line[close] === CLOSE_BRACE && skipBlank(line, close + 1) === line.length ? members : undefined;
}

/** The body as it lies in the line, or what `bodyBase64` stands for: bodies that are no JSON. */
function bodyOf(line: Buffer, members: ReadonlyMap<string, Span>): Buffer | Refusal {
	const plain = members.get('body');
	const encoded = members.get('bodyBase64');
	if ((plain === undefined) === (encoded === undefined))
		return field('body', 'the body of the request as JSON, or `bodyBase64` its bytes');
	if (plain !== undefined) return line.subarray(plain.start, plain.end);
	const { start, end } = encoded as Span;
	const text = line.toString('latin1', start + 1, end - 1);
	return line[start] === QUOTE && BASE64.test(text) ? Buffer.from(text, 'base64') : field('bodyBase64', 'base64');
}

const QUOTE = 0x22;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** A value that is small, parsed; undefined for one that is not there, not small, or no JSON. */
function small(line: Buffer, span: Span | undefined): unknown {
	if (span === undefined || span.end - span.start > ENVELOPE_BYTES_MAX) return undefined;
	try {
		return JSON.parse(line.toString('utf8', span.start, span.end)) ?? undefined;
	} catch {
		return undefined;
	}
}

function isLineId(value: unknown): value is string | number {
	return typeof value === 'number' || (typeof value === 'string' && value.length <= ID_CHARS_MAX);
}

function areHeaders(value: unknown): value is Readonly<Record<string, string>> {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
	return Object.values(value).every((one) => typeof one === 'string');
}

function isBlank(line: Buffer): boolean {
	return skipBlank(line, 0) === line.length;
}

function skipBlank(line: Buffer, from: number): number {
	let at = from;
	while (line[at] === 0x20 || line[at] === 0x0d || line[at] === 0x09) at++;
	return at;
}
