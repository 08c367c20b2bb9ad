// Owns the reading of HTTP/1.1 responses from bytes (RFC 9112): pure, no socket. What two readers could understand differently is refused, not
// guessed at: an upstream must not be able to make the end of one response the beginning of another client's.
import { UpstreamFault } from './faults.js';
import { BAD_VALUE, fieldName } from './syntax.js';

/** Names in lower case, fields that were repeated as lists. */
export type ResponseHeaders = Record<string, string | string[] | undefined>;

export interface ResponseSink {
	/** Status and headers; interim (1xx) responses are passed over. */
	onHead(status: number, headers: ResponseHeaders): void;
	/** Bytes of the body: a view of what was pushed, or a copy, as the parser was made. */
	onBody(bytes: Buffer): void;
}

const IDLE = 0;
const HEAD = 1;
/** A body of known length. */
const LENGTH = 2;
/** A body that lasts until the connection ends. */
const UNTIL_END = 3;
const SIZE = 4;
const EXTENSION = 5;
const SIZE_LF = 6;
const CHUNK = 7;
const CHUNK_CR = 8;
const CHUNK_LF = 9;
const TRAILER = 10;
const TRAILER_LF = 11;
const DONE = 12;

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const SPACE = 0x20;
const TAB = 0x09;
const ZERO = 0x30;
const ONE = 0x31;
const NINE = 0x39;

/** 2^48 bytes: more hexadecimal digits than this are an attempt to overflow somebody. */
const SIZE_DIGITS_MAX = 12;
const VERSION = 'HTTP/1.';
const NOTHING = Buffer.alloc(0);
/** RFC 9112 section 7.1.1, without the spaces it allows where no sender puts any. */
const EXTENSIONS =
	/^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)+$/;
const LENGTH_VALUE = /^\d{1,15}$/;
const TIMEOUT_HINT = /(?:^|[,;\s])timeout=(\d{1,6})/i;

export class ResponseParser {
	/** The connection may carry another exchange after this response. */
	keepAlive = false;
	/** How long the upstream says it keeps an idle connection; undefined = it does not say. */
	keepAliveHintMs: number | undefined;

	readonly #headBytesMax: number;
	readonly #copies: boolean;
	#sink: ResponseSink | undefined;
	#bodiless = false;
	#state = IDLE;
	/** Bytes of a head that is not whole yet. */
	#pending: Buffer = NOTHING;
	/** Bytes left of the body or of the chunk. */
	#left = 0;
	#digits = 0;
	/** Bytes of chunk extensions and trailers so far: thrown away, and therefore bounded. */
	#thrown = 0;
	/** The chunk extensions or the trailer line being read. */
	#line = '';

	/**
	 * A head above `headBytesMax` is refused, and so are as many bytes of chunk extensions and trailers. `copies`: what is pushed is written over afterwards, so that
	 * bodies are told as copies.
	 */
	constructor(headBytesMax: number, copies = false) {
		this.#headBytesMax = headBytesMax;
		this.#copies = copies;
	}

	/** The whole response has been read. */
	get done(): boolean {
		return this.#state === DONE;
	}

	/** Expects the response to a request of this method. */
	begin(sink: ResponseSink, method: string): void {
		this.#sink = sink;
		this.#bodiless = method === 'HEAD';
		this.#state = HEAD;
		this.#pending = NOTHING;
		this.#thrown = 0;
		this.#line = '';
		this.keepAlive = false;
		this.keepAliveHintMs = undefined;
	}

	/** Reads no further: the sink is told nothing more. */
	stop(): void {
		this.#state = IDLE;
		this.#sink = undefined;
	}

