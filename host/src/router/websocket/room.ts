// Owns the WebSockets of a router: which handshakes are taken and for what, how many there are, their pings, and their end with the router.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Timer } from '@infermesh/proto';
import { type WebSocket, WebSocketServer } from 'ws';
import { credentialsOf } from '../authenticate.js';
import type { RouterEnv } from '../env.js';
import type { Refusal } from '../errors.js';
import type { WebSocketCloseReason, WebSocketKind } from '../ports.js';
import { namesOneHost } from '../request-headers.js';
import type { Routing } from '../routing.js';
import { ChatSocket } from './chat-socket.js';
import { GuardedSocket } from './guarded-socket.js';
import { CHAT_PROTOCOL, handshakeFault, mayConnect, type Offer, offerOf } from './handshake.js';
import { libraryOptions } from './options.js';
import { Pipe } from './pipe.js';
import { PipeAttempt } from './pipe-attempt.js';
import type { PipeRequest } from './pipe-request.js';
import { refuseHandshake } from './refuse.js';

export const CHAT_PATH = '/v1/chat/ws';

/** Fields of the handshake that are not those of the chats that follow. */
const HANDSHAKE_FIELDS =
	/^(?:connection|upgrade|sec-websocket-.+|origin|content-length|content-type|transfer-encoding|x-request-id|x-infermesh-model)$/;

export class WebSocketRoom {
	readonly #env: RouterEnv;
	readonly #handle: (req: IncomingMessage, res: ServerResponse) => void;
	readonly #library: WebSocketServer;
	readonly #pipe: Pipe;
	readonly #chats = new Set<ChatSocket>();
	readonly #piped = new Set<PipeRequest>();
	/** Subprotocol to answer a handshake with. */
	readonly #chosen = new WeakMap<IncomingMessage, string>();
	#open = 0;
	#beat: Timer | undefined;

