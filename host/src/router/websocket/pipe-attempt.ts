// Owns one attempt to have a runtime take a session, and the session itself once it has: messages pass both ways as they are, each side held up while the other
// is slow, and the side that closes says so to the other with its own code. Until the runtime has agreed, nothing has gone to the client, and another target may be
// asked.
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { BaseAttempt } from '../base-attempt.js';
import type { RouterEnv } from '../env.js';
import type { RouterErrorCode } from '../errors.js';
import type { RunningAttempt } from '../routed-request.js';
import { upstreamHeaders } from '../upstream-request.js';
import type { AttemptPlan } from '../upstream-response.js';
import { findUsage, readUsage } from '../usage.js';
import { ABNORMAL, GuardedSocket } from './guarded-socket.js';
import { libraryOptions } from './options.js';
import { type PipeRequest, upstreamTarget } from './pipe-request.js';

const GOING_AWAY = 1001;
const NO_STATUS = 1005;
const BAD_GATEWAY = 1014;
/** Of a handshake that the runtime refuses with a body. */
const REFUSAL_BYTES_MAX = 16 * 1024;

/** Opens the client's side with the subprotocol the runtime has chosen; undefined when the client has gone. */
export type OpenClient = (request: PipeRequest, protocol: string) => GuardedSocket | undefined;

/** `chunks` are messages of the runtime. */
export class PipeAttempt extends BaseAttempt {
	readonly #env: RouterEnv;
	readonly #request: PipeRequest;
	readonly #openClient: OpenClient;
	#upstream: GuardedSocket | undefined;
	#client: GuardedSocket | undefined;
	/** What has kept the runtime from taking the session. */
	#fault: RouterErrorCode = 'IM_UPSTREAM_DIED';

	constructor(
		env: RouterEnv,
		request: PipeRequest,
		plan: AttemptPlan,
		ledgerEntry: number,
		openClient: OpenClient,
		onEnd: (attempt: RunningAttempt) => void,
	) {
		super(env, plan, ledgerEntry, onEnd);
		this.#env = env;
		this.#request = request;
		this.#openClient = openClient;
	}

	get events(): number {
		return this.chunks;
	}

