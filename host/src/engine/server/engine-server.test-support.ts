// Owns what the server's tests share: a real clock, an engine that is closed with its test, and raw requests.
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Clock, Timer } from '@infermesh/proto';
import type { ExecutionContext } from 'ava';
import type { EngineOptions } from './options.js';
import { type EngineHandle, startEngine } from './start-engine.js';

/** Real time, for tests that talk to real sockets. */
export const realClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after: (delayMs, fn): Timer => {
		const timer = setTimeout(fn, delayMs);
		return { cancel: () => clearTimeout(timer) };
	},
	every: (periodMs, fn): Timer => {
		const timer = setInterval(fn, periodMs);
		return { cancel: () => clearInterval(timer) };
	},
};

/** Starts an engine that runs fast and is closed when the test ends; internal errors fail the test. */
export async function engineFor(t: ExecutionContext, options: Partial<EngineOptions> = {}): Promise<EngineHandle> {
	const engine = await startEngine({
		clock: realClock,
		models: ['test-model'],
		speed: 50,
		drainTimeoutMs: 50,
		onInternalError: (error) => t.fail(String(error)),
		...options,
	});
	t.teardown(() => engine.close());
	return engine;
}

export interface RawReply {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly text: string;
}

/** One request on a connection of its own; rejects with the socket's error when the answer does not complete. */
export function send(
	url: string,
	options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<RawReply> {
	return new Promise((resolve, reject) => {
		const request = httpRequest(
			url,
			{ method: options.method ?? 'GET', headers: options.headers ?? {}, agent: false },
			(response) => {
				const chunks: Buffer[] = [];
				response.on('data', (chunk: Buffer) => chunks.push(chunk));
				response.once('error', reject);
				response.once('end', () =>
					resolve({
						status: response.statusCode ?? 0,
						headers: response.headers,
						text: Buffer.concat(chunks).toString('utf8'),
					}),
				);
			},
		);
		request.once('error', reject);
		request.end(options.body);
	});
}

export function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<RawReply> {
	return send(url, {
		method: 'POST',
		headers: { 'content-type': 'application/json', ...headers },
		body: typeof body === 'string' ? body : JSON.stringify(body),
	});
}

/** A small chat body with this many tokens of output. */
export function chatBody(tokens: number, more: Record<string, unknown> = {}): Record<string, unknown> {
	return {
		model: 'test-model',
		messages: [{ role: 'user', content: 'Hello there' }],
		max_tokens: tokens,
		ignore_eos: true,
		...more,
	};
}

/** The value of a metric series whose name and labels start with `series`; throws when there is none. */
export async function metric(engine: EngineHandle, series: string): Promise<number> {
	const { text } = await send(`${engine.url}/metrics`);
	const line = text.split('\n').find((candidate) => candidate.startsWith(series));
	if (line === undefined) throw new Error(`no series ${series}`);
	return Number(line.slice(line.lastIndexOf(' ') + 1));
}

/** Polls until `probe` is true; rejects after ten seconds with `what`. */
export async function until(probe: () => Promise<boolean>, what: string): Promise<void> {
	const deadline = performance.now() + 10_000;
	while (!(await probe())) {
		if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
	}
}

/** A raw connection that collects what it receives. */
export class RawConnection {
	readonly socket: Socket;
	received = '';
	readonly closed: Promise<void>;

	constructor(port: number) {
		this.socket = connect(port, '127.0.0.1');
		this.socket.setEncoding('utf8');
		this.socket.on('data', (text: string) => {
			this.received += text;
		});
		this.closed = new Promise((resolve) => {
			this.socket.once('close', () => resolve());
		});
		this.socket.on('error', () => undefined);
	}

	request(path: string, body: unknown): void {
		const text = JSON.stringify(body);
		this.socket.write(
			`POST ${path} HTTP/1.1\r\nhost: engine\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
		);
	}
}
