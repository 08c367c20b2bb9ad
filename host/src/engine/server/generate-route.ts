// Owns the HTTP side of chat and completions: the answer streamed or whole, faults on the way, and the client going
// away.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshError } from '@infermesh/proto';
import { engineErrors } from '../errors.js';
import { createdSeconds, type EngineContext, newId } from './engine-context.js';
import { type ChoiceState, Generation, type GenerationContext, type GenerationSink } from './generation.js';
import { assertModel, chatRequest, completionRequest, type GenerationRequest } from './generation-request.js';
import { readJsonObject, sendText } from './http-io.js';
import type { Handover } from './kv-transfer.js';
import { engineLoad } from './metrics.js';
import { orcaHeaders } from './orca.js';
import { sequenceHashes } from './prompt.js';
import { type Chunk, type ReplyFormat, type ReplyHead, replyFormat } from './reply-format.js';
import type { Body } from './request-fields.js';
import { SseStream } from './sse-stream.js';

export async function serveChat(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	await serve(engine, request, response, chatRequest);
}

export async function serveCompletion(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	await serve(engine, request, response, completionRequest);
}

/** Makes the format of an answer. */
export type FormatOf = (request: GenerationRequest, head: ReplyHead) => ReplyFormat;

/** Serves a request whose body is JSON. */
export async function serve(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
	parse: (body: Body, choicesMax: number) => GenerationRequest,
	formatOf: FormatOf = replyFormat,
): Promise<void> {
	const body = await readJsonObject(request, engine.options.bodyBytesMax);
	if (response.destroyed) return;
	await serveBody(engine, request, response, body, parse, formatOf);
}

/** Serves a request whose body has been read. */
export async function serveBody(
	engine: EngineContext,
	request: IncomingMessage,
	response: ServerResponse,
	body: Body,
	parse: (body: Body, choicesMax: number) => GenerationRequest,
	formatOf: FormatOf,
): Promise<void> {
	const parsed = parse(body, engine.options.choicesMax);
	assertModel(parsed.model, engine.options.models);
	if (parsed.lora !== '') engine.metrics.loraAsked(parsed.lora);
	if (faultBeforeWork(engine)) return;
	const handover = await engine.transfer.prepare(body, request, () => promptChain(engine, parsed));
	if (response.destroyed) return handover.fail();
	new Exchange(engine, parsed, request, response, handover, formatOf).start();
}

/** The hash chain of the first prompt: KV is handed over for that one only. */
function promptChain(engine: EngineContext, { prompts, cacheSalt }: GenerationRequest): Uint32Array {
	const [prompt] = prompts;
	const { blockTokens } = engine.driver.model.config;
	return prompt === undefined ? new Uint32Array() : sequenceHashes(prompt, '', blockTokens, cacheSalt);
}

/** Draws the faults that keep a request from being worked on: throws for `error`, returns true for `hang`. */
export function faultBeforeWork(engine: EngineContext): boolean {
	const { faults } = engine;
	if (faults.fires('error')) {
		throw new MeshError(engineErrors, 'IM_ENGINE_FAULT_INJECTED', undefined, {
			details: { status: faults.settings.error?.status ?? 500 },
		});
	}
	return faults.fires('hang');
}

/** What generations of an engine stand on. */
export function generationContext({ options, driver, metrics, publisher }: EngineContext): GenerationContext {
	const { contextTokensMax, outputLengths: lengths, seed } = options;
	return { driver, metrics, limits: { contextTokensMax, lengths, seed }, tellsTokens: publisher !== undefined };
}

/** One request and its answer. */
class Exchange implements GenerationSink {
	readonly #engine: EngineContext;
	readonly #message: IncomingMessage;
	readonly #response: ServerResponse;
	readonly #format: ReplyFormat;
	readonly #generation: Generation;
	readonly #handover: Handover;
	readonly #stream: SseStream | undefined;
	/** Tokens after which the answer dies or goes silent, by a fault drawn for this request. */
	readonly #dieAfterTokens: number;
	readonly #hangAfterTokens: number;
	#tokens = 0;
	#silent = false;

