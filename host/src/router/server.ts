// Owns the server of the data plane: Node's strict HTTP/1.1 parser with every limit set, bytes that are no request answered in OpenAI's
// shape, and the parting of ways between HTTP/1.1 and HTTP/2. Where to listen is the caller's; what a request means, the pipeline's.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TLSSocket, Server as TlsServer } from 'node:tls';
import type { Clock } from '@infermesh/proto';
import { refusalBody, refusalStatus } from './error-body.js';
import type { Refusal } from './errors.js';
import { Sniffer, type Versions } from './http2/sniff.js';
import type { RouterOptions } from './options.js';
import type { TlsPair } from './tls.js';

export interface DataServer {
	readonly server: Server;
	/** Closes connections whose version is not known yet. */
	readonly closeWaiting: () => void;
	/** Shows new connections another certificate; nothing happens on a port without TLS. */
	readonly renew: (tls: TlsPair) => void;
}

const VERSION_MIN = 'TLSv1.2';

/** Makes the server; it is not listening yet. `handle` gets every well-formed request of HTTP/1.1, `http2` every connection of HTTP/2. */
export function createDataServer(
	options: RouterOptions,
	clock: Clock,
	handle: (req: IncomingMessage, res: ServerResponse) => void,
	http2: (socket: Socket) => void,
): DataServer {
	const server = makeServer(options);
	const sniffer = partWays(server, options, clock, http2);
	server.on('request', handle);
	server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
		if (Number(req.headers['content-length'] ?? 0) <= options.bodyBytesMax) res.writeContinue();
		handle(req, res);
	});
	server.on('checkExpectation', (_req: IncomingMessage, res: ServerResponse) => {
		const body = refusalBody({ code: 'IM_REQUEST_EXPECT' });
		res.writeHead(417, {
			'content-type': 'application/json',
			'x-infermesh-error': 'IM_REQUEST_EXPECT',
			connection: 'close',
		});
		res.end(body);
	});
	server.on('clientError', answerBadHttp);
	return {
		server,
		closeWaiting: () => sniffer.closeWaiting(),
		renew: (tls) => {
			if (server instanceof TlsServer) server.setSecureContext({ ...tls, minVersion: VERSION_MIN });
		},
	};
}

/** Puts the choice of a version before the listener that takes every connection for HTTP/1.1. */
function partWays(server: Server, options: RouterOptions, clock: Clock, http2: (socket: Socket) => void): Sniffer {
	const event = options.tls === undefined ? 'connection' : 'secureConnection';
	const listeners = server.listeners(event) as ((this: Server, socket: Socket) => void)[];
	server.removeAllListeners(event);
	const versions: Versions = {
		http1: (socket) => {
			for (const listener of listeners) listener.call(server, socket);
		},
		http2,
		late: (socket) => answerBadHttp(Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket),
	};
	const sniffer = new Sniffer(versions, clock, options.headersTimeoutMs);
	if (options.tls === undefined) server.on(event, (socket: Socket) => sniffer.listen(socket));
	else server.on(event, (socket: TLSSocket) => sniffer.agreed(socket));
	return sniffer;
}

function makeServer(options: RouterOptions): Server {
	const { tls } = options;
	const parser = {
		insecureHTTPParser: false,
		// The router looks itself: Node's own refusal has no code.
		requireHostHeader: false,
		maxHeaderSize: options.headerBytesMax,
		headersTimeout: options.headersTimeoutMs,
		requestTimeout: options.requestTimeoutMs,
		keepAliveTimeout: options.keepAliveTimeoutMs,
		// Anything else that asks for an upgrade is answered as the request it is besides.
		shouldUpgradeCallback: ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket',
		connectionsCheckingInterval: Math.max(50, Math.min(1000, Math.floor(options.headersTimeoutMs / 4))),
	};
	const server: Server =
		tls === undefined
			? createServer(parser)
			: createTlsServer({
					...parser,
					...tls,
					ALPNProtocols: ['h2', 'http/1.1'],
					minVersion: VERSION_MIN,
					handshakeTimeout: options.headersTimeoutMs,
				});
	// Node drops fields beyond its count without a word; one more than allowed lets the router see that there were too many.
	server.maxHeadersCount = options.headerCountMax + 1;
	server.maxConnections = options.connectionsMax;
	return server;
}

const REASONS: Readonly<Record<number, string>> = {
	400: 'Bad Request',
	408: 'Request Timeout',
	413: 'Payload Too Large',
	431: 'Request Header Fields Too Large',
};

/** Connections that are refused once the requests before are answered. */
const refusedAfter = new WeakSet<Duplex>();

/**
 * Answers bytes that are no request, after the answers to whole requests before them: a client takes what comes first for the answer to what it sent
 * first. A connection whose response to a broken request has begun is only closed.
 */
function answerBadHttp(error: Error & { readonly code?: string }, socket: Duplex): void {
	if (refusedAfter.has(socket)) return;
	const current = (socket as { readonly _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
	if (current?.req.complete === true && socket.writable) {
		// What comes after a last request is nobody's.
		if (error.code === 'HPE_CLOSED_CONNECTION') return;
		refusedAfter.add(socket);
		current.once('close', () => {
			refusedAfter.delete(socket);
			answerBadHttp(error, socket);
		});
		return;
	}
	if (error.code === 'ECONNRESET' || !socket.writable || current?.headersSent === true) {
		socket.destroy();
		return;
	}
	const refusal = badHttp(error.code);
	const status = refusalStatus(refusal);
	const body = refusalBody(refusal);
	const head = [
		`HTTP/1.1 ${status} ${REASONS[status] ?? 'Bad Request'}`,
		'content-type: application/json',
		`content-length: ${Buffer.byteLength(body)}`,
		`x-infermesh-error: ${refusal.code}`,
		'connection: close',
	];
	socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function badHttp(code: string | undefined): Refusal {
	if (code === 'HPE_HEADER_OVERFLOW') return { code: 'IM_REQUEST_HEADERS' };
	if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return { code: 'IM_REQUEST_TIMEOUT' };
	if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return { code: 'IM_REQUEST_BODY_SIZE' };
	return { code: 'IM_REQUEST_MALFORMED' };
}
