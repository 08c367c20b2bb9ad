// Owns the handing over of KV between emulated engines, on both sides: what this one has prefilled for others, and what it takes from them. Bytes are
// not moved: the receiver asks how many tokens the sender still holds, and waits as long as their bytes would take. Both real ways are spoken on the
// request (vLLM's `kv_transfer_params`, SGLang's `bootstrap_*`), and a hint of the mesh's own: `x-infermesh-fetch-from: URL` names an engine that holds
// the prompt's prefix. Between engines `POST /_kv` stands for the side channel. Invariant: what was handed over or has waited too long is forgotten.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import type { EngineDriver } from './engine-driver.js';
import { readJsonObject, sendJson } from './http-io.js';
import type { TransferOptions } from './options.js';
import { askPeer, type PeerQuestion } from './peer.js';
import {
	type Body,
	optionalBoolean,
	optionalInteger,
	optionalObject,
	optionalString,
	refuse,
} from './request-fields.js';

/** Prefills kept for others at once; the oldest goes first. */
const KEPT_MAX = 4096;
const CHAIN_WORDS_MAX = 65_536;
const QUESTION_BYTES_MAX = 1024 * 1024;

/** Where other engines reach this one. */
export interface SelfAddress {
	readonly host: string;
	readonly port: number;
}

/** What of a request is handed over, and how. */
export interface Handover {
	/** Tokens whose KV has come. */
	readonly transferredTokens: number;
	/** The prefill is done: others may take it. Returns what the answer says of it, if anything. */
	publish(): Record<string, unknown> | undefined;
	/** The prefill has failed, or was cancelled. */
	fail(): void;
}

interface Kept {
	/** Hash chain of the prompt; undefined while it is still computed. */
	chain: Uint32Array | undefined;
	failed: boolean;
	readonly waiting: Set<() => void>;
	readonly expiry: Timer;
}

const NOTHING: Handover = { transferredTokens: 0, publish: () => undefined, fail: () => undefined };

export class KvTransfer {
	self: SelfAddress = { host: '127.0.0.1', port: 0 };
	readonly #options: TransferOptions;
	readonly #clock: Clock;
	readonly #driver: EngineDriver;
	readonly #bytesPerToken: number;
	readonly #speed: number;
	readonly #kept = new Map<string, Kept>();
	#next = 0;

	constructor(
		options: TransferOptions,
		clock: Clock,
		driver: EngineDriver,
		given: { readonly bytesPerToken: number; readonly speed: number },
	) {
		this.#options = options;
		this.#clock = clock;
		this.#driver = driver;
		this.#bytesPerToken = given.bytesPerToken;
		this.#speed = given.speed;
	}

	/** Reads what a request says of a handover, and waits for the KV that is to come. Throws IM_ENGINE_TRANSFER_FAILED and IM_ENGINE_REQUEST_INVALID. */
	async prepare(body: Body, message: IncomingMessage, chain: () => Uint32Array): Promise<Handover> {
		const { protocol, role } = this.#options;
		if (protocol === 'nixl') {
			const params = optionalObject(body, 'kv_transfer_params');
			if (params !== undefined && optionalBoolean(params, 'do_remote_decode')) return this.#keepForNixl(chain());
			if (params !== undefined && optionalBoolean(params, 'do_remote_prefill'))
				return this.#loadByNixl(params, chain());
		}
		if (protocol === 'bootstrap' && role !== 'both') return this.#bootstrap(body, chain);
		const from = message.headers['x-infermesh-fetch-from'];
		return typeof from === 'string' ? this.#fetch(from, chain()) : NOTHING;
	}

