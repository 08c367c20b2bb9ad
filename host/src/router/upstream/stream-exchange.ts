// Owns one exchange over a stream of an HTTP/2 session: it sends the request and tells the same handler what a connection of HTTP/1.1 would. Invariants: the
// handler is told of its end at most once, and of nothing after it was aborted; an answer counts as whole only if the target itself has ended it. An
// abort reaches the target as a reset of the stream; the session and its other streams go on.
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { type Carrier, UpstreamCall, type UpstreamHandler } from './connection.js';
import { UpstreamFault } from './faults.js';
import { responseFields } from './http2-fields.js';
import type { TargetStream } from './sessions.js';

/** Told of what concerns the origin and not this exchange alone. */
export interface StreamEvents {
	/** No connection that speaks HTTP/2 could be made. */
	unreached(): void;
	/** The target wants this over HTTP/1.1. */
	http1Wanted(): void;
}

/** How Node names what nghttp2 could not read. */
const UNREADABLE = 'ERR_HTTP2_ERROR';

export class StreamExchange implements Carrier {
	readonly call = new UpstreamCall(this);
	readonly #opened: TargetStream;
	readonly #events: StreamEvents | undefined;
	#handler: UpstreamHandler | undefined;
	#headSeen = false;
	/** What came on its session is not HTTP/2. */
	#garbled = false;
	/** The target has ended its answer. */
	#whole = false;

	/** Sends `body` on a stream that has just been opened. */
	constructor(opened: TargetStream, body: Buffer | null, handler: UpstreamHandler, events?: StreamEvents) {
		this.#opened = opened;
		this.#handler = handler;
		this.#events = events;
		const { stream } = opened;
		noteEnd(stream, () => {
			this.#whole = true;
		});
		stream.on('response', (headers) => this.#head(headers));
		stream.on('data', (bytes: Buffer) => this.#tell((told) => told.onBody(bytes)));
		stream.on('end', () => this.#end());
		// How it closes says the rest.
		stream.on('error', (error: NodeJS.ErrnoException) => {
			this.#garbled = error.code === UNREADABLE;
		});
		stream.on('close', () => this.#closed());
		if (body !== null) stream.end(body);
	}

	abort(): void {
		this.#take();
		this.#reset();
	}

	pause(paused: boolean): void {
		const { stream } = this.#opened;
		if (paused) stream.pause();
		else stream.resume();
	}

	#head(headers: IncomingHttpHeaders): void {
		this.#headSeen = true;
		const status = Number(headers[constants.HTTP2_HEADER_STATUS]);
		this.#tell((told) => told.onHead(status, responseFields(headers)));
	}

	#end(): void {
		// A reset ends what can be read too: how the stream closes tells.
		if (!this.#whole) return;
		const handler = this.#take();
		// Answered before the request was sent whole: the rest is of no use to anybody.
		if (!this.#opened.stream.writableFinished) this.#reset();
		try {
			handler?.onEnd();
		} catch (cause) {
			handler?.onFault(internal(cause));
		}
	}

	#closed(): void {
		const fault = this.#handler === undefined ? undefined : this.#faultOfClose();
		if (fault !== undefined) this.#take()?.onFault(fault);
	}

	/** Only on a session that lives does the code come from the target; one that breaks, or is told to go, ends its streams with any. */
	#faultOfClose(): UpstreamFault {
		const { stream, connected, alive } = this.#opened;
		const { rstCode } = stream;
		if (!connected()) {
			this.#events?.unreached();
			return new UpstreamFault('connect', 'no connection that speaks HTTP/2');
		}
		if (this.#garbled) {
			this.#events?.unreached();
			return new UpstreamFault('protocol', 'the upstream does not speak HTTP/2');
		}
		if (rstCode === constants.NGHTTP2_NO_ERROR || !alive())
			return this.#headSeen
				? new UpstreamFault('cut', 'the session ended inside the answer')
				: new UpstreamFault('reset', 'the session ended with the request unanswered');
		if (rstCode === constants.NGHTTP2_HTTP_1_1_REQUIRED) this.#events?.http1Wanted();
		return new UpstreamFault(kindOfReset(rstCode, this.#headSeen), `the stream was reset with code ${rstCode}`);
	}

	/** A fault of whoever is told costs this exchange only. */
	#tell(what: (handler: UpstreamHandler) => void): void {
		if (this.#handler === undefined) return;
		try {
			what(this.#handler);
		} catch (error) {
			const handler = this.#take();
			this.#reset();
			handler?.onFault(error instanceof UpstreamFault ? error : internal(error));
		}
	}

	#reset(): void {
		const { stream } = this.#opened;
		if (!stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
	}

	/** Ends the exchange: from here on nobody is told of it, and what may still come is thrown away. */
	#take(): UpstreamHandler | undefined {
		const handler = this.#handler;
		this.#handler = undefined;
		this.call.end();
		this.#opened.stream.resume();
		return handler;
	}
}

/**
 * Calls `ended` when the target ends its side of the stream. A reset ends what can be read in the same way, so that a cut answer would pass for a whole
 * one; of a stream that is reset, it is known by then that it is closed.
 */
function noteEnd(stream: ClientHttp2Stream, ended: () => void): void {
	const push = stream.push.bind(stream);
	stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
		if (chunk === null && !stream.closed) ended();
		return push(chunk, encoding);
	};
}

function internal(cause: unknown): UpstreamFault {
	return new UpstreamFault('internal', 'the answer could not be passed on', { cause });
}

/** What a target says by resetting a stream (RFC 9113 section 7). */
function kindOfReset(code: number, headSeen: boolean): UpstreamFault['kind'] {
	switch (code) {
		// It has not looked at the request: it may be sent again anywhere.
		case constants.NGHTTP2_REFUSED_STREAM:
			return headSeen ? 'cut' : 'reset';
		case constants.NGHTTP2_ENHANCE_YOUR_CALM:
			return 'saturated';
		case constants.NGHTTP2_PROTOCOL_ERROR:
		case constants.NGHTTP2_FLOW_CONTROL_ERROR:
		case constants.NGHTTP2_FRAME_SIZE_ERROR:
		case constants.NGHTTP2_COMPRESSION_ERROR:
		case constants.NGHTTP2_HTTP_1_1_REQUIRED:
			return 'protocol';
		default:
			return 'cut';
	}
}