	constructor(env: RouterEnv, routing: Routing, handle: (req: IncomingMessage, res: ServerResponse) => void) {
		this.#env = env;
		this.#handle = handle;
		this.#library = new WebSocketServer({
			...libraryOptions(env.options.webSocket),
			noServer: true,
			clientTracking: false,
			handleProtocols: (_offered, req) => this.#chosen.get(req) ?? false,
		});
		this.#pipe = new Pipe(env, routing, (request, protocol, onClosed) => this.#acceptPipe(request, protocol, onClosed));
	}

	/** Sockets open now. */
	get size(): number {
		return this.#open;
	}

	listen(server: Server): void {
		server.on('upgrade', (req, socket, head) => this.upgrade(req, socket, head));
	}

	/** Takes a handshake. Never throws. */
	upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
		socket.on('error', () => socket.destroy());
		try {
			const refusal = this.#admit(req, socket, head);
			if (refusal !== undefined) this.#refuse(socket, refusal);
		} catch (error) {
			this.#env.ports.log.error({ error: String(error) }, 'handshake failed inside the router');
			this.#refuse(socket, { code: 'IM_ROUTE_INTERNAL' });
		}
	}

	#admit(req: IncomingMessage, socket: Duplex, head: Buffer): Refusal | undefined {
		const { options, closing } = this.#env;
		const { webSocket, saturatedRetryAfterS: retryAfterS } = options;
		const path = (req.url ?? '/').split('?', 1)[0] as string;
		const isPipe = webSocket.pipePaths.includes(path);
		if (path !== CHAT_PATH && !isPipe) return { code: 'IM_REQUEST_PATH' };
		if (req.rawHeaders.length / 2 > options.headerCountMax) return { code: 'IM_REQUEST_HEADERS' };
		if (!namesOneHost(req)) return { code: 'IM_REQUEST_MALFORMED' };
		const fault = handshakeFault(req.method, req.headers);
		if (fault !== undefined) return fault;
		if (!mayConnect(req.headers.origin, webSocket.origins)) return { code: 'IM_WEBSOCKET_ORIGIN' };
		if (closing) return { code: 'IM_WEBSOCKET_CLOSING', retryAfterS };
		if (this.#open >= webSocket.connectionsMax) return { code: 'IM_WEBSOCKET_CONNECTIONS', retryAfterS };
		const offer = offerOf(req.headers) as Offer;
		if (isPipe) this.#pipe.begin(req, socket, head, offer, path);
		else return this.#chat(req, socket, head, offer);
		return undefined;
	}

	#refuse(socket: Duplex, refusal: Refusal): void {
		this.#env.ports.webSockets.refused(refusal.code);
		refuseHandshake(socket, refusal);
	}

	#chat(req: IncomingMessage, socket: Duplex, head: Buffer, offer: Offer): Refusal | undefined {
		const authorization = offer.authorization ?? credentialsOf(req.headers);
		if (this.#env.ports.authenticator.authenticate(authorization) === undefined)
			return { code: 'IM_REQUEST_UNAUTHENTICATED' };
		if (offer.protocols.includes(CHAT_PROTOCOL)) this.#chosen.set(req, CHAT_PROTOCOL);
		this.#library.handleUpgrade(req, socket, head, (ws) => this.#chatOpened(ws, req, socket, authorization));
		return undefined;
	}

	#chatOpened(ws: WebSocket, req: IncomingMessage, socket: Duplex, authorization: string | undefined): void {
		const opened = this.#opened('chat');
		const chat: ChatSocket = new ChatSocket({
			ws,
			socket,
			headers: chatHeaders(req.rawHeaders, authorization),
			options: this.#env.options,
			handle: this.#handle,
			onClosed: (reason) => {
				this.#chats.delete(chat);
				opened(reason);
			},
		});
		this.#chats.add(chat);
		if (this.#env.closing) chat.drain();
	}

	#acceptPipe(
		request: PipeRequest,
		protocol: string,
		onClosed: (reason: WebSocketCloseReason, code: number, text: string) => void,
	): GuardedSocket | undefined {
		const { req, socket, head } = request;
		if (socket.destroyed) return undefined;
		if (protocol !== '') this.#chosen.set(req, protocol);
		let client: GuardedSocket | undefined;
		this.#library.handleUpgrade(req, socket, head, (ws) => {
			const opened = this.#opened('pipe');
			let text = '';
			ws.on('close', (_code, reason) => {
				text = reason.toString();
			});
			client = new GuardedSocket(ws, this.#env.options.webSocket.pingsMax, (reason, code) => {
				this.#piped.delete(request);
				opened(reason);
				onClosed(reason, code, text);
			});
		});
		if (client !== undefined) this.#piped.add(request);
		return client;
	}

	/** Counts a socket in; what it returns counts it out. */
	#opened(kind: WebSocketKind): (reason: WebSocketCloseReason) => void {
		const { webSockets, clock } = this.#env.ports;
		this.#open++;
		webSockets.opened(kind);
		this.#beat ??= clock.every(this.#env.options.webSocket.pingPeriodMs, () => this.#beatAll(), { unref: true });
		return (reason) => {
			this.#open--;
			webSockets.closed(kind, reason);
			if (this.#open > 0) return;
			this.#beat?.cancel();
			this.#beat = undefined;
		};
	}

	#beatAll(): void {
		for (const { guarded } of this.#chats) guarded.beat();
		for (const { client, attempt } of this.#piped) {
			client?.beat();
			if (attempt instanceof PipeAttempt) attempt.beat();
		}
	}

	/** The router is closing: idle sockets go, those with chats when these have ended. */
	drain(): void {
		for (const chat of this.#chats) chat.drain();
	}

	/** Cuts what is left. */
	destroy(): void {
		this.#beat?.cancel();
		for (const { guarded } of this.#chats) guarded.terminate('shutdown');
		for (const { client } of this.#piped) client?.terminate('shutdown');
	}
}

/** What of a handshake's headers counts for every chat of the socket. */
function chatHeaders(raw: readonly string[], authorization: string | undefined): string[] {
	const pairs = ['content-type', 'application/json'];
	for (let at = 0; at < raw.length; at += 2) {
		const name = (raw[at] as string).toLowerCase();
		if (!HANDSHAKE_FIELDS.test(name) && name !== 'authorization') pairs.push(name, raw[at + 1] as string);
	}
	if (authorization !== undefined) pairs.push('authorization', authorization);
	return pairs;
}
