// Owns the agent's GET requests to targets: bounded in time and size, over its own small connection pool. It runs a few times a second per
// target on a thread that mostly sleeps, so code that is cold each time: undici's narrow waist, without the streams and signals above it.
import type { Clock, Timer } from '@infermesh/proto';
import { Agent, type Dispatcher } from 'undici';
import type { Fetcher } from '../fleet/poller.js';

/** A scrape and a check of one target at once, of two targets behind one address. */
const CONNECTIONS_MAX = 4;

type Answer = Awaited<ReturnType<Fetcher>>;

/** One answer on its way: collects it within its bounds and settles once. */
class Collector implements Dispatcher.DispatchHandler {
	readonly #path: string;
	readonly #bodyMaxBytes: number;
	readonly #resolve: (answer: Answer) => void;
	readonly #reject: (error: Error) => void;
	readonly #timer: Timer;
	#controller: Dispatcher.DispatchController | undefined;
	#late: Error | undefined;
	#status = 0;
	#chunks: Buffer[] = [];
	#bytes = 0;
	#settled = false;

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
		// A thread that stood still finds the timer and the answer due at once: what has arrived is read first.
		const late = (): void => void setImmediate(() => this.#timeOut(limits.timeoutMs));
		this.#timer = clock.after(limits.timeoutMs, late, { unref: true });
	}

	onRequestStart(controller: Dispatcher.DispatchController): void {
		this.#controller = controller;
		if (this.#late !== undefined) controller.abort(this.#late);
	}

	onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
		this.#status = status;
	}

	onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
		this.#bytes += chunk.length;
		if (this.#bytes <= this.#bodyMaxBytes) this.#chunks.push(chunk);
		else controller.abort(new RangeError(`the body of ${this.#path} exceeds ${this.#bodyMaxBytes} bytes`));
	}

	onResponseEnd(): void {
		this.#settle();
		const [first] = this.#chunks;
		const body = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.#bytes);
		this.#resolve({ status: this.#status, body: body.toString('utf8') });
	}

	onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
		this.#settle();
		this.#reject(error);
	}

	#settle(): void {
		this.#settled = true;
		this.#timer.cancel();
	}

	/** Rejects at once: a request still waiting for its connection is told of no abort before it has one. */
	#timeOut(timeoutMs: number): void {
		if (this.#settled) return;
		this.#late = new DOMException(`no whole answer of ${this.#path} in ${timeoutMs} ms`, 'TimeoutError');
		this.#reject(this.#late);
		this.#controller?.abort(this.#late);
	}
}

/** Makes a fetcher and the way to close its connections. */
export function createFetcher(clock: Clock): { readonly fetch: Fetcher; readonly close: () => Promise<void> } {
	const agent = new Agent({
		connections: CONNECTIONS_MAX,
		pipelining: 1,
		keepAliveTimeout: 10_000,
		// Each answer has one time limit, from its start to its end.
		headersTimeout: 0,
		bodyTimeout: 0,
		connect: { timeout: 2000 },
	});
	const fetch: Fetcher = (url, limits) =>
		new Promise((resolve, reject) => {
			const { origin, pathname, search } = new URL(url);
			const headers = ['accept', 'text/plain'];
			if (limits.apiKey !== undefined) headers.push('authorization', `Bearer ${limits.apiKey}`);
			const collector = new Collector(pathname, limits, clock, resolve, reject);
			agent.dispatch({ origin, path: pathname + search, method: 'GET', headers }, collector);
		});
	return { fetch, close: () => agent.destroy() };
}
