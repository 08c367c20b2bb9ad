// Owns a worker's side of tokenising: what is asked, how many questions may be open, and how long a request waits for its answer. An answer
// that comes too late, or not at all, is no failure: the request is decided without it.
import type { Clock } from '@infermesh/proto';
import type { ModelPool } from '../../router/ports.js';
import type { TokenEndpoint, TokenizerSource, TokenReply, TokenRequest } from './protocol.js';

export interface TokenClientOptions {
	readonly tokenizers: Readonly<Record<string, TokenizerSource>>;
	readonly waitMs: number;
	/** Questions of this worker that may be open. */
	readonly openMax: number;
	/** Bodies beyond this are not asked about. */
	readonly bodyBytesMax: number;
}

export type TokenResult = 'done' | 'late' | 'full' | 'too_large' | NonNullable<TokenReply['failure']>;

export interface TokenClientPorts {
	readonly clock: Clock;
	/** Hands a request to thread `thread` of so many; its body is given away. */
	readonly send: (thread: number, request: TokenRequest) => void;
	readonly threads: () => number;
	readonly metrics: { tokenized(result: TokenResult, waitedMs: number): void };
}

interface Open {
	readonly done: ((ids: Uint32Array | undefined) => void) | undefined;
	readonly askedMs: number;
	cancel(): void;
}

export class TokenClient {
	readonly #options: TokenClientOptions;
	readonly #ports: TokenClientPorts;
	/** Those whose request has gone on without them too: they still take a thread's time. */
	readonly #open = new Map<number, Open>();
	#next = 1;

	constructor(options: TokenClientOptions, ports: TokenClientPorts) {
		this.#options = options;
		this.#ports = ports;
	}

	/** True when `done` will be called, once and later; false when there is nothing to wait for. */
	ask(
		pool: ModelPool,
		endpoint: TokenEndpoint,
		body: Uint8Array,
		done: (ids: Uint32Array | undefined) => void,
	): boolean {
		const { tokenizers, openMax, bodyBytesMax, waitMs } = this.#options;
		const source = Object.hasOwn(tokenizers, pool.model) ? tokenizers[pool.model] : undefined;
		const threads = this.#ports.threads();
		if (source === undefined || threads === 0) return false;
		const { clock, metrics } = this.#ports;
		if (body.length > bodyBytesMax) {
			metrics.tokenized('too_large', 0);
			return false;
		}
		if (this.#open.size >= openMax) {
			metrics.tokenized('full', 0);
			return false;
		}
		const id = this.#next++;
		const engine = pool.targets.find((target) => target !== undefined && target.cell === undefined);
		if (engine === undefined) return false;
		const timer = clock.after(waitMs, () => this.#late(id));
		this.#open.set(id, { done, askedMs: clock.nowMs(), cancel: () => timer.cancel() });
		this.#ports.send(threadOf(body, threads), {
			id,
			model: pool.model,
			endpoint,
			// A copy: it is given away, and a buffer's own slice would be a view.
			body: new Uint8Array(body),
			untilMs: clock.wallMs() + waitMs,
			engine: {
				url: engine.origin + engine.pathPrefix,
				apiKey: engine.apiKey,
				model: engine.upstreamModel ?? pool.model,
				http: engine.http,
			},
		});
		return true;
	}

	replied({ id, ids, failure }: TokenReply): void {
		const open = this.#open.get(id);
		if (open === undefined) return;
		this.#open.delete(id);
		open.cancel();
		if (open.done === undefined) return;
		this.#ports.metrics.tokenized(failure ?? 'done', this.#ports.clock.nowMs() - open.askedMs);
		open.done(ids);
	}

	/** A thread has ended: nothing that it was asked will be answered. */
	lost(): void {
		for (const [id, open] of this.#open) {
			this.#open.delete(id);
			open.cancel();
			open.done?.(undefined);
		}
	}

	#late(id: number): void {
		const open = this.#open.get(id);
		if (open?.done === undefined) return;
		this.#open.set(id, { done: undefined, askedMs: open.askedMs, cancel: () => undefined });
		this.#ports.metrics.tokenized('late', this.#ports.clock.nowMs() - open.askedMs);
		open.done(undefined);
	}
}

/** Bytes of a body by which it is given a thread: conversations that begin alike come to the thread that has seen them. */
const BEGINNING_BYTES = 512;

function threadOf(body: Uint8Array, threads: number): number {
	if (threads === 1) return 0;
	let hash = 0x811c9dc5;
	for (let at = 0; at < Math.min(body.length, BEGINNING_BYTES); at++)
		hash = Math.imul(hash ^ (body[at] as number), 0x01000193);
	return (hash >>> 0) % threads;
}
