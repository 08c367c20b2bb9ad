// Chats over a WebSocket through a router: the protocol, and what happens when clients, engines and the router itself end things.
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { WebSocket as Client } from 'ws';
import type { WebSocketCloseReason } from '../ports.js';
import {
	chunkEvent,
	type EngineHandler,
	type FakeEngine,
	fakeEngine,
	startRouter,
	type TestRouter,
	until,
} from '../testing/kit.js';
import type { WebSocketOptions } from './options.js';

interface Mesh {
	readonly router: TestRouter;
	readonly engine: FakeEngine;
	readonly url: string;
	readonly closed: WebSocketCloseReason[];
	readonly refused: string[];
}

async function mesh(
	t: ExecutionContext,
	handler: EngineHandler,
	webSocket: Partial<WebSocketOptions> = {},
	more: Partial<Parameters<typeof startRouter>[0]> = {},
): Promise<Mesh> {
	const engine = await fakeEngine(handler);
	const closed: WebSocketCloseReason[] = [];
	const refused: string[] = [];
	const router = await startRouter({
		origins: [engine.origin],
		...more,
		options: { ...more.options, webSocket },
		ports: {
			webSockets: {
				opened: () => undefined,
				closed: (_kind, reason) => closed.push(reason),
				refused: (code) => refused.push(code),
			},
		},
	});
	t.teardown(async () => {
		await router.close();
		await engine.close();
	});
	return { router, engine, url: router.url.replace('http', 'ws'), closed, refused };
}

type Message = Readonly<Record<string, unknown>>;

class Chat {
	readonly ws: Client;
	readonly messages: Message[] = [];
	code = 0;

	constructor(url: string, protocols: string[] = [], options: object = {}) {
		this.ws = new Client(`${url}/v1/chat/ws`, protocols, options);
		this.ws.on('message', (data: Buffer) => this.messages.push(JSON.parse(data.toString()) as Message));
		this.ws.on('close', (code) => {
			this.code = code;
		});
		this.ws.on('error', () => undefined);
	}

	async open(): Promise<this> {
		await once(this.ws, 'open');
		return this;
	}

	send(message: unknown): void {
		this.ws.send(typeof message === 'string' ? message : JSON.stringify(message));
	}

	of(id: string): Message[] {
		return this.messages.filter((message) => message['id'] === id);
	}

	async last(id: string): Promise<string> {
		const ends = new Set(['done', 'error', 'cancelled']);
		await until(`${id} has ended`, () => this.of(id).some(({ type }) => ends.has(type as string)));
		return this.of(id).at(-1)?.['type'] as string;
	}
}

const streams: EngineHandler = (_req, res) => {
	res.writeHead(200, { 'content-type': 'text/event-stream' });
	res.end(`${chunkEvent('a')}${chunkEvent('é"\\n')}data: [DONE]\n\n`);
};
const request = { model: 'm', messages: [{ role: 'user', content: 'x' }] };

test('a chat is streamed as messages: start, chunks, done; several on one socket, one after another and at once', async (t) => {
	const { url, router, engine } = await mesh(t, streams);
	const chat = await new Chat(url, ['infermesh.chat.v1']).open();
	t.is(chat.ws.protocol, 'infermesh.chat.v1');
	t.is(chat.ws.extensions, '');
	for (const id of ['1', '2']) {
		chat.send({ type: 'chat', id, request });
		t.is(await chat.last(id), 'done');
		t.deepEqual(
			chat.of(id).map(({ type }) => type),
			['start', 'chunk', 'chunk', 'done'],
		);
	}
	const [start, chunk] = chat.of('1');
	t.like(start, { status: 200 });
	t.regex(JSON.stringify(start), /"x-infermesh-decision":"[0-9a-f-]{36}"/);
	t.like(chunk, { chunk: { object: 'chat.completion.chunk' } });
	for (let id = 10; id < 18; id++) chat.send({ type: 'chat', id: String(id), request });
	for (let id = 10; id < 18; id++) t.is(await chat.last(String(id)), 'done');
	t.is(engine.seen.length, 10);
	t.true(engine.seen.every(({ body }) => body.includes('"stream":true')));
	t.deepEqual([router.outcomes.length, router.open()], [10, 0]);
	t.is(router.remembered.length, 10, 'each can be explained');
	chat.ws.close();
});

