// Owns what is done to JSON as bytes: checking that it is no bomb before it is parsed, and replacing one top-level value in place, so that
// everything a client wrote reaches the engine as written. Functions other than `isTame` and `eachMember` trust their
// input to have been parsed.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** False when the text nests deeper, or opens more objects and arrays, than a request has reason to. One pass, no allocation. */
export function isTame(body: Uint8Array, depthMax: number, containersMax: number): boolean {
	let depth = 0;
	let containers = 0;
	for (let at = 0; at < body.length; at++) {
		const byte = body[at];
		if (byte === QUOTE) at = closingQuote(body, at + 1);
		else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
			depth++;
			containers++;
			if (depth > depthMax || containers > containersMax) return false;
		} else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
	}
	return true;
}

/** Bytes of a string that are read one by one before the end of it is searched for: most are short, and a search has its price. */
const STEPS_BEFORE_SEARCH = 64;

/** Offset of the quote that ends the string whose text begins at `from`, or the end of the text. Prompts are long strings: they are searched, not read. */
export function closingQuote(body: Uint8Array, from: number): number {
	for (let at = from; at < body.length; ) {
		const near = Math.min(body.length, at + STEPS_BEFORE_SEARCH);
		for (; at < near; at++) {
			const byte = body[at];
			if (byte === BACKSLASH) at++;
			else if (byte === QUOTE) return at;
		}
		// Between two escaped quotes lies a stretch read by steps, so that text full of them does not cost a search each.
		const quote = body.indexOf(QUOTE, at);
		if (quote < 0) return body.length;
		let slashes = quote;
		while (slashes > at && body[slashes - 1] === BACKSLASH) slashes--;
		if (((quote - slashes) & 1) === 0) return quote;
		at = quote + 1;
	}
	return body.length;
}

export interface Span {
	readonly start: number;
	readonly end: number;
}

/** Where the value of a top-level key stands: the last one, as that is the one parsers keep. Undefined when there is none. */
export function topLevelValue(body: Buffer, key: string): Span | undefined {
	let found: Span | undefined;
	let at = body.indexOf(OPEN_BRACE) + 1;
	for (;;) {
		at = skipSpace(body, at);
		if (body[at] !== QUOTE) return found;
		const keyEnd = stringEnd(body, at);
		const name = JSON.parse(body.toString('utf8', at, keyEnd)) as string;
		const start = skipSpace(body, skipTo(body, keyEnd, COLON) + 1);
		const end = valueEnd(body, start);
		if (name === key) found = { start, end };
		at = skipSpace(body, end);
		if (body[at] !== COMMA) return found;
		at++;
	}
}

/**
 * Shows where the values of an object's own members stand; the object opens at `open`. The text need be neither whole nor sound: what cannot be read ends
 * it, and names are as written, escapes and all. `see` may stop it with false.
 */
export function eachMember(body: Buffer, open: number, see: (name: string, value: Span) => unknown): void {
	let at = open + 1;
	for (;;) {
		at = skipSpace(body, at);
		if (body[at] !== QUOTE) return;
		const keyEnd = stringEnd(body, at);
		const colon = skipSpace(body, keyEnd);
		if (body[colon] !== COLON) return;
		const start = skipSpace(body, colon + 1);
		if (start >= body.length) return;
		const end = valueEnd(body, start);
		if (see(body.toString('utf8', at + 1, keyEnd - 1), { start, end }) === false) return;
		at = skipSpace(body, end);
		if (body[at] !== COMMA) return;
		at++;
	}
}

/** What becomes of a member of an object that lies `depth` objects deep: `enter` looks into its value, where that is an object. */
export type MemberEdit = (name: string, depth: number) => 'keep' | 'drop' | 'enter';

/** The object that opens first in `body`, with members left out, every time they stand in it; `body` itself when there are none. What is kept stays as it was written. */
export function withoutMembers(body: Buffer, edit: MemberEdit, depth = 0): Buffer {
	const kept: Buffer[] = [];
	let changed = false;
	let at = body.indexOf(OPEN_BRACE) + 1;
	for (;;) {
		at = skipSpace(body, at);
		if (body[at] !== QUOTE) break;
		const keyEnd = stringEnd(body, at);
		const start = skipSpace(body, skipTo(body, keyEnd, COLON) + 1);
		const end = valueEnd(body, start);
		const what = edit(JSON.parse(body.toString('utf8', at, keyEnd)) as string, depth);
		const value = body.subarray(start, end);
		const left = what === 'enter' && body[start] === OPEN_BRACE ? withoutMembers(value, edit, depth + 1) : value;
		if (what !== 'drop') kept.push(kept.length === 0 ? OPEN : NEXT, body.subarray(at, start), left);
		changed ||= what === 'drop' || left !== value;
		at = skipSpace(body, end);
		if (body[at] !== COMMA) break;
		at++;
	}
	if (!changed) return body;
	if (kept.length === 0) kept.push(OPEN);
	return Buffer.concat([...kept, CLOSE]);
}

const OPEN = Buffer.from('{');
const NEXT = Buffer.from(',');
const CLOSE = Buffer.from('}');

/** `body` with the bytes of `span` replaced. */
export function replaceSpan(body: Buffer, span: Span, text: string): Buffer {
	return Buffer.concat([body.subarray(0, span.start), Buffer.from(text), body.subarray(span.end)]);
}

/** `body`, an object, with a member put first. The text is `"key":value`. */
export function prependMember(body: Buffer, text: string): Buffer {
	const at = body.indexOf(OPEN_BRACE) + 1;
	const more = body[skipSpace(body, at)] === CLOSE_BRACE ? '' : ',';
	return Buffer.concat([body.subarray(0, at), Buffer.from(`${text}${more}`), body.subarray(at)]);
}

function skipSpace(body: Buffer, from: number): number {
	let at = from;
	while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at++;
	return at;
}

function skipTo(body: Buffer, from: number, byte: number): number {
	return body.indexOf(byte, from);
}

/** Offset just past the closing quote of the string that opens at `open`. */
function stringEnd(body: Buffer, open: number): number {
	let at = open + 1;
	for (;;) {
		const quote = body.indexOf(QUOTE, at);
		let slashes = 0;
		while (body[quote - 1 - slashes] === BACKSLASH) slashes++;
		if (quote < 0 || slashes % 2 === 0) return quote < 0 ? body.length : quote + 1;
		at = quote + 1;
	}
}

function valueEnd(body: Buffer, start: number): number {
	const first = body[start];
	if (first === QUOTE) return stringEnd(body, start);
	let depth = 0;
	for (let at = start; at < body.length; at++) {
		const byte = body[at];
		if (byte === QUOTE) at = stringEnd(body, at) - 1;
		else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
		else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
			if (depth === 0) return at;
			depth--;
			if (depth === 0) return at + 1;
		} else if (depth === 0 && (byte === COMMA || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09))
			return at;
	}
	return body.length;
}
