// Owns reading token usage out of response bytes without parsing the response: finding the `usage` object near the end of a body or inside
// one event, and turning it into three counts, whatever an engine calls them. Engines' numbers are checked; what is not a count is 0.

import type { ResponseHeaders } from './upstream/response-parser.js';
import { header } from './upstream-response.js';

export interface Usage {
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly tokensCached: number;
	/** The engine says how much it had cached; many do not. */
	readonly tellsCached: boolean;
}

const COLON = 0x3a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const USAGE_BYTES_MAX = 4096;
const keys = new Map<string, Buffer>();
const USAGE = usageKey('usage');

/** The key of a usage object as it stands in JSON. Names come from dialects, so they are few. */
export function usageKey(name: string): Buffer {
	let key = keys.get(name);
	if (key === undefined) keys.set(name, (key = Buffer.from(`"${name}"`)));
	return key;
}

/** Offset of the `{` of a usage object at or after `from`, or -1. Inside generated text the key's quotes are escaped, so it cannot be forged. */
export function findUsage(bytes: Buffer, from: number, key = USAGE): number {
	for (let at = bytes.indexOf(key, from); at >= 0; at = bytes.indexOf(key, at + key.length)) {
		const open = usageObject(bytes, at + key.length);
		if (open >= 0) return open;
	}
	return -1;
}

/** The last usage object of a body, read. */
export function usageInTail(bytes: Buffer, key = USAGE): Usage | undefined {
	for (let at = bytes.lastIndexOf(key); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(key, at - 1)) {
		const open = usageObject(bytes, at + key.length);
		if (open >= 0) return readUsage(bytes, open);
	}
	return undefined;
}

/** Reads the usage object that opens at `open`. Undefined when it is cut off or no JSON. */
export function readUsage(bytes: Buffer, open: number): Usage | undefined {
	const end = objectEnd(bytes, open);
	if (end < 0) return undefined;
	try {
		const usage = JSON.parse(bytes.toString('utf8', open, end)) as Readonly<Record<string, unknown>>;
		const details = (usage['prompt_tokens_details'] ?? usage['input_tokens_details']) as
			| Readonly<Record<string, unknown>>
			| null
			| undefined;
		// Anthropic counts what it reads from its cache, and what it writes to it, apart.
		const read = usage['cache_read_input_tokens'];
		const cached = read ?? details?.['cached_tokens'] ?? usage['cached_tokens'];
		return {
			tokensIn:
				count(usage['prompt_tokens'] ?? usage['input_tokens']) +
				count(read) +
				count(usage['cache_creation_input_tokens']),
			tokensOut: count(usage['completion_tokens'] ?? usage['output_tokens'] ?? usage['generated_tokens']),
			tokensCached: count(cached),
			tellsCached: typeof cached === 'number',
		};
	} catch {
		return undefined;
	}
}

/** What two reports on one request say together: some streams tell of the input first and of the output last. */
export function mergeUsage(before: Usage | undefined, after: Usage): Usage {
	if (before === undefined) return after;
	return {
		tokensIn: after.tokensIn || before.tokensIn,
		tokensOut: after.tokensOut || before.tokensOut,
		tokensCached: after.tokensCached || before.tokensCached,
		tellsCached: after.tellsCached || before.tellsCached,
	};
}

/** Counts that an engine puts in headers; undefined when it does not. */
export function usageInHeaders(
	response: { readonly headers: ResponseHeaders },
	names: readonly [tokensIn: string, tokensOut: string] | undefined,
): Usage | undefined {
	const tokensIn = names === undefined ? undefined : header(response, names[0]);
	const tokensOut = names === undefined ? undefined : header(response, names[1]);
	if (tokensIn === undefined || tokensOut === undefined) return undefined;
	return {
		tokensIn: count(Number(tokensIn)),
		tokensOut: count(Number(tokensOut)),
		tokensCached: 0,
		tellsCached: false,
	};
}

function count(value: unknown): number {
	return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

/** Offset of the `{` that follows the key that ends at `end`, or -1 when its value is null or something else. */
function usageObject(bytes: Buffer, end: number): number {
	let next = end;
	while (isSpace(bytes[next])) next++;
	if (bytes[next] !== COLON) return -1;
	next++;
	while (isSpace(bytes[next])) next++;
	return bytes[next] === OPEN_BRACE ? next : -1;
}

function isSpace(byte: number | undefined): boolean {
	return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function objectEnd(bytes: Buffer, open: number): number {
	let depth = 0;
	let inString = false;
	const to = Math.min(bytes.length, open + USAGE_BYTES_MAX);
	for (let at = open; at < to; at++) {
		const byte = bytes[at];
		if (inString) {
			if (byte === BACKSLASH) at++;
			else if (byte === QUOTE) inString = false;
		} else if (byte === QUOTE) inString = true;
		else if (byte === OPEN_BRACE) depth++;
		else if (byte === CLOSE_BRACE) {
			depth--;
			if (depth === 0) return at + 1;
		}
	}
	return -1;
}