	/** Reads bytes; returns how many belong to the response. Throws UpstreamFault `protocol`. */
	push(bytes: Buffer): number {
		let at = 0;
		while (at < bytes.length && this.#state !== DONE && this.#state !== IDLE) at = this.#step(bytes, at);
		return at;
	}

	/** The connection has ended. Returns what that makes of the response. */
	finish(): 'whole' | 'unanswered' | 'cut' {
		if (this.#state === UNTIL_END) this.#state = DONE;
		if (this.#state === DONE) return 'whole';
		return this.#state === HEAD && this.#pending.length === 0 ? 'unanswered' : 'cut';
	}

	#step(bytes: Buffer, at: number): number {
		switch (this.#state) {
			case HEAD:
				return this.#head(bytes, at);
			case LENGTH:
			case CHUNK:
				return this.#counted(bytes, at);
			case UNTIL_END:
				this.#body(bytes, at, bytes.length);
				return bytes.length;
			default:
				this.#framing(bytes[at] as number);
				return at + 1;
		}
	}

	#head(bytes: Buffer, from: number): number {
		const before = this.#pending.length;
		const fresh = from === 0 ? bytes : bytes.subarray(from);
		const all = before === 0 ? fresh : Buffer.concat([this.#pending, fresh]);
		const end = all.indexOf('\r\n\r\n', Math.max(0, before - 3), 'latin1');
		if ((end < 0 ? all.length : end) > this.#headBytesMax) throw protocol('the head is too large');
		if (before < VERSION.length && !VERSION.startsWith(all.toString('latin1', 0, VERSION.length)))
			throw protocol('it begins with no status line');
		if (end < 0) {
			this.#pending = before === 0 ? Buffer.from(all) : all;
			return bytes.length;
		}
		this.#pending = NOTHING;
		this.#readHead(all.toString('latin1', 0, end));
		return from + end + 4 - before;
	}

	#readHead(text: string): void {
		const lineEnd = text.indexOf('\r\n');
		const status = statusOf(text, lineEnd < 0 ? text.length : lineEnd);
		const headers = lineEnd < 0 ? emptyHeaders() : fieldsOf(text, lineEnd + 2);
		if (status < 200) {
			// Interim responses are not passed on, and nothing was asked to be upgraded.
			if (status === 101) throw protocol('it switches to a protocol nobody asked for');
			return;
		}
		const minor = text.charCodeAt(7) - ZERO;
		this.keepAlive = staysOpen(headers, minor);
		this.keepAliveHintMs = keepAliveHint(headers);
		this.#state = this.#bodyState(status, headers, minor);
		this.#sink?.onHead(status, headers);
	}

	/** How the body ends (RFC 9112 section 6.3). */
	#bodyState(status: number, headers: ResponseHeaders, minor: number): number {
		const coding = headers['transfer-encoding'];
		const length = headers['content-length'];
		if (coding !== undefined) {
			if (minor === 0 || length !== undefined) throw protocol('its length is told in two ways');
			if (typeof coding !== 'string' || coding.toLowerCase() !== 'chunked')
				throw protocol('its transfer coding is not known');
		}
		if (length !== undefined && (typeof length !== 'string' || !LENGTH_VALUE.test(length)))
			throw protocol('its length is no number');
		if (this.#bodiless || status === 204 || status === 304) return DONE;
		if (coding !== undefined) {
			this.#digits = 0;
			this.#left = 0;
			return SIZE;
		}
		if (length !== undefined) {
			this.#left = Number(length);
			return this.#left === 0 ? DONE : LENGTH;
		}
		this.keepAlive = false;
		return UNTIL_END;
	}

	#counted(bytes: Buffer, at: number): number {
		const end = Math.min(bytes.length, at + this.#left);
		this.#left -= end - at;
		if (this.#left === 0) this.#state = this.#state === LENGTH ? DONE : CHUNK_CR;
		this.#body(bytes, at, end);
		return end;
	}

	#body(bytes: Buffer, at: number, end: number): void {
		const view = at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end);
		this.#sink?.onBody(this.#copies ? copyOf(view) : view);
	}

	/** One byte between chunks: sizes, extensions, line ends, trailers. */
	#framing(byte: number): void {
		switch (this.#state) {
			case SIZE:
				return this.#size(byte);
			case EXTENSION:
				if (byte === LF) throw protocol('a chunk size ends without CR');
				if (byte !== CR) return this.#keep(byte);
				if (!EXTENSIONS.test(this.#line)) throw protocol('a chunk has no proper extensions');
				this.#state = SIZE_LF;
				return;
			case SIZE_LF:
				if (byte !== LF) throw protocol('a chunk size does not end in CR LF');
				this.#line = '';
				this.#state = this.#left === 0 ? TRAILER : CHUNK;
				return;
			case CHUNK_CR:
				if (byte !== CR) throw protocol('a chunk is longer than its size');
				this.#state = CHUNK_LF;
				return;
			case CHUNK_LF:
				if (byte !== LF) throw protocol('a chunk is longer than its size');
				this.#digits = 0;
				this.#state = SIZE;
				return;
			case TRAILER:
				if (byte === LF) throw protocol('a trailer ends without CR');
				if (byte === CR) this.#state = TRAILER_LF;
				else this.#keep(byte);
				return;
			default:
				if (byte !== LF) throw protocol('a trailer does not end in CR LF');
				this.#state = this.#line === '' ? DONE : TRAILER;
				// Checked as a header is, and not passed on.
				fieldsOf(this.#line, 0);
				this.#line = '';
		}
	}

	#size(byte: number): void {
		const digit = hexDigit(byte);
		if (digit >= 0) {
			if (++this.#digits > SIZE_DIGITS_MAX) throw protocol('a chunk size is too large');
			this.#left = this.#left * 16 + digit;
			return;
		}
		if (this.#digits === 0) throw protocol('a chunk has no size');
		if (byte === CR) this.#state = SIZE_LF;
		else if (byte === SEMICOLON) {
			this.#state = EXTENSION;
			this.#keep(byte);
		} else throw protocol('a chunk size is no number');
	}

	#keep(byte: number): void {
		if (++this.#thrown > this.#headBytesMax) throw protocol('its chunk extensions and trailers are too large');
		this.#line += String.fromCharCode(byte);
	}
}

/** In memory of its own: as part of a larger piece it would keep all of that for as long as somebody keeps it. */
function copyOf(bytes: Buffer): Buffer {
	const copy = Buffer.allocUnsafeSlow(bytes.length);
	copy.set(bytes);
	return copy;
}

function protocol(what: string): UpstreamFault {
	return new UpstreamFault('protocol', `the upstream's answer is not HTTP/1.1: ${what}`);
}

/** `HTTP/1.x NNN reason`, the reason being anything. */
function statusOf(text: string, end: number): number {
	const minor = text.charCodeAt(7);
	const status = Number(text.slice(9, 12));
	const known = text.startsWith(VERSION) && (minor === ZERO || minor === ONE) && text.charCodeAt(8) === SPACE;
	const three = isDigit(text.charCodeAt(9)) && isDigit(text.charCodeAt(10)) && isDigit(text.charCodeAt(11));
	const ends = end === 12 || text.charCodeAt(12) === SPACE;
	if (!known || !three || !ends || end < 12 || status < 100) throw protocol('it begins with no status line');
	if (BAD_VALUE.test(text.slice(12, end))) throw protocol('its status line has control characters');
	return status;
}

function emptyHeaders(): ResponseHeaders {
	return Object.create(null) as ResponseHeaders;
}

function fieldsOf(text: string, from: number): ResponseHeaders {
	const headers = emptyHeaders();
	for (let at = from; at < text.length; ) {
		let end = text.indexOf('\r\n', at);
		if (end < 0) end = text.length;
		const colon = text.indexOf(':', at);
		if (colon < 0 || colon > end) throw protocol('a header line has no colon');
		const name = fieldName(text.slice(at, colon));
		// Also what obsolete folding (a line that begins with a space) fails at.
		if (name === undefined) throw protocol('a header has no proper name');
		const value = withoutOuterSpace(text, colon + 1, end);
		if (BAD_VALUE.test(value)) throw protocol('a header has control characters');
		const known = headers[name];
		if (known === undefined) headers[name] = value;
		else if (typeof known === 'string') headers[name] = [known, value];
		else known.push(value);
		at = end + 2;
	}
	return headers;
}

/** Spaces and tabs only: `trim` would take bytes of other characters with it. */
function withoutOuterSpace(text: string, from: number, to: number): string {
	let start = from;
	let end = to;
	while (start < end && isBlank(text.charCodeAt(start))) start++;
	while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
	return text.slice(start, end);
}

function isBlank(code: number): boolean {
	return code === SPACE || code === TAB;
}

function isDigit(code: number): boolean {
	return code >= ZERO && code <= NINE;
}

/** Value of a hexadecimal digit, or -1. */
function hexDigit(byte: number): number {
	if (byte >= ZERO && byte <= NINE) return byte - ZERO;
	const lower = byte | 0x20;
	return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function staysOpen(headers: ResponseHeaders, minor: number): boolean {
	const connection = headers['connection'];
	if (connection === undefined) return minor === 1;
	const tokens = String(connection).toLowerCase().split(',');
	const has = (wanted: string): boolean => tokens.some((token) => token.trim() === wanted);
	return !has('close') && (minor === 1 || has('keep-alive'));
}

function keepAliveHint(headers: ResponseHeaders): number | undefined {
	const hint = headers['keep-alive'];
	const seconds = typeof hint === 'string' ? TIMEOUT_HINT.exec(hint)?.[1] : undefined;
	return seconds === undefined ? undefined : Number(seconds) * 1000;
}