	start(): void {
		const { options } = this.#env;
		const { origin, pathPrefix, upstreamModel } = this.target;
		const path = upstreamTarget(this.#request, upstreamModel ?? this.pool.model);
		const pairs = upstreamHeaders(this.#request, this.target, this.decisionId);
		const url = `${origin.replace(/^http/, 'ws')}${pathPrefix}${path}`;
		let ws: WebSocket;
		try {
			ws = new WebSocket(url, [...this.#request.protocols], {
				...libraryOptions(options.webSocket),
				...this.#env.upstreams.tls,
				headers: Object.fromEntries(
					Array.from({ length: pairs.length / 2 }, (_, at) => pairs.slice(at * 2, at * 2 + 2) as [string, string]),
				),
				handshakeTimeout: options.upstream.connectTimeoutMs,
			});
		} catch {
			return this.finish('failed', 'IM_UPSTREAM_CONNECT');
		}
		ws.on('unexpected-response', (_request, response) => this.#refused(ws, response));
		ws.on('open', () => this.#opened(ws));
		ws.on('error', (error: NodeJS.ErrnoException) => {
			this.#fault = handshakeFault(error);
		});
		ws.on('message', (data: Buffer, isBinary) => this.#fromUpstream(data, isBinary));
		ws.on('close', (code, reason) => this.#upstreamClosed(code, reason.toString()));
		this.#upstream = new GuardedSocket(ws, options.webSocket.pingsMax, () => undefined);
	}

	/** Ends the session from outside. */
	stop(end: 'failed' | 'cancelled', failure?: RouterErrorCode): void {
		this.finish(end, failure);
		this.#upstream?.close(GOING_AWAY, 'the session has ended', 'closed');
		this.#client?.close(
			failure === undefined ? GOING_AWAY : BAD_GATEWAY,
			failure ?? 'the router is closing',
			'shutdown',
		);
	}

	/** Silence is the sockets' own business: both sides are pinged. */
	overdue(): undefined {
		return undefined;
	}

	/** A period of pings is over. */
	beat(): void {
		this.#upstream?.beat();
	}

	/** The client's side has closed. */
	clientClosed(code: number, reason: string): void {
		const lost = code === ABNORMAL;
		this.finish(lost ? 'cancelled' : 'relayed');
		const ws = this.#upstream?.ws;
		if (ws === undefined || ws.readyState !== ws.OPEN) return this.#upstream?.terminate('closed');
		if (lost) ws.close(GOING_AWAY, 'the client is gone');
		else closeAs(ws, code, reason);
	}

	#opened(ws: WebSocket): void {
		if (this.end !== undefined) return ws.terminate();
		this.status = 101;
		const client = this.#openClient(this.#request, ws.protocol);
		if (client === undefined) return this.stop('cancelled');
		this.#client = client;
		this.#request.committed = true;
		client.ws.on('message', (data: Buffer, isBinary) => pass(client.ws, ws, data, isBinary, this.#bytesMax()));
	}

	#bytesMax(): number {
		return this.#env.options.webSocket.sendBufferBytesMax;
	}

	#fromUpstream(data: Buffer, isBinary: boolean): void {
		const from = this.#upstream?.ws;
		const to = this.#client?.ws;
		if (from === undefined || to === undefined || this.end !== undefined) return;
		if (this.firstTokenMs === 0) {
			this.firstTokenMs = this.#env.ports.clock.nowMs();
			this.#env.ports.ledger.firstToken(this.ledgerEntry);
		}
		this.chunks++;
		if (!isBinary) this.#count(data);
		const request = this.#request;
		const { clock } = this.#env.ports;
		pass(from, to, data, isBinary, this.#bytesMax(), (blocked) => {
			request.blockedSinceMs = blocked ? clock.nowMs() : 0;
		});
	}

	/** A session has many answers; each tells its own usage. */
	#count(data: Buffer): void {
		const open = findUsage(data, 0);
		const read = open < 0 ? undefined : readUsage(data, open);
		if (read === undefined) return;
		this.usage = {
			tokensIn: read.tokensIn + (this.usage?.tokensIn ?? 0),
			tokensOut: read.tokensOut + (this.usage?.tokensOut ?? 0),
			tokensCached: read.tokensCached + (this.usage?.tokensCached ?? 0),
			tellsCached: read.tellsCached,
		};
	}

	/** The runtime has answered the handshake with something else. */
	#refused(ws: WebSocket, response: IncomingMessage): void {
		this.status = response.statusCode ?? 502;
		const chunks: Buffer[] = [];
		let bytes = 0;
		const done = (): void => {
			this.body = Buffer.concat(chunks);
			this.finish('held');
			ws.terminate();
		};
		response.on('data', (chunk: Buffer) => {
			bytes += chunk.length;
			if (bytes > REFUSAL_BYTES_MAX) response.destroy();
			else chunks.push(chunk);
		});
		response.on('close', done);
	}

	#upstreamClosed(code: number, reason: string): void {
		if (this.end !== undefined) return;
		const client = this.#client;
		if (client === undefined) return this.finish('failed', this.#fault);
		if (code === ABNORMAL) {
			this.finish('failed', 'IM_UPSTREAM_DIED');
			client.close(BAD_GATEWAY, 'IM_UPSTREAM_DIED', 'upstream_lost');
		} else {
			this.finish('relayed');
			if (client.ws.readyState === client.ws.OPEN) closeAs(client.ws, code, reason);
		}
	}
}

/** A runtime that was reached and will not have the session is not unreachable: it may serve everything else. */
function handshakeFault({ code, message }: NodeJS.ErrnoException): RouterErrorCode {
	if (code === 'ECONNRESET' || code === 'EPIPE') return 'IM_UPSTREAM_DIED';
	if (message.endsWith('timed out')) return 'IM_UPSTREAM_FIRST_BYTE_TIMEOUT';
	return code === undefined || code.startsWith('WS_ERR') ? 'IM_UPSTREAM_PROTOCOL' : 'IM_UPSTREAM_CONNECT';
}

/** Closes as the other side did. */
function closeAs(ws: WebSocket, code: number, reason: string): void {
	if (code === NO_STATUS) ws.close();
	else ws.close(code, reason);
}

/** Sends on what came; stops reading from the sender while the receiver has too much to read. */
function pass(
	from: WebSocket,
	to: WebSocket,
	data: Buffer,
	isBinary: boolean,
	bytesMax: number,
	onBlocked?: (blocked: boolean) => void,
): void {
	if (to.readyState !== to.OPEN) return;
	to.send(data, { binary: isBinary }, () => {
		if (!from.isPaused || to.bufferedAmount > bytesMax / 2) return;
		from.resume();
		onBlocked?.(false);
	});
	if (from.isPaused || to.bufferedAmount <= bytesMax) return;
	from.pause();
	onBlocked?.(true);
}
