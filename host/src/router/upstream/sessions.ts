// Owns the HTTP/2 sessions to targets, those of gRPC calls and of HTTP requests alike: a few per origin, each with a bound on its streams, told to go when old, pinged while it has work, closed when idle.
// What is sent on a stream, and what becomes of it, is whose stream it is. Nothing waits here: where no session has room the target counts as full.
import {
	type ClientHttp2Session,
	type ClientHttp2Stream,
	connect,
	type OutgoingHttpHeaders,
	type SecureClientSessionOptions,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '@infermesh/proto';
import { letGo } from '../http2/closed-stream.js';
import type { UpstreamTls } from '../tls.js';
import { UpstreamFault } from './faults.js';

export interface SessionOptions {
	/** Sessions per target, and streams on each. */
	readonly sessionsMax: number;
	readonly streamsMax: number;
	/** Targets with sessions at once. */
	readonly originsMax: number;
	/** A session takes no new streams after this. */
	readonly ageMaxMs: number;
	/** One without streams is closed after this. */
	readonly idleMs: number;
	/** A session with streams is asked this often whether it lives, and has so long to answer. */
	readonly pingPeriodMs: number;
	readonly pingTimeoutMs: number;
	readonly windowBytes: number;
	readonly connectTimeoutMs: number;
	readonly headerBytesMax: number;
	readonly tls: UpstreamTls;
}

const SWEEP_MS = 1000;
/** Sessions carry many streams; the bound on their memory follows from the windows. */
const SESSION_MEMORY_MIB = 256;
/** What all streams of a session may have on their way, in windows of one. */
const CONNECTION_WINDOWS = 16;

/** One session of an origin. */
class Lane {
	readonly session: ClientHttp2Session;
	readonly openedMs: number;
	streams = 0;
	connected = false;
	usedAtMs: number;
	pingedAtMs: number;
	/** When an unanswered ping went out; 0 = none is. */
	pingingSinceMs = 0;
	/** It takes no new streams. */
	leaving = false;

	constructor(session: ClientHttp2Session, nowMs: number) {
		this.session = session;
		this.openedMs = nowMs;
		this.usedAtMs = nowMs;
		this.pingedAtMs = nowMs;
	}

	leave(): void {
		if (this.leaving) return;
		this.leaving = true;
		this.session.close();
	}
}

/** A stream at a target, and how its connection stands: whether it was ever made and whether it lives. */
export interface TargetStream {
	readonly stream: ClientHttp2Stream;
	readonly connected: () => boolean;
	readonly alive: () => boolean;
}

export class Http2Sessions {
	readonly #options: SessionOptions;
	readonly #clock: Clock;
	readonly #origins = new Map<string, Set<Lane>>();
	/** Runs while there are sessions. */
	#sweeping: Timer | undefined;

	constructor(options: SessionOptions, clock: Clock) {
		this.#options = options;
		this.#clock = clock;
	}

	/** Sessions of all targets. */
	get size(): number {
		let sum = 0;
		for (const lanes of this.#origins.values()) sum += lanes.size;
		return sum;
	}

	/**
	 * Opens a stream; `headers`: a record, or name and value pairs; `endStream`: no body follows. Throws UpstreamFault `saturated` where there is no room, `connect` for what is no origin or has just
	 * closed.
	 */
	open(origin: string, headers: OutgoingHttpHeaders | readonly string[], endStream = false): TargetStream {
		const lane = this.#room(origin) ?? this.#connect(origin);
		let stream: ClientHttp2Stream;
		try {
			stream = lane.session.request(headers, { endStream });
		} catch (cause) {
			throw new UpstreamFault('connect', cause instanceof Error ? cause.message : 'the session has closed');
		}
		lane.streams++;
		stream.once('close', () => {
			lane.streams--;
			lane.usedAtMs = this.#clock.nowMs();
			letGo(stream);
		});
		return { stream, connected: () => lane.connected, alive: () => !lane.session.destroyed };
	}

	/** Makes a session of a connection that has agreed on HTTP/2; it is closed where there is no room for one more. */
	adopt(origin: string, socket: TLSSocket): void {
		try {
			this.#connect(origin, socket);
		} catch {
			socket.destroy();
		}
	}

	/** Sessions of other origins end as their streams do. */
	retain(origins: ReadonlySet<string>): void {
		for (const [origin, lanes] of this.#origins) if (!origins.has(origin)) for (const lane of lanes) lane.leave();
	}

	/** Resets everything. */
	destroy(): void {
		this.#sweeping?.cancel();
		this.#sweeping = undefined;
		for (const lanes of this.#origins.values()) for (const lane of lanes) lane.session.destroy();
		this.#origins.clear();
	}

	/** The first session with room: load packs there, and the others may go. */
	#room(origin: string): Lane | undefined {
		for (const lane of this.#origins.get(origin) ?? []) {
			if (lane.leaving || lane.session.closed || lane.session.destroyed) continue;
			const theirs = lane.connected ? (lane.session.remoteSettings.maxConcurrentStreams ?? Infinity) : Infinity;
			if (lane.streams < Math.min(this.#options.streamsMax, theirs)) return lane;
		}
		return undefined;
	}

	#connect(origin: string, socket?: TLSSocket): Lane {
		const lanes = this.#origins.get(origin) ?? new Set();
		const { sessionsMax, originsMax } = this.#options;
		if (lanes.size >= sessionsMax)
			throw new UpstreamFault('saturated', `${sessionsMax} sessions to the target are full`);
		if (lanes.size === 0 && this.#origins.size >= originsMax)
			throw new UpstreamFault('saturated', `there are sessions to ${originsMax} targets`);
		const lane = this.#dial(origin, socket);
		this.#origins.set(origin, lanes);
		lanes.add(lane);
		this.#sweeping ??= this.#clock.every(SWEEP_MS, () => this.#sweep(), { unref: true });
		lane.session.on('close', () => {
			lanes.delete(lane);
			if (lanes.size === 0 && this.#origins.get(origin) === lanes) this.#origins.delete(origin);
		});
		return lane;
	}

	#dial(origin: string, socket: TLSSocket | undefined): Lane {
		const { connectTimeoutMs, headerBytesMax, windowBytes, tls } = this.#options;
		const options: SecureClientSessionOptions = {
			...tls,
			maxSessionMemory: SESSION_MEMORY_MIB,
			settings: { enablePush: false, initialWindowSize: windowBytes, maxHeaderListSize: headerBytesMax },
		};
		let session: ClientHttp2Session;
		try {
			session = connect(origin, socket === undefined ? options : { ...options, createConnection: () => socket });
		} catch {
			throw new UpstreamFault('connect', 'the target has no HTTP origin');
		}
		const lane = new Lane(session, this.#clock.nowMs());
		const late = this.#clock.after(connectTimeoutMs, () => session.destroy(), { unref: true });
		session.once('connect', () => {
			late.cancel();
			// It is told in a later turn, and may have been closed meanwhile.
			if (session.destroyed) return;
			lane.connected = true;
			session.setLocalWindowSize(windowBytes * CONNECTION_WINDOWS);
		});
		session.once('close', () => late.cancel());
		session.on('goaway', () => lane.leave());
		// Each of its streams is told by its own end.
		session.on('error', () => undefined);
		return lane;
	}

	#sweep(): void {
		if (this.#origins.size === 0) {
			this.#sweeping?.cancel();
			this.#sweeping = undefined;
		}
		const now = this.#clock.nowMs();
		for (const lanes of this.#origins.values()) for (const lane of lanes) this.#look(lane, now);
	}

	#look(lane: Lane, now: number): void {
		const { ageMaxMs, idleMs, pingPeriodMs, pingTimeoutMs } = this.#options;
		if (lane.streams === 0 && now - lane.usedAtMs > idleMs) return lane.leave();
		if (now - lane.openedMs > ageMaxMs) lane.leave();
		if (!lane.connected || lane.session.destroyed) return;
		if (lane.pingingSinceMs !== 0) {
			if (now - lane.pingingSinceMs > pingTimeoutMs) lane.session.destroy();
			return;
		}
		if (lane.streams === 0 || now - lane.pingedAtMs < pingPeriodMs) return;
		lane.pingedAtMs = now;
		const sent = lane.session.ping(() => {
			lane.pingingSinceMs = 0;
		});
		if (sent) lane.pingingSinceMs = now;
	}
}
