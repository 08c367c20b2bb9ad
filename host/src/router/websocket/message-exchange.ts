// Owns one chat on a socket as an HTTP exchange: a request made of a message, and a response whose bytes become messages. The pipeline treats it as it does any
// other, so authentication, admission, decision and cancellation are the same. Invariant: one of done, error and cancelled is the last message of a chat.
import { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import type { RouterErrorCode } from '../errors.js';
import { serverMessage } from './chat-messages.js';

/** The part of `IncomingMessage` the pipeline uses. */
export class MessageRequest {
	readonly method = 'POST';
	readonly url = '/v1/chat/completions';
	readonly httpVersion = '1.1';
	readonly headers: IncomingHttpHeaders;
	readonly rawHeaders: string[];
	readonly socket: object;
	/** Nothing more is to come. */
	readonly complete = true;
	readonly #body: Buffer;
	#onData: ((chunk: Buffer) => void) | undefined;

	/** `raw` holds name and value pairs, lower case. */
	constructor(raw: readonly string[], body: Buffer, socket: object) {
		this.rawHeaders = [...raw, 'content-length', String(body.length)];
		this.headers = Object.fromEntries(
			Array.from({ length: this.rawHeaders.length / 2 }, (_, at) => this.rawHeaders.slice(at * 2, at * 2 + 2)),
		) as IncomingHttpHeaders;
		this.#body = body;
		this.socket = socket;
	}

	on(event: string, listener: (chunk: Buffer) => void): void {
		if (event === 'data') this.#onData = listener;
		if (event !== 'end') return;
		queueMicrotask(() => {
			this.#onData?.(this.#body);
			listener(this.#body);
		});
	}

	resume(): void {
		// There is nothing to read away: the body is here.
	}
}

/** Where a response's messages go. */
export interface MessageSink {
	/** False when no more should be sent until `drain`. */
	send(text: string): boolean;
	/** The chat is over, and nothing more is sent for it. */
	over(response: MessageResponse): void;
	/** The pipeline has given the reader up. */
	tooSlow(): void;
}

const EVENT_END = /\r?\n\r?\n/;
const ERROR_START = '{"error"';
const KEPT_HEADERS = /^(?:x-infermesh-|x-request-id$)/;

/** The part of `ServerResponse` the pipeline uses. Emits `drain` and, once, `close`. */
export class MessageResponse extends EventEmitter {
	readonly id: string;
	statusCode = 200;
	shouldKeepAlive = true;
	destroyed = false;
	/** The last write asked for a pause. */
	blocked = false;
	readonly #sink: MessageSink;
	readonly #eventCharsMax: number;
	readonly #wholeCharsMax: number;
	readonly #decoder = new StringDecoder('utf8');
	#headers: Record<string, string> = {};
	#streaming = false;
	/** The event or the body that is not whole yet. */
	#text = '';
	#last = false;

	/** An event of a stream, or an answer that comes whole, above its bound ends the chat. */
	constructor(id: string, sink: MessageSink, eventCharsMax: number, wholeCharsMax: number) {
		super();
		this.id = id;
		this.#sink = sink;
		this.#eventCharsMax = eventCharsMax;
		this.#wholeCharsMax = wholeCharsMax;
	}

	writeHead(status: number, headers: readonly string[]): void {
		this.statusCode = status;
		for (let at = 0; at < headers.length; at += 2) this.#headers[headers[at] as string] = headers[at + 1] as string;
		this.#streaming = status < 400 && (this.#headers['content-type'] ?? '').startsWith('text/event-stream');
		if (this.#streaming) this.#send('start', { status: String(status), headers: this.#shownHeaders() });
	}

	write(bytes: string | Buffer): boolean {
		if (this.destroyed) return true;
		this.#text += typeof bytes === 'string' ? bytes : this.#decoder.write(bytes);
		if (this.#streaming) this.blocked = !this.#events();
		const charsMax = this.#streaming ? this.#eventCharsMax : this.#wholeCharsMax;
		if (this.#text.length > charsMax && !this.destroyed)
			this.#fail(`${this.#streaming ? 'An event of the' : 'The'} answer is too large.`, 'IM_UPSTREAM_PROTOCOL');
		return !this.blocked;
	}

	end(bytes?: string | Buffer, encoding?: BufferEncoding): void {
		if (this.destroyed) return;
		// What is sent as Latin-1 is bytes of UTF-8 in that guise.
		if (bytes !== undefined)
			this.write(typeof bytes === 'string' && encoding === 'latin1' ? Buffer.from(bytes, 'latin1') : bytes);
		if (this.#streaming && this.#text.trim() !== '') this.#event(this.#text);
		if (!this.#streaming && !this.destroyed) this.#whole();
		this.#finish('done', {});
		this.#close();
	}

	/** The pipeline cuts the answer off. */
	destroy(): void {
		if (this.destroyed) return;
		if (this.blocked) this.#sink.tooSlow();
		this.#fail('The answer was cut before it was complete.', 'IM_UPSTREAM_DIED');
	}

	/** The client wants no more of it. */
	cancel(): void {
		if (this.destroyed) return;
		this.#finish('cancelled', {});
		this.#close();
	}

	/** The socket is gone. */
	lost(): void {
		if (this.destroyed) return;
		this.#last = true;
		this.#close();
	}

	/** Room again: the pipeline goes on. */
	drained(): void {
		if (!this.blocked) return;
		this.blocked = false;
		this.emit('drain');
	}

	/** Sends the events that are whole; false when the reader is slow. */
	#events(): boolean {
		let room = true;
		for (;;) {
			const end = EVENT_END.exec(this.#text);
			if (end === null) return room;
			const event = this.#text.slice(0, end.index);
			this.#text = this.#text.slice(end.index + end[0].length);
			room = this.#event(event) && room;
		}
	}

	#event(event: string): boolean {
		const lines = event.split(/\r?\n/).filter((line) => line.startsWith('data:'));
		const data = lines.map((line) => line.slice('data:'.length).trimStart()).join('\n');
		if (data === '' || data === '[DONE]') return true;
		if (data.startsWith(ERROR_START)) this.#finish('error', { status: '502', ...errorOf(data) });
		else if (isJson(data)) return this.#send('chunk', { chunk: data });
		else this.#fail(NO_JSON, 'IM_UPSTREAM_PROTOCOL');
		return true;
	}

	#whole(): void {
		if (this.statusCode >= 400) {
			const retryAfter = this.#headers['retry-after'];
			this.#finish('error', {
				status: String(this.statusCode),
				...(retryAfter === undefined ? {} : { retry_after_s: retryAfter }),
				headers: this.#shownHeaders(),
				...errorOf(this.#text),
			});
		} else {
			const response = this.#text === '' ? 'null' : this.#text;
			if (!isJson(response)) return this.#fail(NO_JSON, 'IM_UPSTREAM_PROTOCOL');
			this.#send('response', { status: String(this.statusCode), headers: this.#shownHeaders(), response });
		}
	}

	#fail(message: string, code: RouterErrorCode): void {
		const error = JSON.stringify({ message, type: 'server_error', param: null, code });
		this.#finish('error', { status: '502', error });
		this.#close();
	}

	#shownHeaders(): string {
		return JSON.stringify(
			Object.fromEntries(Object.entries(this.#headers).filter(([name]) => KEPT_HEADERS.test(name))),
		);
	}

	#send(type: string, json: Readonly<Record<string, string>>): boolean {
		return this.#last || this.#sink.send(serverMessage(type, this.id, json));
	}

	#finish(type: 'done' | 'error' | 'cancelled', json: Readonly<Record<string, string>>): void {
		this.#send(type, json);
		this.#last = true;
	}

	#close(): void {
		if (this.destroyed) return;
		this.destroyed = true;
		this.#sink.over(this);
		// As a response's own: after whoever ended it has returned.
		queueMicrotask(() => this.emit('close'));
	}
}

/** What is put into a message as it came must not make it another, or none. */
function isJson(text: string): boolean {
	try {
		JSON.parse(text);
		return true;
	} catch {
		return false;
	}
}

const NO_JSON = 'The answer was no valid JSON.';

/** The `error` of an error body, as it stands there. */
function errorOf(text: string): Readonly<Record<string, string>> {
	try {
		const { error } = JSON.parse(text) as Readonly<Record<string, unknown>>;
		return { error: JSON.stringify(error ?? null) };
	} catch {
		return {
			error: JSON.stringify({
				message: NO_JSON,
				type: 'server_error',
				param: null,
				code: null,
			}),
		};
	}
}
