// Owns the HTTP server of the data plane: Node's strict parser with every limit set, and bytes that are no request answered in OpenAI's
// shape. Where to listen is the caller's; what a request means, the pipeline's.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { refusalBody, refusalStatus } from './error-body.js';
import type { Refusal } from './errors.js';
import type { RouterOptions } from './options.js';

/** Makes the server; it is not listening yet. `handle` gets every well-formed request. */
export function createDataServer(
	options: RouterOptions,
	handle: (req: IncomingMessage, res: ServerResponse) => void,
): Server {
	const server = makeServer(options);
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
	return server;
}

function makeServer(options: RouterOptions): Server {
	const server = createServer({
		insecureHTTPParser: false,
		requireHostHeader: true,
		maxHeaderSize: options.headerBytesMax,
		headersTimeout: options.headersTimeoutMs,
		requestTimeout: options.requestTimeoutMs,
		keepAliveTimeout: options.keepAliveTimeoutMs,
		connectionsCheckingInterval: Math.max(50, Math.min(1000, Math.floor(options.headersTimeoutMs / 4))),
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

/** Answers bytes that are no request. A connection whose current response has begun is only closed: its client must not read two. */
function answerBadHttp(error: Error & { readonly code?: string }, socket: Duplex): void {
	const current = (socket as { readonly _httpMessage?: ServerResponse | null })._httpMessage;
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
