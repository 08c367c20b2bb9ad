// Owns what the tests of this room share: a real clock and a small OpenAI-like server with failure modes. Not used by the product.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, type ErrorCode, MeshError } from '@infermesh/proto';

export const realClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after: (delayMs, fn) => {
		const timer = setTimeout(fn, delayMs);
		return { cancel: () => clearTimeout(timer) };
	},
	every: (periodMs, fn) => {
		const timer = setInterval(fn, periodMs);
		return { cancel: () => clearInterval(timer) };
	},
};

export interface ChatBody {
	readonly model: string;
	readonly stream: boolean;
	readonly max_tokens: number;
	readonly messages: readonly { readonly role: string; readonly content: string }[];
}

export interface SeenRequest {
	readonly path: string;
	readonly headers: IncomingMessage['headers'];
	readonly body: ChatBody;
}

export type Answer = (response: ServerResponse, seen: SeenRequest, index: number) => void | Promise<void>;

export interface TestServer {
	readonly url: string;
	readonly seen: readonly SeenRequest[];
	readonly connections: () => number;
	close(): Promise<void>;
}

/** Starts a server on a free port of 127.0.0.1; `answer` gets each request with its number from 0. */
export async function startServer(answer: Answer): Promise<TestServer> {
	const seen: SeenRequest[] = [];
	let connections = 0;
	const server: Server = createServer((request, response) => {
		const chunks: Buffer[] = [];
		request.on('data', (chunk: Buffer) => chunks.push(chunk));
		request.on('end', () => {
			const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as ChatBody;
			const entry = { path: request.url ?? '', headers: request.headers, body };
			seen.push(entry);
			void answer(response, entry, seen.length - 1);
		});
	});
	server.on('connection', () => connections++);
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	const { port } = server.address() as AddressInfo;
	return {
		url: `http://127.0.0.1:${port}`,
		seen,
		connections: () => connections,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

/** Writes a complete stream of `tokens` events, `gapMs` apart, with usage as vLLM sends it. */
export async function streamTokens(response: ServerResponse, tokens: number, gapMs = 0, headers = {}): Promise<void> {
	response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
	response.write(sse({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }));
	for (let index = 0; index < tokens; index++) {
		if (gapMs > 0) await new Promise((resolve) => setTimeout(resolve, gapMs));
		response.write(sse({ choices: [{ index: 0, delta: { content: `t${index} ` } }] }));
	}
	response.write(sse({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }));
	response.write(
		sse({ choices: [], usage: { prompt_tokens: 1, completion_tokens: tokens, total_tokens: tokens + 1 } }),
	);
	response.end('data: [DONE]\n\n');
}

export function sse(data: unknown): string {
	return `data: ${JSON.stringify(data)}\n\n`;
}

export function isMeshError(error: unknown, code: ErrorCode): error is MeshError {
	return error instanceof MeshError && error.code === code;
}
