// Owns the tokenising side: requests of all workers in the order they come, a tokeniser per model opened at its first request, answers from
// files or from an engine. Whatever goes wrong is a reply without ids: the router then decides by what it has sent before.
import type { Clock } from '@infermesh/proto';
import type { Fetcher } from '../../fleet/poller.js';
import { FileTokenizer, type TokenizerFiles } from './file-tokenizer.js';
import type { TokenizerSource, TokenReply, TokenRequest } from './protocol.js';
import { SegmentCache } from './segment-cache.js';

export interface TokenServiceOptions {
	readonly tokenizers: Readonly<Record<string, TokenizerSource>>;
	readonly cacheBytesMax: number;
	readonly engineTimeoutMs: number;
	/** Calls of engines under way at once; more are answered without ids. */
	readonly engineCallsMax: number;
	/** Bytes of an engine's answer. */
	readonly answerBytesMax: number;
}

export interface TokenServicePorts {
	readonly clock: Clock;
	/** Reads the files of a tokeniser; rejects when they are not there. */
	readonly read: (path: string) => Promise<TokenizerFiles>;
	readonly post: (
		url: string,
		body: string,
		options: Omit<Parameters<Fetcher>[1], 'json'>,
	) => Promise<{ readonly status: number; readonly body: string }>;
	/** A tokeniser that cannot be opened, said once. */
	readonly failed: (model: string, error: unknown) => void;
}

type Json = Readonly<Record<string, unknown>>;

export class TokenService {
	readonly #options: TokenServiceOptions;
	readonly #ports: TokenServicePorts;
	readonly #cache: SegmentCache;
	readonly #opened = new Map<string, Promise<FileTokenizer | undefined>>();
	readonly #queue: { readonly request: TokenRequest; readonly reply: (reply: TokenReply) => void }[] = [];
	#working = false;
	#engineCalls = 0;

	constructor(options: TokenServiceOptions, ports: TokenServicePorts) {
		this.#options = options;
		this.#ports = ports;
		this.#cache = new SegmentCache(options.cacheBytesMax);
	}

	/** Takes a request; `reply` is called once. How many may wait is bounded by those who ask. */
	ask(request: TokenRequest, reply: (reply: TokenReply) => void): void {
		const source = this.#options.tokenizers[request.model];
		if (source?.kind === 'engine') return void this.#askEngine(request, reply);
		this.#queue.push({ request, reply });
		if (!this.#working) void this.#work();
	}

	async #work(): Promise<void> {
		this.#working = true;
		for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
			const { request, reply } = next;
			const startMs = this.#ports.clock.nowMs();
			// What nobody waits for any more is only made while nobody else waits.
			if (this.#queue.length > 0 && this.#ports.clock.wallMs() > request.untilMs) {
				reply({ id: request.id, ids: undefined, failure: 'stale', tookMs: 0 });
				continue;
			}
			const { ids, failure } = await this.#encode(request);
			reply({ id: request.id, ids, failure, tookMs: this.#ports.clock.nowMs() - startMs });
		}
		this.#working = false;
	}

	async #encode(request: TokenRequest): Promise<Pick<TokenReply, 'ids' | 'failure'>> {
		const source = this.#options.tokenizers[request.model];
		if (source?.kind !== 'file') return { ids: undefined, failure: 'unsupported' };
		let opened = this.#opened.get(source.path);
		if (opened === undefined) {
			opened = this.#open(request.model, source.path);
			this.#opened.set(source.path, opened);
		}
		const tokenizer = await opened;
		if (tokenizer === undefined) return { ids: undefined, failure: 'failed' };
		try {
			const body = JSON.parse(Buffer.from(request.body).toString('utf8')) as Json;
			const { prompt } = body;
			const ids =
				request.endpoint === 'chat'
					? tokenizer.chat(body)
					: typeof prompt === 'string'
						? tokenizer.completion(prompt)
						: undefined;
			// A copy of their own: they are handed over, and pieces stay in the cache.
			return ids === undefined ? { ids, failure: 'unsupported' } : { ids: ids.slice(), failure: undefined };
		} catch {
			// A template may refuse a conversation; the engine then does so too.
			return { ids: undefined, failure: 'failed' };
		}
	}

	async #open(model: string, path: string): Promise<FileTokenizer | undefined> {
		try {
			return new FileTokenizer(await this.#ports.read(path), this.#cache);
		} catch (error) {
			this.#ports.failed(model, error);
			return undefined;
		}
	}

	async #askEngine(request: TokenRequest, reply: (reply: TokenReply) => void): Promise<void> {
		const startMs = this.#ports.clock.nowMs();
		const answer = (ids: Uint32Array | undefined, failure: TokenReply['failure']): void =>
			reply({ id: request.id, ids, failure, tookMs: this.#ports.clock.nowMs() - startMs });
		if (this.#engineCalls >= this.#options.engineCallsMax) return answer(undefined, 'stale');
		this.#engineCalls++;
		try {
			const body = JSON.parse(Buffer.from(request.body).toString('utf8')) as Json;
			const wanted = tokenizeBody(request, body);
			if (wanted === undefined) return answer(undefined, 'unsupported');
			// The text is a key too long for a request's sake; what is kept is bounded in bytes all the same.
			const key = `${request.model} ${wanted}`;
			const known = this.#cache.get(key);
			if (known !== undefined) return answer(known.slice(), undefined);
			const { status, body: text } = await this.#ports.post(`${request.engine.url}/tokenize`, wanted, {
				timeoutMs: this.#options.engineTimeoutMs,
				bodyMaxBytes: this.#options.answerBytesMax,
				apiKey: request.engine.apiKey,
				http: request.engine.http,
			});
			const ids = status === 200 ? idsOf(text) : undefined;
			if (ids === undefined) return answer(undefined, 'failed');
			this.#cache.set(key, ids);
			answer(ids.slice(), undefined);
		} catch {
			answer(undefined, 'failed');
		} finally {
			this.#engineCalls--;
		}
	}
}

/** What an engine is asked: the fields of the request that make its prompt. */
function tokenizeBody({ endpoint, engine }: TokenRequest, body: Json): string | undefined {
	if (endpoint === 'completion')
		return typeof body['prompt'] === 'string'
			? JSON.stringify({ model: engine.model, prompt: body['prompt'] })
			: undefined;
	if (!Array.isArray(body['messages'])) return undefined;
	const { messages, tools, chat_template_kwargs, add_generation_prompt, continue_final_message } = body;
	return JSON.stringify({
		model: engine.model,
		messages,
		tools,
		chat_template_kwargs,
		add_generation_prompt,
		continue_final_message,
	});
}

function idsOf(text: string): Uint32Array | undefined {
	const { tokens } = JSON.parse(text) as { tokens?: unknown };
	if (!Array.isArray(tokens) || !tokens.every((id) => Number.isInteger(id) && id >= 0 && id <= 0xffff_ffff))
		return undefined;
	return Uint32Array.from(tokens as number[]);
}
