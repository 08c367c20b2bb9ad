// Owns cutting a server-sent event stream into events and telling what each means to a load generator, without decoding text.
// Leaves timing to the exchange. Invariant: memory is one incomplete event, at most `eventBytesMax`.

/** What one event of a completion stream is. */
export type StreamEvent =
	/** Carries generated text, reasoning or a tool call. */
	| 'token'
	/** Role only, keep-alive, finish reason. */
	| 'other'
	| 'usage'
	| 'error'
	| 'done';

/** Receives an event; `data` is its bytes (valid during the call only) for `usage` and `error`, which are worth parsing. */
export type EventSink = (event: StreamEvent, data: Buffer | undefined) => void;

export const EVENT_BYTES_MAX = 1_048_576;

const LF = 10;
const CR = 13;
const QUOTE = 34;
const COLON = 58;
const SPACE = 32;
const OPEN_BRACKET = 91;
const OPEN_BRACE = 123;

const DATA = Buffer.from('data:');
const DONE = Buffer.from('[DONE]');
const ERROR = Buffer.from('"error"');
const OBJECT = Buffer.from('"object"');
const USAGE = Buffer.from('"usage"');
const TEXT_KEYS = ['"content"', '"text"', '"reasoning_content"', '"reasoning"'].map((key) => Buffer.from(key));
const TOOL_CALLS = Buffer.from('"tool_calls"');

/** Incremental scanner of one response body. */
export class SseScanner {
	readonly #sink: EventSink;
	readonly #eventBytesMax: number;
	#rest: Buffer | undefined;
	#overflow = false;

	constructor(sink: EventSink, eventBytesMax = EVENT_BYTES_MAX) {
		this.#sink = sink;
		this.#eventBytesMax = eventBytesMax;
	}

	/** False once an event has passed the bound; the rest of the stream is then ignored. */
	get ok(): boolean {
		return !this.#overflow;
	}

	push(chunk: Buffer): void {
		if (this.#overflow) return;
		const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
		let from = skipBlankLines(bytes, 0);
		for (let end = eventEnd(bytes, from); end !== -1; end = eventEnd(bytes, from)) {
			this.#event(bytes, from, end);
			from = skipBlankLines(bytes, end);
		}
		const left = bytes.length - from;
		this.#overflow = left > this.#eventBytesMax;
		// A copy, so that an incomplete event does not keep its whole chunk alive.
		this.#rest = left === 0 || this.#overflow ? undefined : Buffer.from(bytes.subarray(from));
	}

	/** Takes what is left at the end of the body as an event: some servers leave out the last blank line. */
	end(): void {
		const rest = this.#rest;
		this.#rest = undefined;
		if (rest !== undefined) this.#event(rest, 0, rest.length);
	}

	#event(bytes: Buffer, from: number, end: number): void {
		const start = dataStart(bytes, from, end);
		if (start === -1) {
			this.#sink('other', undefined);
			return;
		}
		const data = bytes.subarray(start, end);
		const event = classify(data);
		this.#sink(event, event === 'error' ? data : undefined);
		// Usage comes in an event of its own, or on every token where a server reports it continuously.
		if (event !== 'error' && valueStart(data, USAGE) === OPEN_BRACE) this.#sink('usage', data);
	}
}

/** Offset just past the first line of a blank-line pair (LF LF or CRLF CRLF), or -1. */
function eventEnd(bytes: Buffer, from: number): number {
	for (let at = bytes.indexOf(LF, from); at !== -1; at = bytes.indexOf(LF, at + 1)) {
		const next = bytes[at + 1];
		if (next === LF) return at;
		if (next === CR && bytes[at + 2] === LF) return at;
	}
	return -1;
}

/** Offset of the payload of the event's `data:` line, or -1. */
function dataStart(bytes: Buffer, from: number, end: number): number {
	let at = from;
	while (at < end) {
		if (startsWith(bytes, at, DATA)) return skipSpaces(bytes, at + DATA.length);
		const lineEnd = bytes.indexOf(LF, at);
		if (lineEnd === -1 || lineEnd >= end) return -1;
		at = lineEnd + 1;
	}
	return -1;
}

function classify(data: Buffer): StreamEvent {
	if (data[0] === OPEN_BRACKET) return startsWith(data, 0, DONE) ? 'done' : 'other';
	if (carriesText(data) || valueStart(data, TOOL_CALLS) === OPEN_BRACKET) return 'token';
	const object = valueAt(data, OBJECT);
	const isError = valueStart(data, ERROR) === OPEN_BRACE || (object !== -1 && startsWith(data, object, ERROR));
	return isError ? 'error' : 'other';
}

/** Whether one of the text keys has a non-empty string. Quotes inside generated text are escaped, so a key cannot be forged by it. */
function carriesText(data: Buffer): boolean {
	for (const key of TEXT_KEYS) {
		const at = valueAt(data, key);
		if (at !== -1 && data[at] === QUOTE && data[at + 1] !== QUOTE) return true;
	}
	return false;
}

/** First byte of the value of `key`, or -1. */
function valueStart(data: Buffer, key: Buffer): number {
	const at = valueAt(data, key);
	return at === -1 ? -1 : (data[at] ?? -1);
}

function valueAt(data: Buffer, key: Buffer): number {
	const found = data.indexOf(key);
	if (found === -1) return -1;
	const colon = skipSpaces(data, found + key.length);
	return data[colon] === COLON ? skipSpaces(data, colon + 1) : -1;
}

function skipBlankLines(bytes: Buffer, from: number): number {
	let at = from;
	while (bytes[at] === LF || bytes[at] === CR) at++;
	return at;
}

function skipSpaces(bytes: Buffer, from: number): number {
	let at = from;
	while (bytes[at] === SPACE) at++;
	return at;
}

function startsWith(bytes: Buffer, at: number, prefix: Buffer): boolean {
	for (let i = 0; i < prefix.length; i++) if (bytes[at + i] !== prefix[i]) return false;
	return true;
}
