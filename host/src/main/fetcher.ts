// Owns the agent's requests to targets (GET, or POST of JSON): bounded in time and size, over connections of their own. It runs a few times a second per target on a
// thread that mostly sleeps, so code that is cold each time: the same narrow client as the router's, without a promise or a stream in between.
import type { Clock, Timer } from '@infermesh/proto';
import type { Fetcher } from '../fleet/poller.js';
import type { UpstreamTls } from '../router/tls.js';
import type { UpstreamCall, UpstreamHandler } from '../router/upstream/connection.js';
import type { UpstreamFault } from '../router/upstream/faults.js';
import type { PoolOptions } from '../router/upstream/pools.js';
import { type StreamBounds, Upstreams } from '../router/upstream/upstreams.js';

const options: Omit<PoolOptions, 'tls'> = {
	connectTimeoutMs: 2000,
	headerBytesMax: 32 * 1024,
	keepAliveTimeoutMs: 10_000,
	// A scrape and a check of one target at once, of a few targets behind one address.
	connectionsMax: 64,
	poolsMax: 4096,
	poolIdleMs: 60_000,
};
/** HTTP/2 to targets that want it: one session each has room for all that is asked of them at once. */
const bounds: StreamBounds = {
	sessionsMax: 2,
	streamsMax: 64,
	ageMaxMs: 600_000,
	pingPeriodMs: 20_000,
	pingTimeoutMs: 10_000,
	windowBytes: 1024 * 1024,
};
const SWEEP_MS = 30_000;

/** A wait is counted in so many pieces. */
const WAIT_PIECES = 5;
/** A piece that ends later than by this share of it is not counted: this thread stood still, and what has not arrived may be its own fault. */
const LATE_SHARE = 0.5;
/** A thread that is late again and again waits so many times as long, and no longer. */
const WAIT_FACTOR_MAX = 5;

type Answer = Awaited<ReturnType<Fetcher>>;

/** One answer on its way: collects it within its bounds and settles once. */
class Collector implements UpstreamHandler {
	readonly #path: string;
	readonly #bodyMaxBytes: number;
	readonly #resolve: (answer: Answer) => void;
	readonly #reject: (error: Error) => void;
	readonly #clock: Clock;
	readonly #timeoutMs: number;
	readonly #beganMs: number;
	#timer: Timer | undefined;
	#call: UpstreamCall | undefined;
	#settled = false;
	#status = 0;
	#chunks: Buffer[] = [];
	#bytes = 0;

	constructor(
		path: string,
		limits: Parameters<Fetcher>[1],
		clock: Clock,
		resolve: (answer: Answer) => void,
		reject: (error: Error) => void,
	) {
		this.#path = path;
		this.#bodyMaxBytes = limits.bodyMaxBytes;
		this.#resolve = resolve;
		this.#reject = reject;
		this.#clock = clock;
		this.#timeoutMs = limits.timeoutMs;
		this.#beganMs = clock.nowMs();
		this.#wait(WAIT_PIECES);
	}

	/** Waits for so many more pieces in which this thread did not stand still, then gives up. */
	#wait(pieces: number): void {
		const pieceMs = this.#timeoutMs / WAIT_PIECES;
		const dueMs = this.#clock.nowMs() + pieceMs;
		const ended = (): void => {
			if (this.#settled) return;
			const nowMs = this.#clock.nowMs();
			const isLate = nowMs - dueMs > pieceMs * LATE_SHARE && nowMs - this.#beganMs < this.#timeoutMs * WAIT_FACTOR_MAX;
			const left = isLate ? pieces : pieces - 1;
			if (left === 0) this.#timeOut();
			else this.#wait(left);
		};
		// A thread that stood still finds the timer and the answer due at once: what has arrived is read first.
		this.#timer = this.#clock.after(pieceMs, () => void setImmediate(ended), { unref: true });
	}

	begun(call: UpstreamCall): void {
		this.#call = call;
	}

	onHead(status: number): void {
		this.#status = status;
	}

	onBody(bytes: Buffer): void {
		this.#bytes += bytes.length;
		if (this.#bytes <= this.#bodyMaxBytes) this.#chunks.push(bytes);
		else this.fail(new RangeError(`the body of ${this.#path} exceeds ${this.#bodyMaxBytes} bytes`));
	}

	onEnd(): void {
		if (!this.#settle()) return;
		const [first] = this.#chunks;
		const body = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.#bytes);
		this.#resolve({ status: this.#status, body });
	}

	onFault(fault: UpstreamFault): void {
		this.fail(fault);
	}

	/** Gives the answer up; the connection goes with it. */
	fail(error: Error): void {
		if (!this.#settle()) return;
		this.#call?.abort();
		this.#reject(error);
	}

	#settle(): boolean {
		if (this.#settled) return false;
		this.#settled = true;
		this.#timer?.cancel();
		return true;
	}

	#timeOut(): void {
		this.fail(new DOMException(`no whole answer of ${this.#path} in ${this.#timeoutMs} ms`, 'TimeoutError'));
	}
}

/** Makes a fetcher, the way to give it other certificates, and the way to close its connections. */
export function createFetcher(
	clock: Clock,
	tls: UpstreamTls = {},
): { readonly fetch: Fetcher; readonly setTls: (tls: UpstreamTls) => void; readonly close: () => void } {
	const upstreams = new Upstreams({ ...options, tls }, bounds, clock);
	const sweeper = clock.every(SWEEP_MS, () => upstreams.sweep(clock.nowMs()), { unref: true });
	const fetch: Fetcher = (url, limits) =>
		new Promise((resolve, reject) => {
			const { origin, pathname, search } = new URL(url);
			const { json } = limits;
			const headers = json === undefined ? ['accept', 'text/plain'] : ['content-type', 'application/json'];
			const body = json === undefined ? null : Buffer.from(json);
			if (limits.apiKey !== undefined) headers.push('authorization', `Bearer ${limits.apiKey}`);
			const collector = new Collector(pathname, limits, clock, resolve, reject);
			try {
				collector.begun(
					upstreams.dispatch(
						{ origin, http: limits.http },
						{ method: body === null ? 'GET' : 'POST', path: pathname + search, headers, body },
						collector,
					),
				);
			} catch (error) {
				collector.fail(error instanceof Error ? error : new Error(String(error)));
			}
		});
	return {
		fetch,
		setTls: (fresh) => upstreams.setTls(fresh),
		close: () => {
			sweeper.cancel();
			upstreams.destroy();
		},
	};
}
