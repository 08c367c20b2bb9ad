// Owns the choice of HTTP's version for a target: one narrow door through which requests go out, whichever client carries them. Targets of HTTP/1.1 go
// straight to its pools; the others share HTTP/2 sessions, with gRPC calls to the same origin too.
import type { Clock } from '@infermesh/proto';
import type { UpstreamTls } from '../tls.js';
import type { UpstreamCall, UpstreamHandler } from './connection.js';
import type { OtherHttpVersion } from './http-version.js';
import { requestFields } from './http2-fields.js';
import { type PoolOptions, UpstreamPools } from './pools.js';
import type { UpstreamRequest } from './request-head.js';
import { Http2Sessions, type SessionOptions } from './sessions.js';
import { StreamExchange } from './stream-exchange.js';
import { AgreedVersions } from './versions.js';

/** Where a request goes, and how. */
export interface HttpPlace {
	/** Scheme, host and port. */
	readonly origin: string;
	/** Absent = HTTP/1.1. */
	readonly http?: OtherHttpVersion | undefined;
}

/** Bounds of sessions that are not the pools' bounds too. */
export type StreamBounds = Pick<
	SessionOptions,
	'sessionsMax' | 'streamsMax' | 'ageMaxMs' | 'pingPeriodMs' | 'pingTimeoutMs' | 'windowBytes'
>;

export class Upstreams {
	/** HTTP/2 to targets; gRPC opens its streams here. */
	readonly sessions: Http2Sessions;
	readonly #pools: UpstreamPools;
	readonly #versions: AgreedVersions;
	#tls: UpstreamTls;

	constructor(options: PoolOptions, bounds: StreamBounds, clock: Clock) {
		const { connectTimeoutMs, headerBytesMax, poolsMax: originsMax, poolIdleMs: idleMs } = options;
		const recheckMs = bounds.ageMaxMs;
		const tls = (): UpstreamTls => this.#tls;
		this.#tls = options.tls;
		this.#pools = new UpstreamPools(withTls(options, tls), clock);
		const sessions = withTls({ ...bounds, connectTimeoutMs, headerBytesMax, originsMax, idleMs }, tls);
		this.sessions = new Http2Sessions(sessions, clock);
		this.#versions = new AgreedVersions(
			withTls({ connectTimeoutMs, originsMax, recheckMs }, tls),
			clock,
			this.sessions,
		);
	}

	/** What is shown to targets, and what theirs are checked with. */
	get tls(): UpstreamTls {
		return this.#tls;
	}

	/** Takes other certificates: new connections use them, and those there are end as their requests do. */
	setTls(tls: UpstreamTls): void {
		this.#tls = tls;
		this.retain(new Set());
	}

	/** Sends a request; the handler is never called before this returns. Throws UpstreamFault `invalid`, `saturated`, or `connect` for what is no origin. */
	dispatch(place: HttpPlace, request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
		const { origin, http } = place;
		if (http === undefined) return this.#pools.dispatch(origin, request, handler);
		if (http === 'auto' && !this.#versions.speaksHttp2(origin)) return this.#pools.dispatch(origin, request, handler);
		const fields = requestFields(request);
		const opened = this.sessions.open(origin, fields, request.body === null);
		const versions = this.#versions;
		return new StreamExchange(opened, request.body, handler, {
			unreached: () => versions.forget(origin),
			http1Wanted: () => versions.http1Wanted(origin),
		}).call;
	}

	/** Closes what belongs to origins not in `origins`; what is in flight there still ends by itself. */
	retain(origins: ReadonlySet<string>): void {
		this.#pools.retain(origins);
		this.#versions.retain(origins);
		this.sessions.retain(origins);
	}

	/** Closes connections and pools that have been idle too long. */
	sweep(nowMs: number): void {
		this.#pools.sweep(nowMs);
	}

	/** Resets everything. */
	destroy(): void {
		this.#versions.destroy();
		this.sessions.destroy();
		this.#pools.destroy();
	}
}

/** Options whose certificates are read at each new connection: they are replaced while connections live. */
function withTls<T extends object>(options: T, read: () => UpstreamTls): T & { readonly tls: UpstreamTls } {
	return Object.defineProperty({ ...options, tls: read() }, 'tls', { get: read });
}