test('a body goes on as it was written; one that asks for no stream gets its answer whole', async (t) => {
	const { url, engine } = await mesh(t, (_req, res) =>
		res.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"é"}'),
	);
	const chat = await new Chat(url).open();
	chat.send(
		'{"id":"1","request":{ "model":"m", "stream": false, "x": 1.0 } ,"type":"chat","headers":{"x-infermesh-session":"s"}}',
	);
	t.is(await chat.last('1'), 'done');
	t.like(chat.of('1')[0], { type: 'response', status: 200, response: { id: 'é' } });
	t.is(engine.seen[0]?.body, '{ "model":"m", "stream": false, "x": 1.0 }');
	chat.ws.terminate();
});

test('cancelling a chat, and leaving, reach the engine', async (t) => {
	const { url, engine, router, closed } = await mesh(t, (_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'));
	});
	const chat = await new Chat(url).open();
	for (const id of ['1', '2', '3']) chat.send({ type: 'chat', id, request });
	await until('all stream', () => chat.messages.filter(({ type }) => type === 'chunk').length === 3);
	chat.send({ type: 'cancel', id: '2' });
	t.is(await chat.last('2'), 'cancelled');
	await until('the engine hears of one', () => engine.aborted === 1);
	chat.send({ type: 'cancel', id: '2' });
	chat.ws.terminate();
	await until('the engine hears of all', () => engine.aborted === 3);
	await until('nothing is left', () => router.router.inflight() === 0);
	t.deepEqual([router.open(), closed], [0, ['lost']]);
	t.true(router.outcomes.every(({ status }) => status === 'cancelled'));
});

test('errors name the chat, its status and its code; the socket goes on', async (t) => {
	const { url } = await mesh(
		t,
		(_req, res) => res.writeHead(429, { 'retry-after': '7' }).end('{"error":{"message":"full","code":"x"}}'),
		{ requestsMax: 1 },
	);
	const chat = await new Chat(url).open();
	chat.send({ type: 'chat', id: 'a', request: { ...request, model: 'nobody' } });
	await chat.last('a');
	t.like(chat.of('a'), [{ type: 'error', status: 404, error: { code: 'model_not_found' } }]);
	chat.send({ type: 'chat', id: 'b', request });
	await chat.last('b');
	t.like(chat.of('b'), [{ type: 'error', status: 429, retry_after_s: 7, error: { message: 'full' } }]);
	for (const bad of [
		'{',
		'[]',
		'1',
		'{"type":"x","id":"q"}',
		'{"type":"chat","id":"q"}',
		'{"type":"chat","id":"","request":{}}',
		'{"type":"chat","id":"q","request":{},"headers":{"authorization":"x"}}',
	])
		chat.send(bad);
	await until(
		'each is told',
		() =>
			chat.messages.filter(({ error }) => (error as { code?: string } | undefined)?.code === 'IM_WEBSOCKET_MESSAGE')
				.length === 7,
	);
	t.is(chat.ws.readyState, chat.ws.OPEN);
	chat.ws.terminate();
});

test('a stream that breaks ends with an error, not as if whole', async (t) => {
	const { url } = await mesh(t, (_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'), () => setImmediate(() => res.destroy()));
	});
	const chat = await new Chat(url).open();
	chat.send({ type: 'chat', id: '1', request });
	t.is(await chat.last('1'), 'error');
	t.like(chat.of('1').at(-1), { status: 502, error: { code: 'IM_UPSTREAM_DIED' } });
	chat.ws.terminate();
});

test('more chats than may be, and ids that are taken, are refused one by one', async (t) => {
	const { url } = await mesh(
		t,
		(_req, res) => void res.writeHead(200, { 'content-type': 'text/event-stream' }).write(chunkEvent('a')),
		{ requestsMax: 2 },
	);
	const chat = await new Chat(url).open();
	for (const id of ['1', '2', '3', '1']) chat.send({ type: 'chat', id, request });
	await until('both are told', () => chat.messages.filter(({ type }) => type === 'error').length === 2);
	const codes = chat.messages.flatMap(({ type, id, error }) =>
		type === 'error' ? [[id, (error as { code: string }).code]] : [],
	);
	t.deepEqual(codes, [
		['3', 'IM_WEBSOCKET_REQUESTS'],
		['1', 'IM_WEBSOCKET_MESSAGE'],
	]);
	chat.ws.terminate();
});

