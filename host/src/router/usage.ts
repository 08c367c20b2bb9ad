// Owns reading token usage out of response bytes without parsing the response: finding the `usage` object near the end of a body or inside
// one event, and turning it into three counts. Engines' numbers are checked; what is not a count is 0.

export interface Usage {
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly tokensCached: number;
	/** The engine says how much it had cached; many do not. */
	readonly tellsCached: boolean;
}

const KEY = Buffer.from('"usage"');
const COLON = 0x3a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const USAGE_BYTES_MAX = 4096;

/** Offset of the `{` of a usage object at or after `from`, or -1. Inside generated text the key's quotes are escaped, so it cannot be forged. */
export function findUsage(bytes: Buffer, from: number): number {
	for (let at = bytes.indexOf(KEY, from); at >= 0; at = bytes.indexOf(KEY, at + KEY.length)) {
		const open = usageObject(bytes, at);
		if (open >= 0) return open;
	}
	return -1;
}

/** The last usage object of a body, read. */
export function usageInTail(bytes: Buffer): Usage | undefined {
	for (let at = bytes.lastIndexOf(KEY); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(KEY, at - 1)) {
		const open = usageObject(bytes, at);
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
		const details = usage['prompt_tokens_details'] as Readonly<Record<string, unknown>> | null | undefined;
		return {
			tokensIn: count(usage['prompt_tokens'] ?? usage['input_tokens']),
			tokensOut: count(usage['completion_tokens'] ?? usage['output_tokens']),
			tokensCached: count(details?.['cached_tokens']),
			tellsCached: typeof details?.['cached_tokens'] === 'number',
		};
	} catch {
		return undefined;
	}
}

function count(value: unknown): number {
	return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

/** Offset of the `{` that follows the key at `at`, or -1 when its value is null or something else. */
function usageObject(bytes: Buffer, at: number): number {
	let next = at + KEY.length;
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
