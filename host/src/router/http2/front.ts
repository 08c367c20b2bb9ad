// Owns the HTTP/2 sessions of clients: their bounds, their age, and why one is closed. What a stream asks for is whoever `take` is; which
// connections are HTTP/2, sniff.ts's. Rapid resets (CVE-2023-44487) and floods of frames are bounded by nghttp2 and counted here by name.
import {
	constants,
	createServer,
	type Http2Server,
	type IncomingHttpHeaders,
	type ServerHttp2Session,
	type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock, Random } from '@infermesh/proto';
import type { RouterOptions } from '../options.js';
import type { Http2CloseReason, RouterMetrics } from '../ports.js';
import { PSEUDO_FIELDS_MAX } from '../request-headers.js';
import { letGo } from './closed-stream.js';

export type TakeStream = (
	stream: ServerHttp2Stream,
	headers: IncomingHttpHeaders,
	rawHeaders: readonly string[],
) => void;

interface Session {
	/** When it is told to go. */
	readonly leaveAtMs: number;
	/** Streams that the client reset before they were answered. */
	resets: number;
	streams: number;
	/** It has been told to go. */
	leaving: boolean;
}

/** nghttp2's errors of a session that was closed for what its client did. */
const FLOODED = -904;
const TOO_MANY_CONTINUATIONS = -905;
/** Ages are looked at this often. */
const SWEEP_MS = 1000;
/** A session lives between so much of its greatest age and all of it, so that those opened together do not end together. */
const AGE_LEAST = 0.9;

export class Http2Front {
	readonly #options: RouterOptions;
	readonly #clock: Clock;
	readonly #random: Random;
	readonly #metrics: RouterMetrics;
	readonly #take: TakeStream;
	readonly #server: Http2Server;
	readonly #sessions = new Map<ServerHttp2Session, Session>();
	readonly #stopSweeping: () => void;
	#dismissed: (session: object) => void = () => undefined;

	constructor(options: RouterOptions, clock: Clock, random: Random, metrics: RouterMetrics, take: TakeStream) {
		this.#options = options;
		this.#clock = clock;
		this.#random = random;
		this.#metrics = metrics;
		this.#take = take;
		this.#server = this.#makeServer();
		const sweeping = clock.every(SWEEP_MS, () => this.#sweep(), { unref: true });
		this.#stopSweeping = () => sweeping.cancel();
	}

	get sessions(): number {
		return this.#sessions.size;
	}

	/** Calls back with each session that is told to go for no fault of its client's. */
	onDismissed(dismissed: (session: object) => void): void {
		this.#dismissed = dismissed;
	}

	/** Takes a connection on which HTTP/2 is spoken. */
	connection(socket: Socket): void {
		// The HTTP/1.1 server leaves the closing of half-closed connections to requests; here nobody would do it.
		socket.allowHalfOpen = false;
		this.#server.emit('connection', socket);
	}

	/** Sessions end as their streams do; new ones go elsewhere. */
	drain(): void {
		this.#stopSweeping();
		for (const [session, state] of this.#sessions) this.#leave(session, state);
	}

	/** Resets what is left. */
	destroy(): void {
		this.#stopSweeping();
		for (const session of this.#sessions.keys()) session.destroy();
	}

	#makeServer(): Http2Server {
		const { http2, headerBytesMax, headerCountMax } = this.#options;
		const server = createServer({
			maxSessionMemory: http2.sessionMemoryMib,
			maxHeaderListPairs: headerCountMax + PSEUDO_FIELDS_MAX,
			maxSessionInvalidFrames: http2.invalidFramesMax,
			maxSessionRejectedStreams: http2.invalidFramesMax,
			streamResetBurst: http2.resetBurst,
			streamResetRate: http2.resetRatePerS,
			settings: {
				enablePush: false,
				maxConcurrentStreams: http2.streamsMax,
				maxHeaderListSize: headerBytesMax,
				initialWindowSize: http2.windowBytes,
			},
		});
		server.on('session', (session: ServerHttp2Session) => this.#opened(session));
		server.on('sessionError', () => undefined);
		return server;
	}

	#opened(session: ServerHttp2Session): void {
		const { http2, keepAliveTimeoutMs } = this.#options;
		const age = http2.connectionAgeMaxMs * (AGE_LEAST + (1 - AGE_LEAST) * this.#random.nextFloat());
		const state: Session = { leaveAtMs: this.#clock.nowMs() + age, resets: 0, streams: 0, leaving: false };
		this.#sessions.set(session, state);
		session.on('stream', (stream, headers, _flags, rawHeaders) => this.#stream(state, stream, headers, rawHeaders));
		session.setLocalWindowSize(Math.max(http2.windowBytes, http2.connectionWindowBytes));
		session.setTimeout(keepAliveTimeoutMs, () => {
			if (state.streams > 0) return;
			this.#dismissed(session);
			session.destroy();
		});
		session.on('error', (error: Error & { readonly errno?: number }) => {
			// Streams that came with what broke the session are told of after it.
			queueMicrotask(() => this.#metrics.http2Closed(this.#reason(error.errno, state)));
		});
		session.on('close', () => this.#sessions.delete(session));
	}

	#reason(errno: number | undefined, { resets }: Session): Http2CloseReason {
		if (errno === TOO_MANY_CONTINUATIONS) return 'continuation_flood';
		if (errno === FLOODED) return 'frame_flood';
		return resets >= this.#options.http2.resetBurst ? 'rapid_reset' : 'protocol_error';
	}

	#stream(
		state: Session,
		stream: ServerHttp2Stream,
		headers: IncomingHttpHeaders,
		rawHeaders: readonly string[],
	): void {
		// Also of one that is over already: what ended it may be told of after this, and a listener that is missing would end the worker.
		stream.on('error', () => undefined);
		// A client that resets at once has closed the stream before it is told of here.
		if (stream.destroyed) {
			state.resets++;
			return;
		}
		state.streams++;
		stream.on('close', () => {
			state.streams--;
			if (stream.rstCode === constants.NGHTTP2_CANCEL && !stream.writableFinished) state.resets++;
			letGo(stream);
		});
		this.#take(stream, headers, rawHeaders);
	}

	#sweep(): void {
		const now = this.#clock.nowMs();
		for (const [session, state] of this.#sessions) if (now > state.leaveAtMs) this.#leave(session, state);
	}

	#leave(session: ServerHttp2Session, state: Session): void {
		if (state.leaving || session.destroyed) return;
		state.leaving = true;
		this.#dismissed(session);
		session.close();
	}
}
