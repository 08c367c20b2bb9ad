// Owns the connections to targets: one pool per origin, made on first use, closed when its target goes or nobody has used it for a while. A
// request takes the connection used last, or opens one of its own: nothing waits in a queue here. Timeouts of requests are the pipeline's;
// only connecting is bounded here.
import type { Clock } from '@infermesh/proto';
import {
	type ConnectionOptions,
	type ConnectionOwner,
	type Endpoint,
	type SharedByConnections,
	type UpstreamCall,
	UpstreamConnection,
	type UpstreamHandler,
} from './connection.js';
import { UpstreamFault } from './faults.js';
import { requestHead, type UpstreamRequest } from './request-head.js';
import { TurnEnd } from './turn-end.js';

export interface PoolOptions extends ConnectionOptions {
	/** A free connection is closed after this; upstreams' own hints shorten it. */
	readonly keepAliveTimeoutMs: number;
	/** Connections per origin. */
	readonly connectionsMax: number;
	/** Origins with a pool at once. */
	readonly poolsMax: number;
	/** A pool nobody used for this long is closed. */
	readonly poolIdleMs: number;
}

/** Taken off what an upstream says it keeps an idle connection for: its close and our request must not cross. */
const HINT_MARGIN_MS = 1000;

/** Most bytes of one read; as much as Node takes at a time. */
const READ_BYTES = 64 * 1024;

class OriginPool implements ConnectionOwner {
	usedAtMs: number;
	/** Free connections, the one freed last at the end. */
	readonly #free: UpstreamConnection[] = [];
	readonly #all = new Set<UpstreamConnection>();
	readonly #endpoint: Endpoint;
	readonly #options: PoolOptions;
	readonly #clock: Clock;
	readonly #shared: SharedByConnections;
	#closed = false;

	constructor(endpoint: Endpoint, options: PoolOptions, clock: Clock, shared: SharedByConnections) {
		this.#shared = shared;
		this.#endpoint = endpoint;
		this.#options = options;
		this.#clock = clock;
		this.usedAtMs = clock.nowMs();
	}

	/** Connections with an exchange on them. */
	get active(): number {
		return this.#all.size - this.#free.length;
	}

	get connections(): number {
		return this.#all.size;
	}

	dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
		if (this.active >= this.#options.connectionsMax)
			throw new UpstreamFault('saturated', `${this.#options.connectionsMax} connections to the origin are in use`);
		const head = requestHead(request, this.#endpoint.authority);
		return (this.#take() ?? this.#open()).send(request.method, head, request.body, handler);
	}

	freed(connection: UpstreamConnection): void {
		this.usedAtMs = this.#clock.nowMs();
		connection.idleSinceMs = this.usedAtMs;
		if (this.#closed) return connection.destroy();
		this.#free.push(connection);
	}

	gone(connection: UpstreamConnection): void {
		this.usedAtMs = this.#clock.nowMs();
		this.#all.delete(connection);
		const at = this.#free.lastIndexOf(connection);
		if (at >= 0) this.#free.splice(at, 1);
	}

	/** Closes connections that have been free too long. */
	sweep(nowMs: number): void {
		for (const connection of this.#free.filter((one) => !this.#fresh(one, nowMs))) connection.destroy();
	}

	/** Closes free connections; the others close as their exchanges end. */
	close(): void {
		this.#closed = true;
		for (const connection of this.#free.splice(0)) connection.destroy();
	}

	/** Closes everything; exchanges fail. */
	destroy(): void {
		this.#closed = true;
		for (const connection of this.#all) connection.destroy();
	}

	#take(): UpstreamConnection | undefined {
		const last = this.#free.at(-1);
		if (last === undefined) return undefined;
		if (this.#fresh(last, this.#clock.nowMs())) return this.#free.pop();
		// The others have been free for longer still, or promise less.
		this.sweep(this.#clock.nowMs());
		return this.#free.pop();
	}

	#fresh({ idleSinceMs, idleMaxMs }: UpstreamConnection, nowMs: number): boolean {
		const max = Math.min(this.#options.keepAliveTimeoutMs, idleMaxMs - HINT_MARGIN_MS);
		return nowMs - idleSinceMs <= max;
	}

	#open(): UpstreamConnection {
		const connection = new UpstreamConnection(this.#endpoint, this.#options, this.#clock, this.#shared, this);
		this.#all.add(connection);
		return connection;
	}
}

export class UpstreamPools {
	readonly #options: PoolOptions;
	readonly #clock: Clock;
	readonly #pools = new Map<string, OriginPool>();
	readonly #shared: SharedByConnections = { turn: new TurnEnd(), readBuffer: Buffer.allocUnsafeSlow(READ_BYTES) };

	constructor(options: PoolOptions, clock: Clock) {
		this.#options = options;
		this.#clock = clock;
	}

	/** Origins with a pool. */
	get size(): number {
		return this.#pools.size;
	}

	/** Connections of all pools, free ones included. */
	get connections(): number {
		let sum = 0;
		for (const pool of this.#pools.values()) sum += pool.connections;
		return sum;
	}

	/** Sends a request; the handler is never called before this returns. Throws UpstreamFault `invalid`, `saturated`, or `connect` for what is no origin. */
	dispatch(origin: string, request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
		return (this.#pools.get(origin) ?? this.#open(origin)).dispatch(request, handler);
	}

	/** Closes the pools of origins not in `origins`; what is in flight there still ends by itself. */
	retain(origins: ReadonlySet<string>): void {
		for (const origin of this.#pools.keys()) if (!origins.has(origin)) this.#close(origin);
	}

	/** Closes connections and pools that have been idle too long. */
	sweep(nowMs: number): void {
		for (const [origin, pool] of this.#pools) {
			if (pool.active === 0 && nowMs - pool.usedAtMs > this.#options.poolIdleMs) this.#close(origin);
			else pool.sweep(nowMs);
		}
	}

	/** Resets every connection of the pools there are. */
	destroy(): void {
		for (const pool of this.#pools.values()) pool.destroy();
		this.#pools.clear();
	}

	#open(origin: string): OriginPool {
		const endpoint = endpointOf(origin);
		if (this.#pools.size >= this.#options.poolsMax) this.#closeOldest();
		const pool = new OriginPool(endpoint, this.#options, this.#clock, this.#shared);
		this.#pools.set(origin, pool);
		return pool;
	}

	#closeOldest(): void {
		let oldest: string | undefined;
		let oldestMs = Number.POSITIVE_INFINITY;
		for (const [origin, { usedAtMs }] of this.#pools) {
			if (usedAtMs >= oldestMs) continue;
			oldest = origin;
			oldestMs = usedAtMs;
		}
		if (oldest !== undefined) this.#close(oldest);
	}

	#close(origin: string): void {
		this.#pools.get(origin)?.close();
		this.#pools.delete(origin);
	}
}

/** Throws UpstreamFault `connect` for what is no origin. */
export function endpointOf(origin: string): Endpoint {
	const url = URL.canParse(origin) ? new URL(origin) : undefined;
	if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '')
		throw new UpstreamFault('connect', 'the target has no HTTP origin');
	const tls = url.protocol === 'https:';
	return {
		host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
		port: url.port === '' ? (tls ? 443 : 80) : Number(url.port),
		tls,
		authority: url.host,
		session: undefined,
	};
}