test('keys come by header or, from browsers, as a subprotocol; without one there is no socket', async (t) => {
	const { url, refused, engine } = await mesh(t, streams, {}, { key: 'k' });
	const status = async (protocols: string[], options: object = {}): Promise<number> => {
		const client = new Client(`${url}/v1/chat/ws`, protocols, options);
		client.on('error', () => undefined);
		const opened = once(client, 'open').then(() => 101);
		const answered = once(client, 'unexpected-response').then(
			([, response]) => (response as { statusCode: number }).statusCode,
		);
		const code = await Promise.race([opened, answered]);
		client.terminate();
		return code;
	};
	t.is(await status([]), 401);
	t.is(await status(['infermesh.chat.v1', 'bearer.wrong']), 401);
	t.is(await status([], { headers: { authorization: 'Bearer k' } }), 101);
	t.is(await status([], { headers: { 'x-api-key': 'k' } }), 101);
	t.is(await status(['infermesh.chat.v1', 'bearer.k']), 101);
	t.is(await status(['infermesh.chat.v1', `bearer-base64.${Buffer.from('k').toString('base64url')}`]), 101);
	t.deepEqual(refused, ['IM_REQUEST_UNAUTHENTICATED', 'IM_REQUEST_UNAUTHENTICATED']);
	const chat = await new Chat(url, ['bearer.k', 'infermesh.chat.v1']).open();
	t.is(chat.ws.protocol, 'infermesh.chat.v1', 'the key is never echoed');
	chat.send({ type: 'chat', id: '1', request });
	t.is(await chat.last('1'), 'done');
	t.is(engine.seen[0]?.headers.authorization, undefined);
	t.is(engine.seen[0]?.headers['sec-websocket-protocol'], undefined);
	chat.ws.terminate();
});

test('pages of this machine may connect, others only when they are listed', async (t) => {
	const { url, refused } = await mesh(t, streams, { origins: ['https://app.example'] });
	const connects = async (origin: string): Promise<boolean> => {
		const client = new Client(`${url}/v1/chat/ws`, [], { origin });
		const opened = await new Promise<boolean>((resolve) => {
			client.on('open', () => resolve(true));
			client.on('error', () => resolve(false));
		});
		client.terminate();
		return opened;
	};
	for (const good of ['http://localhost:3000', 'http://127.0.0.1', 'https://[::1]:8443', 'https://app.example'])
		t.true(await connects(good), good);
	for (const bad of [
		'https://evil.example',
		'http://localhost.evil.example',
		'https://app.example.evil',
		'null',
		'file://',
	])
		t.false(await connects(bad), bad);
	t.true(refused.every((code) => code === 'IM_WEBSOCKET_ORIGIN'));
});

test('handshakes that are none, unknown paths and too many sockets are answered as HTTP', async (t) => {
	const { url, router, refused } = await mesh(t, streams, { connectionsMax: 1 });
	const held = await new Chat(url).open();
	const answer = (path: string, headers: Record<string, string>): Promise<[number | undefined, unknown]> =>
		new Promise((resolve) => {
			const client = new Client(`${url}${path}`, [], { headers });
			client.on('error', () => undefined);
			client.on('unexpected-response', (_req, res) => {
				resolve([res.statusCode, res.headers['x-infermesh-error']]);
				client.terminate();
			});
		});
	t.deepEqual(await answer('/v1/chat/ws', {}), [503, 'IM_WEBSOCKET_CONNECTIONS']);
	t.deepEqual(await answer('/v1/elsewhere', {}), [404, 'IM_REQUEST_PATH']);
	t.is(refused.length, 2);
	held.ws.terminate();
	const plain = await fetch(`${router.url}/v1/models`, { headers: { connection: 'upgrade', upgrade: 'h2c' } }).catch(
		() => undefined,
	);
	t.true(plain === undefined || plain.status === 200, 'another upgrade is not taken for one of ours');
});

test('a router that closes ends idle sockets at once, and busy ones when their chats have ended', async (t) => {
	let finish = (): void => undefined;
	const { url, router, closed } = await mesh(t, (_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'));
		finish = () => res.end('data: [DONE]\n\n');
	});
	const idle = await new Chat(url).open();
	const busy = await new Chat(url).open();
	busy.send({ type: 'chat', id: '1', request });
	await until('it streams', () => busy.of('1').length === 2);
	const closing = router.router.close({ graceMs: 20_000 });
	await until('the idle one is closed', () => idle.code === 1001);
	busy.send({ type: 'chat', id: '2', request });
	t.is(await busy.last('2'), 'error');
	t.like(busy.of('2')[0], { status: 503, error: { code: 'IM_WEBSOCKET_CLOSING' } });
	finish();
	t.is(await busy.last('1'), 'done');
	await until('the busy one is closed', () => busy.code === 1001);
	await closing;
	t.deepEqual(closed, ['shutdown', 'shutdown']);
});

