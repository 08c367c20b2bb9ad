// Owns realtime sessions over WebSocket on an emulated engine, in the shape of OpenAI's: texts are put into a conversation, and answers generated from all of it.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { MeshError } from '@infermesh/proto';
import { type WebSocket, WebSocketServer } from 'ws';
import { type EngineContext, newId } from '../engine-context.js';
import { faultBeforeWork, generationContext } from '../generate-route.js';
import { Generation } from '../generation.js';
import { chatRequest } from '../generation-request.js';
import { isObject } from '../request-fields.js';
import type { Message } from './requests.js';

export const REALTIME_PATH = '/v1/realtime';

/** Items of one conversation. */
const ITEMS_MAX = 1024;
const MESSAGE_BYTES_MAX = 2 ** 20;

export class RealtimeSessions {
	readonly #engine: EngineContext;
	readonly #library = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		maxPayload: MESSAGE_BYTES_MAX,
		perMessageDeflate: false,
		handleProtocols: (offered) => (offered.has('realtime') ? 'realtime' : false),
	});
	readonly #sockets = new Set<WebSocket>();

	constructor(engine: EngineContext) {
		this.#engine = engine;
	}

	/** Takes a handshake for the path; `model` is the one of the query. */
	upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, model: string): void {
		this.#library.handleUpgrade(request, socket, head, (ws) => {
			this.#sockets.add(ws);
			ws.on('close', () => this.#sockets.delete(ws));
			ws.on('error', () => undefined);
			new Session(this.#engine, ws, model).start();
		});
	}

	close(): void {
		for (const ws of this.#sockets) ws.close(1001, 'the engine is going away');
	}

	cut(): void {
		for (const ws of this.#sockets) ws.terminate();
	}
}

class Session {
	readonly #engine: EngineContext;
	readonly #ws: WebSocket;
	readonly #model: string;
	readonly #items: Message[] = [];
	#running: Generation | undefined;

	constructor(engine: EngineContext, ws: WebSocket, model: string) {
		this.#engine = engine;
		this.#ws = ws;
		this.#model = model;
	}

	start(): void {
		this.#ws.on('message', (data: Buffer, isBinary) => this.#guarded(data, isBinary));
		this.#ws.on('close', () => this.#running?.cancel());
		this.#send('session.created', {
			session: { id: `sess_${newId(this.#engine)}`, object: 'realtime.session', model: this.#model },
		});
	}

	#guarded(data: Buffer, isBinary: boolean): void {
		try {
			const event: unknown = isBinary ? undefined : JSON.parse(data.toString());
			if (isObject(event)) this.#event(event);
			else this.#error('an event is a JSON object', null);
		} catch (error) {
			if (error instanceof MeshError) this.#error(error.message, error.entry.openaiCode ?? error.code);
			else if (error instanceof SyntaxError) this.#error('the event is not valid JSON', null);
			else this.#engine.options.onInternalError(error);
		}
	}

	#event(event: Readonly<Record<string, unknown>>): void {
		switch (event['type']) {
			case 'conversation.item.create':
				return this.#add(event['item']);
			case 'response.create':
				return this.#respond(isObject(event['response']) ? event['response'] : {});
			case 'response.cancel':
				this.#running?.cancel();
				this.#running = undefined;
				return this.#send('response.done', { response: { status: 'cancelled' } });
			default:
				return this.#error('the type of the event is not known', null);
		}
	}

	#add(item: unknown): void {
		if (!isObject(item) || typeof item['role'] !== 'string') return this.#error('an item has a role', null);
		if (this.#items.length >= ITEMS_MAX) return this.#error('the conversation is too long', null);
		this.#items.push({ role: item['role'], content: item['content'] });
		this.#send('conversation.item.created', { item: { id: `item_${newId(this.#engine)}`, ...item } });
	}

	#respond(wanted: Readonly<Record<string, unknown>>): void {
		if (this.#running !== undefined)
			return this.#error('a response is being made', 'conversation_already_has_active_response');
		const { options } = this.#engine;
		const body = { model: this.#model, messages: this.#items, max_tokens: wanted['max_output_tokens'], stream: true };
		const request = chatRequest(body, options.choicesMax);
		if (faultBeforeWork(this.#engine)) return;
		const id = `resp_${newId(this.#engine)}`;
		const generation: Generation = new Generation(generationContext(this.#engine), request, {
			onText: (_choice, delta) => this.#send('response.output_text.delta', { response_id: id, output_index: 0, delta }),
			onDone: () => this.#done(id, generation),
		});
		this.#running = generation;
		this.#send('response.created', { response: { id, status: 'in_progress' } });
		generation.start(0);
	}

	#done(id: string, { choices, usage }: Generation): void {
		const text = choices[0]?.text ?? '';
		this.#running = undefined;
		this.#items.push({ role: 'assistant', content: text });
		const counts = {
			input_tokens: usage.promptTokens,
			output_tokens: usage.completionTokens,
			total_tokens: usage.promptTokens + usage.completionTokens,
			input_tokens_details: { cached_tokens: usage.cachedTokens },
		};
		this.#send('response.output_text.done', { response_id: id, output_index: 0, text });
		this.#send('response.done', { response: { id, status: 'completed', usage: counts } });
	}

	#error(message: string, code: string | null): void {
		this.#send('error', { error: { type: 'invalid_request_error', code, message } });
	}

	#send(type: string, event: object): void {
		if (this.#ws.readyState !== this.#ws.OPEN) return;
		this.#ws.send(JSON.stringify({ type, event_id: `event_${newId(this.#engine)}`, ...event }));
		// A reader that lets too much pile up is cut off, as one of a stream is.
		if (this.#ws.bufferedAmount > this.#engine.options.streamBufferBytesMax) this.#ws.terminate();
	}
}