	/** `POST /_kv`: another engine asks for what it may take. */
	async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const body = await readJsonObject(request, QUESTION_BYTES_MAX);
		const chain = body['chain'];
		if (Array.isArray(chain)) {
			if (chain.length > CHAIN_WORDS_MAX) refuse('chain', `must have at most ${CHAIN_WORDS_MAX} words`);
			return sendJson(response, 200, {
				tokens: this.#driver.cachedPrefixTokens(Uint32Array.from(chain as number[])),
			});
		}
		const key = optionalString(body, 'key') ?? refuse('key', 'or chain is required');
		const tokens = await this.#take(key, optionalBoolean(body, 'wait'));
		if (tokens === undefined) throw new MeshError(engineErrors, 'IM_ENGINE_TRANSFER_FAILED');
		sendJson(response, 200, { tokens });
	}

	close(): void {
		for (const { expiry } of this.#kept.values()) expiry.cancel();
		this.#kept.clear();
	}

	#keepForNixl(chain: Uint32Array): Handover {
		const key = `nixl-${this.#next++}`;
		return {
			transferredTokens: 0,
			publish: () => {
				this.#publish(key, chain);
				return {
					do_remote_prefill: true,
					do_remote_decode: false,
					remote_block_ids: [[0]],
					remote_engine_id: `engine-${this.self.port}`,
					remote_request_id: key,
					remote_host: this.self.host,
					remote_port: this.self.port,
					tp_size: 1,
				};
			},
			fail: () => undefined,
		};
	}

	async #loadByNixl(params: Body, chain: Uint32Array): Promise<Handover> {
		const host = optionalString(params, 'remote_host') ?? '';
		const port = optionalInteger(params, 'remote_port', 1, 65_535) ?? 0;
		const key = optionalString(params, 'remote_request_id') ?? '';
		try {
			return await this.#load({ host, port }, { key }, chain);
		} catch (cause) {
			if (this.#options.onLoadFailure === 'recompute') return NOTHING;
			throw new MeshError(engineErrors, 'IM_ENGINE_TRANSFER_FAILED', undefined, { cause });
		}
	}

	/** SGLang's engines do one side only, and nothing without a room. */
	async #bootstrap(body: Body, chainOf: () => Uint32Array): Promise<Handover> {
		const { role, waitMs } = this.#options;
		const room = optionalInteger(body, 'bootstrap_room', 0, Number.MAX_SAFE_INTEGER);
		if (room === undefined) return refuse('bootstrap_room', `is required by a ${role} engine`);
		const key = `room-${room}`;
		const chain = chainOf();
		if (role === 'prefill') {
			const kept = this.#keep(key);
			return {
				transferredTokens: 0,
				publish: () => {
					this.#publish(key, chain);
					return undefined;
				},
				fail: () => this.#settle(kept, undefined),
			};
		}
		const host = optionalString(body, 'bootstrap_host') ?? '';
		const port = optionalInteger(body, 'bootstrap_port', 1, 65_535) ?? 0;
		try {
			return await this.#load({ host, port }, { key, wait: true, waitMs }, chain);
		} catch (cause) {
			throw new MeshError(engineErrors, 'IM_ENGINE_TRANSFER_FAILED', undefined, { cause });
		}
	}

	/** The prefix another engine holds, as far as this one has not got it. Nothing is lost when it does not come. */
	async #fetch(from: string, chain: Uint32Array): Promise<Handover> {
		const url = URL.canParse(from) ? new URL(from) : undefined;
		if (url?.protocol !== 'http:') return NOTHING;
		const peer = { host: url.hostname, port: Number(url.port === '' ? 80 : url.port) };
		try {
			return await this.#load(peer, { chain: [...chain.subarray(0, CHAIN_WORDS_MAX)] }, chain);
		} catch {
			return NOTHING;
		}
	}

	async #load(peer: SelfAddress, question: PeerQuestion, chain: Uint32Array): Promise<Handover> {
		const tokens = await askPeer(peer, question, this.#options.waitMs);
		const own = this.#driver.cachedPrefixTokens(chain);
		if (tokens <= own) return NOTHING;
		const seconds = ((tokens - own) * this.#bytesPerToken) / this.#options.bytesPerSecond / this.#speed;
		await new Promise<void>((resolve) => this.#clock.after(Math.ceil(seconds * 1000), resolve));
		return { ...NOTHING, transferredTokens: tokens };
	}

	#keep(key: string): Kept {
		const present = this.#kept.get(key);
		if (present !== undefined) return present;
		if (this.#kept.size >= KEPT_MAX) this.#forgetOldest();
		const expiry = this.#clock.after(this.#options.waitMs, () => {
			const kept = this.#kept.get(key);
			this.#kept.delete(key);
			if (kept !== undefined) this.#settle(kept, undefined);
		});
		const kept: Kept = { chain: undefined, failed: false, waiting: new Set(), expiry };
		this.#kept.set(key, kept);
		return kept;
	}

	#forgetOldest(): void {
		const [oldest] = this.#kept;
		if (oldest === undefined) return;
		oldest[1].expiry.cancel();
		this.#kept.delete(oldest[0]);
		this.#settle(oldest[1], undefined);
	}

	#publish(key: string, chain: Uint32Array): void {
		this.#settle(this.#keep(key), chain);
	}

	#settle(kept: Kept, chain: Uint32Array | undefined): void {
		kept.chain = chain;
		kept.failed = chain === undefined;
		for (const resolve of kept.waiting) resolve();
		kept.waiting.clear();
	}

	/** Hands a prefill over, once: how many of its tokens are still here. Undefined when there is none. */
	async #take(key: string, wait: boolean): Promise<number | undefined> {
		if (wait) {
			const kept = this.#keep(key);
			if (kept.chain === undefined && !kept.failed) await new Promise<void>((resolve) => kept.waiting.add(resolve));
		}
		const kept = this.#kept.get(key);
		if (kept?.chain === undefined) return undefined;
		kept.expiry.cancel();
		this.#kept.delete(key);
		return this.#driver.cachedPrefixTokens(kept.chain);
	}
}
