// The upstream of the router benches, a process of its own: an OpenAI-compatible server that answers at once and does no work, so that what is
// measured is the proxy. A request's headers say how: `x-bench-chunks` and `x-bench-gap-ms` make a stream.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const MODEL = 'bench-model';

const answer = Buffer.from(
	JSON.stringify({
		id: 'chatcmpl-bench',
		object: 'chat.completion',
		created: 1_750_000_000,
		model: MODEL,
		choices: [
			{ index: 0, message: { role: 'assistant', content: 'A fixed answer. '.repeat(16) }, finish_reason: 'stop' },
		],
		usage: { prompt_tokens: 520, completion_tokens: 64, total_tokens: 584 },
	}),
);
const event = Buffer.from(
	`data: ${JSON.stringify({
		id: 'chatcmpl-bench',
		object: 'chat.completion.chunk',
		created: 1_750_000_000,
		model: MODEL,
		choices: [{ index: 0, delta: { content: ' token' }, finish_reason: null }],
	})}\n\n`,
);
const metrics = [
	`vllm:num_requests_running{model_name="${MODEL}"} 1.0`,
	`vllm:num_requests_waiting{model_name="${MODEL}"} 0.0`,
	`vllm:kv_cache_usage_perc{model_name="${MODEL}"} 0.1`,
	'',
].join('\n');

interface Stream {
	readonly res: ServerResponse;
	left: number;
}

/** Streams by the gap between their chunks, ms: one timer each, so that a thousand streams cost no thousand timers. */
const streams = new Map<number, Set<Stream>>();

function stream(res: ServerResponse, chunks: number, gapMs: number): void {
	res.writeHead(200, { 'content-type': 'text/event-stream' });
	res.write(event);
	let group = streams.get(gapMs);
	if (group === undefined) {
		const made = new Set<Stream>();
		streams.set(gapMs, (group = made));
		setInterval(() => advance(made), gapMs);
	}
	const entry = { res, left: chunks - 1 };
	const joined = group;
	joined.add(entry);
	res.on('close', () => joined.delete(entry));
}

function advance(group: Set<Stream>): void {
	for (const entry of group) {
		if (entry.left > 0) {
			entry.left--;
			entry.res.write(event);
			continue;
		}
		group.delete(entry);
		entry.res.end('data: [DONE]\n\n');
	}
}

function completion(req: IncomingMessage, res: ServerResponse): void {
	const chunks = Number(req.headers['x-bench-chunks'] ?? 0);
	const gapMs = Number(req.headers['x-bench-gap-ms'] ?? 10);
	req.on('end', () => {
		if (chunks > 0) return stream(res, chunks, gapMs);
		res.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
		res.end(answer);
	});
	req.resume();
}

const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
	if (req.method === 'POST') return completion(req, res);
	if (req.url === '/metrics')
		return void res.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(metrics);
	if (req.url === '/v1/models') {
		res.writeHead(200, { 'content-type': 'application/json' });
		return void res.end(JSON.stringify({ object: 'list', data: [{ id: MODEL, object: 'model' }] }));
	}
	res.writeHead(req.url === '/health' ? 200 : 404).end();
});

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
	process.send?.({ port: (server.address() as AddressInfo).port }),
);
process.on('SIGTERM', () => process.exit(0));
