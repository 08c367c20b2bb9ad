// Owns one chat socket: it reads its messages, runs each chat through the pipeline as a request of its own, and sends what comes of it. Chats run beside each
// other up to a bound; a client that leaves cancels them all.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { refusalBody, refusalStatus } from '../error-body.js';
import type { Refusal } from '../errors.js';
import type { RouterOptions } from '../options.js';
import type { WebSocketCloseReason } from '../ports.js';
import { type ChatRequest, readMessage, serverMessage } from './chat-messages.js';
import { GuardedSocket } from './guarded-socket.js';
import { MessageRequest, MessageResponse, type MessageSink } from './message-exchange.js';

/** Messages that make no sense, after which a client is not listened to. */
const BAD_MESSAGES_MAX = 16;
const GOING_AWAY = 1001;
const UNSUPPORTED = 1003;
const POLICY = 1008;

export interface ChatSocketInput {
	readonly ws: WebSocket;
	readonly socket: Duplex;
	/** Name and value pairs every chat of the socket is sent with. */
	readonly headers: readonly string[];
	readonly options: RouterOptions;
	readonly handle: (req: IncomingMessage, res: ServerResponse) => void;
	readonly onClosed: (reason: WebSocketCloseReason) => void;
}

export class ChatSocket implements MessageSink {
	readonly guarded: GuardedSocket;
	readonly #input: ChatSocketInput;
	readonly #chats = new Map<string, MessageResponse>();
	#badMessages = 0;
	#draining = false;

	constructor(input: ChatSocketInput) {
		const { ws, socket, options, onClosed } = input;
		this.#input = input;
		this.guarded = new GuardedSocket(ws, options.webSocket.pingsMax, (reason) => {
			for (const chat of this.#chats.values()) chat.lost();
			onClosed(reason);
		});
		ws.on('message', (data: Buffer, isBinary) => this.#message(data, isBinary));
		socket.on('drain', () => {
			if (ws.isPaused) ws.resume();
			for (const chat of this.#chats.values()) chat.drained();
		});
	}

	/** Takes no new chats, and closes once those under way have ended. */
	drain(): void {
		this.#draining = true;
		if (this.#chats.size === 0) this.guarded.close(GOING_AWAY, 'the router is closing', 'shutdown');
	}

	send(text: string): boolean {
		const { ws } = this.#input;
		if (ws.readyState !== ws.OPEN) return true;
		ws.send(text);
		return this.#takes();
	}

	/** What waits for the client is within its bound. */
	#takes(): boolean {
		const { ws, options } = this.#input;
		return ws.bufferedAmount <= options.webSocket.sendBufferBytesMax;
	}

	over(response: MessageResponse): void {
		this.#chats.delete(response.id);
		if (this.#draining) this.drain();
	}

	tooSlow(): void {
		this.guarded.terminate('too_slow');
	}

	#message(data: Buffer, isBinary: boolean): void {
		const { ws, options } = this.#input;
		// Whole answers and refusals hold up no engine: a client that asks for more of them while it takes none is not read.
		if (!this.#takes()) ws.pause();
		if (isBinary) return this.guarded.close(UNSUPPORTED, 'messages are text', 'bad_messages');
		const message = readMessage(data, options);
		if (typeof message === 'string') return this.#bad('', message);
		const known = this.#chats.get(message.id);
		if (message.type === 'cancel') {
			// One that has just ended may be cancelled too late.
			known?.cancel();
			return;
		}
		if (known !== undefined) return this.#bad(message.id, 'A chat of this id is under way.');
		const { saturatedRetryAfterS: retryAfterS } = options;
		if (this.#draining) return this.#refuse(message.id, { code: 'IM_WEBSOCKET_CLOSING', retryAfterS });
		if (this.#chats.size >= options.webSocket.requestsMax)
			return this.#refuse(message.id, { code: 'IM_WEBSOCKET_REQUESTS', retryAfterS });
		this.#badMessages = 0;
		this.#begin(message);
	}

	#begin({ id, body, headers }: ChatRequest): void {
		const { socket, options, handle } = this.#input;
		const req = new MessageRequest([...this.#input.headers, ...headers], body, socket);
		const res = new MessageResponse(id, this, options.eventBytesMax, options.webSocket.messageBytesMax);
		this.#chats.set(id, res);
		handle(req as unknown as IncomingMessage, res as unknown as ServerResponse);
	}

	#bad(id: string, message: string): void {
		this.#badMessages++;
		this.#refuse(id, { code: 'IM_WEBSOCKET_MESSAGE', message });
		if (this.#badMessages >= BAD_MESSAGES_MAX) this.guarded.close(POLICY, 'too many bad messages', 'bad_messages');
	}

	#refuse(id: string, refusal: Refusal): void {
		const { error } = JSON.parse(refusalBody(refusal)) as { readonly error: object };
		const retry = refusal.retryAfterS === undefined ? {} : { retry_after_s: String(refusal.retryAfterS) };
		this.send(
			serverMessage('error', id, { status: String(refusalStatus(refusal)), ...retry, error: JSON.stringify(error) }),
		);
	}
}
