// The yardstick of the router benches, a process of its own: the least proxy that `node:http` and undici make. Body collected, sent on by
// `dispatch`, response passed through with backpressure. No parsing, no choice, no limits, no metrics: not something to run.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Dispatcher, Pool } from 'undici';

const pool = new Pool(process.argv[2] ?? '', { connections: 8192, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
const hopByHop = new Set([
	'connection',
	'content-length',
	'expect',
	'host',
	'keep-alive',
	'transfer-encoding',
	'upgrade',
]);

class Relay implements Dispatcher.DispatchHandler {
	readonly #res: ServerResponse;

	constructor(res: ServerResponse) {
		this.#res = res;
	}

	onRequestStart(controller: Dispatcher.DispatchController): void {
		this.#res.on('close', () => {
			if (!this.#res.writableFinished) controller.abort(new Error('client gone'));
		});
	}

	onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: object): void {
		const { connection: _connection, 'keep-alive': _keepAlive, ...rest } = headers as Record<string, string>;
		this.#res.writeHead(status, rest);
	}

	onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
		if (this.#res.write(chunk)) return;
		controller.pause();
		this.#res.once('drain', () => controller.resume());
	}

	onResponseEnd(): void {
		this.#res.end();
	}

	onResponseError(): void {
		if (this.#res.headersSent) this.#res.destroy();
		else this.#res.writeHead(502).end();
	}
}

function forward(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
	const headers: string[] = [];
	for (let at = 0; at < req.rawHeaders.length; at += 2) {
		const name = req.rawHeaders[at] as string;
		if (!hopByHop.has(name.toLowerCase())) headers.push(name, req.rawHeaders[at + 1] as string);
	}
	const method = req.method ?? 'GET';
	pool.dispatch({ path: req.url ?? '/', method, headers, body }, new Relay(res));
}

const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
	const chunks: Buffer[] = [];
	req.on('data', (chunk: Buffer) => chunks.push(chunk));
	req.on('end', () => forward(req, res, Buffer.concat(chunks)));
});

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
	process.send?.({ port: (server.address() as AddressInfo).port }),
);
process.on('SIGTERM', () => process.exit(0));