	constructor(
		engine: EngineContext,
		request: GenerationRequest,
		message: IncomingMessage,
		response: ServerResponse,
		handover: Handover,
		formatOf: FormatOf,
	) {
		this.#handover = handover;
		this.#engine = engine;
		this.#message = message;
		this.#response = response;
		this.#format = formatOf(request, {
			id: requestId(engine, request, message),
			model: request.model,
			created: createdSeconds(engine),
		});
		const { faults } = engine;
		this.#generation = new Generation(generationContext(engine), request, this);
		this.#stream = request.stream ? this.#openStream() : undefined;
		const { dieAfterTokens, hangAfterTokens } = faults.settings;
		this.#dieAfterTokens = faults.fires('dieAfterTokens') ? (dieAfterTokens?.tokens ?? 0) : Infinity;
		this.#hangAfterTokens = faults.fires('hangAfterTokens') ? (hangAfterTokens?.tokens ?? 0) : Infinity;
	}

	/** Queues the work and, for a stream, sends the headers at once as engines do. */
	start(): void {
		this.#generation.start(this.#handover.transferredTokens);
		this.#response.once('close', () => {
			if (this.#response.writableFinished) return;
			this.#generation.cancel();
			this.#handover.fail();
		});
		if (this.#stream === undefined) return;
		this.#response.writeHead(200, {
			'content-type': 'text/event-stream; charset=utf-8',
			'cache-control': 'no-cache',
			...this.#orca(),
		});
		this.#response.flushHeaders();
	}

	onText(choice: ChoiceState, text: string): void {
		if (this.#silent) return;
		if (this.#tokens === this.#dieAfterTokens) this.#die();
		else if (this.#tokens === this.#hangAfterTokens) this.#silence();
		if (this.#silent) return;
		this.#tokens++;
		if (this.#stream === undefined) return;
		// Text held back for a stop string is no event, unless it is the first or the last.
		if (text === '' && choice.finishReason === undefined && choice.tokens > 1) return;
		for (const chunk of this.#format.chunks(choice, text, () => this.#generation.usage)) this.#event(chunk);
	}

	onDone(): void {
		if (this.#silent) return;
		const { usage, choices } = this.#generation;
		const handedOver = this.#handover.publish();
		if (this.#stream === undefined) {
			const text = this.#format.whole(choices, usage);
			const more = handedOver === undefined ? '' : `,"kv_transfer_params":${JSON.stringify(handedOver)}`;
			this.#sendWhole(`${text.slice(0, -1)}${more}}`, this.#format.headers?.(usage) ?? {});
			return;
		}
		for (const chunk of this.#format.closing(choices, usage)) this.#event(chunk);
		this.#stream.end(this.#format.done);
	}

	#event(chunk: Chunk): void {
		if (typeof chunk === 'string') this.#stream?.event(chunk);
		else this.#stream?.event(chunk[1], chunk[0]);
	}

	#openStream(): SseStream {
		return new SseStream({
			response: this.#response,
			queue: this.#engine.queue,
			bufferBytesMax: this.#engine.options.streamBufferBytesMax,
			onOverflow: () => this.#response.destroy(),
		});
	}

	#sendWhole(text: string, more: Readonly<Record<string, string>>): void {
		const { faults } = this.#engine;
		const headers = { 'content-type': 'application/json', ...more, ...this.#orca() };
		if (!faults.fires('wrongLength')) {
			sendText(this.#response, 200, text, headers);
			return;
		}
		const deltaBytes = faults.settings.wrongLength?.deltaBytes ?? 0;
		const wrong = Math.max(0, Buffer.byteLength(text) + deltaBytes);
		// A promise of too much must end with the connection, or the client would wait for ever; after one of too little
		// the connection stays open, with the rest of the body where the next answer should begin.
		const connection = deltaBytes > 0 ? { connection: 'close' } : {};
		sendText(this.#response, 200, text, { ...headers, 'content-length': wrong, ...connection });
	}

	#die(): void {
		this.#silent = true;
		this.#generation.cancel();
		if (this.#stream === undefined) this.#response.destroy();
		else this.#stream.cut();
	}

	/** Goes silent with the connection open; what was said so far still goes out with this turn. */
	#silence(): void {
		this.#silent = true;
		this.#generation.cancel();
	}

	#orca(): Record<string, string> {
		return orcaHeaders(this.#message.headers, engineLoad(this.#engine.driver));
	}
}

/** `chatcmpl-` or `cmpl-` and the client's X-Request-Id where it is one, as vLLM does. */
function requestId(engine: EngineContext, request: GenerationRequest, message: IncomingMessage): string {
	const given = message.headers['x-request-id'];
	const usable = typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given);
	return `${request.kind === 'chat' ? 'chatcmpl-' : 'cmpl-'}${usable ? given : newId(engine)}`;
}