test('a slow reader holds its engine up, with a bounded buffer', async (t) => {
	const big = `data: {"choices":[],"pad":"${'x'.repeat(60_000)}"}\n\n`;
	let written = 0;
	let stopped = false;
	const { url, router, closed } = await mesh(
		t,
		(_req, res) => {
			res.writeHead(200, { 'content-type': 'text/event-stream' });
			const pump = (): void => {
				while (!res.destroyed && written < 4000) {
					written++;
					if (!res.write(big)) {
						stopped = true;
						return void res.once('drain', pump);
					}
				}
				res.end();
			};
			pump();
		},
		{ sendBufferBytesMax: 64 * 1024 },
		{ options: { clientWriteTimeoutMs: 2000 } },
	);
	const chat = await new Chat(url).open();
	chat.ws.pause();
	chat.send({ type: 'chat', id: '1', request });
	let before = -1;
	await until(
		'the engine is held up',
		() => {
			const still = stopped && written === before && written > 0;
			before = written;
			return still;
		},
		20_000,
	);
	t.true(written < 4000, `${written} events of 4000 were written`);
	await until('a reader that takes nothing is cut', () => closed.length === 1, 30_000);
	t.deepEqual(closed, ['too_slow']);
	await until('it is gone', () => router.router.inflight() === 0);
	t.is(router.open(), 0);
	chat.ws.terminate();
});

test('a client that asks for more while it takes no answers is not read, whatever it asks', async (t) => {
	const answer = `{"pad":"${'x'.repeat(120_000)}"}`;
	const rounds = 30;
	const asked = rounds * 10;
	const { url, router, engine } = await mesh(
		t,
		(_req, res) => res.writeHead(200, { 'content-type': 'application/json' }).end(answer),
		{ requestsMax: asked, sendBufferBytesMax: 64 * 1024 },
	);
	const chat = await new Chat(url).open();
	chat.ws.pause();
	for (let id = 0; id < asked; id++) {
		chat.send({ type: 'chat', id: String(id), request: { ...request, stream: false } });
		if (id % 10 !== 9) continue;
		let before = -1;
		await until('what is read is answered', () => {
			const still = engine.seen.length === before && router.router.inflight() === 0;
			before = engine.seen.length;
			return still;
		});
	}
	t.true(engine.seen.length < asked / 2, `${engine.seen.length} of ${asked} chats were read`);
	chat.ws.resume();
	await until('all are answered', () => chat.messages.filter(({ type }) => type === 'done').length === asked, 20_000);
	chat.ws.terminate();
});

test('an answer that is no JSON, or without end, ends the chat with an error the client can read, and the engine’s work', async (t) => {
	const { url, engine, router } = await mesh(
		t,
		(_req, res, body) => {
			const { model, kind } = JSON.parse(body.toString()) as { model: string; kind: string };
			if (model !== 'm') return;
			if (kind === 'event') {
				res.writeHead(200, { 'content-type': 'text/event-stream' });
				res.write(`${chunkEvent('a')}data: {},"type":"done"\n\n`);
				return;
			}
			res.writeHead(200, { 'content-type': 'text/plain' });
			if (kind === 'text') return void res.end('hello');
			const pump = (): void => {
				while (!res.destroyed && res.write('x'.repeat(8192)));
				if (!res.destroyed) res.once('drain', pump);
			};
			pump();
		},
		{ messageBytesMax: 256 * 1024 },
	);
	const chat = await new Chat(url).open();
	for (const kind of ['event', 'text', 'endless']) {
		chat.send({ type: 'chat', id: kind, request: { ...request, kind } });
		t.is(await chat.last(kind), 'error', kind);
		t.like(chat.of(kind).at(-1), { status: 502, error: { code: 'IM_UPSTREAM_PROTOCOL' } });
	}
	await until('the engine hears of it', () => engine.aborted === 2);
	await until('nothing is left', () => router.router.inflight() === 0);
	chat.ws.terminate();
});
