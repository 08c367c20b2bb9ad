// Sessions piped to runtimes that speak WebSocket themselves, and sockets that misbehave.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Clock } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { WebSocket as Client, WebSocketServer } from 'ws';
import type { WebSocketCloseReason } from '../ports.js';
import { type TestCertificate, testCertificate } from '../testing/certificate.js';
import { fakeEngine, rawEngine, startRouter, type TestRouter, testClock, until } from '../testing/kit.js';
import type { WebSocketOptions } from './options.js';

const seed = 20_261_126;

interface Runtime {
	readonly origin: string;
	/** Sessions, in order. */
	readonly sessions: {
		readonly ws: Client;
		readonly url: string;
		readonly headers: Readonly<Record<string, unknown>>;
		code: number;
		reason: string;
	}[];
}

/** A runtime that says back what it is told, binary as binary; behind TLS it asks for a certificate. */
async function runtime(
	t: ExecutionContext,
	protocols: readonly string[] = [],
	tls?: TestCertificate,
): Promise<Runtime> {
	const front =
		tls === undefined ? createServer() : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true });
	const handleProtocols = (offered: Set<string>): string | false => protocols.find((one) => offered.has(one)) ?? false;
	const server = new WebSocketServer({ server: front, handleProtocols });
	front.listen(0, '127.0.0.1');
	await once(front, 'listening');
	const sessions: Runtime['sessions'] = [];
	server.on('connection', (ws, req) => {
		const session: Runtime['sessions'][number] = { ws, url: req.url ?? '', headers: req.headers, code: 0, reason: '' };
		sessions.push(session);
		ws.on('message', (data: Buffer, isBinary) => ws.send(data, { binary: isBinary }));
		ws.on('close', (code, reason) => Object.assign(session, { code, reason: reason.toString() }));
		ws.on('error', () => undefined);
	});
	t.teardown(() => {
		for (const ws of server.clients) ws.terminate();
		server.close();
		front.close();
	});
	const { port } = front.address() as AddressInfo;
	return { origin: tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`, sessions };
}

interface Mesh {
	readonly router: TestRouter;
	readonly url: string;
	readonly closed: WebSocketCloseReason[];
}

async function mesh(
	t: ExecutionContext,
	origins: readonly string[],
	webSocket: Partial<WebSocketOptions> = {},
	more: Partial<Parameters<typeof startRouter>[0]> = {},
): Promise<Mesh> {
	const closed: WebSocketCloseReason[] = [];
	const router = await startRouter({
		origins,
		...more,
		options: { webSocket, ...more.options },
		ports: {
			...more.ports,
			webSockets: { opened: () => undefined, closed: (_kind, reason) => closed.push(reason), refused: () => undefined },
		},
	});
	t.teardown(() => router.close());
	return { router, url: `ws://127.0.0.1:${router.port}/v1/realtime`, closed };
}

interface Session {
	readonly ws: Client;
	readonly got: { readonly data: Buffer; readonly isBinary: boolean }[];
	code: number;
	reason: string;
}

function session(url: string, protocols: string[] = [], headers: Record<string, string> = {}): Session {
	const ws = new Client(url, protocols, { headers });
	const made: Session = { ws, got: [], code: 0, reason: '' };
	ws.on('message', (data: Buffer, isBinary) => made.got.push({ data, isBinary }));
	ws.on('close', (code, reason) => Object.assign(made, { code, reason: reason.toString() }));
	ws.on('error', () => undefined);
	return made;
}

test('messages pass both ways as they are; the model is renamed, the key stays, the subprotocol is the runtime’s choice', async (t) => {
	const there = await runtime(t, ['realtime']);
	const { url, router, closed } = await mesh(
		t,
		[there.origin],
		{},
		{ targets: { upstreamModel: 'org/real', apiKey: 'engine-key' }, key: 'k' },
	);
	const client = session(`${url}?intent=x&model=alias&y=1`, ['other', 'realtime', 'openai-insecure-api-key.k']);
	await once(client.ws, 'open');
	t.is(client.ws.protocol, 'realtime');
	const [opened] = there.sessions;
	t.is(opened?.url, '/v1/realtime?intent=x&model=org%2Freal&y=1');
	t.is(opened?.headers['authorization'], 'Bearer engine-key');
	t.is(opened?.headers['sec-websocket-protocol'], 'other,realtime');
	const sent = [Buffer.from('text é'), Buffer.from([0, 255, 128]), Buffer.alloc(200_000, 7), Buffer.alloc(0)];
	for (const [at, data] of sent.entries()) client.ws.send(data, { binary: at !== 0 });
	await until('all are back', () => client.got.length === sent.length);
	t.deepEqual(
		client.got.map(({ data }) => data),
		sent,
	);
	t.deepEqual(
		client.got.map(({ isBinary }) => isBinary),
		[false, true, true, true],
	);
	t.is(router.router.inflight(), 1);
	t.is(router.open(), 1, 'an entry of the ledger for as long as it lives');
	client.ws.close(4321, 'enough');
	await until('the runtime hears', () => opened?.code === 4321);
	t.is(opened?.reason, 'enough');
	await until('it is over', () => router.open() === 0 && router.router.inflight() === 0);
	t.like(router.outcomes[0], { status: 'ok', httpStatus: 101, tokensOut: 4 });
	t.like(router.ended[0], { path: '/v1/realtime', status: 101 });
	t.deepEqual(closed, ['closed']);
});

test('the code a runtime closes with is the client’s; a runtime that dies is 1014, a router that closes 1001', async (t) => {
	const there = await runtime(t);
	const { url, router, closed } = await mesh(t, [there.origin]);
	const open = async () => {
		const client = session(`${url}?model=m`);
		await once(client.ws, 'open');
		return [client, there.sessions.at(-1)] as const;
	};
	const [first, firstThere] = await open();
	firstThere?.ws.close(3999, 'done here');
	await until('it is closed', () => first.code === 3999);
	t.is(first.reason, 'done here');
	const [second, secondThere] = await open();
	secondThere?.ws.terminate();
	await until('it is closed', () => second.code === 1014);
	const [third, thirdThere] = await open();
	await Promise.all([router.router.close({ graceMs: 0 }), until('it is closed', () => third.code === 1001)]);
	await until('the runtime hears', () => thirdThere?.code === 1001);
	t.deepEqual(closed.toSorted(), ['closed', 'shutdown', 'upstream_lost']);
	t.deepEqual(
		router.outcomes.map(({ status }) => status),
		['ok', 'upstream_error', 'cancelled'],
	);
	t.is(router.open(), 0);
});

test('a client that vanishes is gone for the runtime', async (t) => {
	const there = await runtime(t);
	const { url, router } = await mesh(t, [there.origin]);
	const client = session(`${url}?model=m`);
	await once(client.ws, 'open');
	client.ws.terminate();
	await until('the runtime hears', () => there.sessions[0]?.code === 1001);
	await until('it is over', () => router.outcomes.length === 1);
	t.like(router.outcomes[0], { status: 'cancelled' });
});

test('a target that does not take the session is passed over, and when none does the handshake says why', async (t) => {
	const refuses = await fakeEngine((_req, res) => res.writeHead(503).end());
	t.teardown(() => refuses.close());
	const there = await runtime(t);
	const { url, router } = await mesh(t, ['http://127.0.0.1:1', there.origin]);
	const client = session(`${url}?model=m`);
	await once(client.ws, 'open');
	t.is(there.sessions.length, 1);
	t.deepEqual(
		router.outcomes.map(({ status }) => status),
		['upstream_error'],
	);
	client.ws.terminate();
	const answer = async (origins: readonly string[], query: string): Promise<unknown> => {
		const other = await mesh(t, origins, {}, { key: 'k' });
		const asked = new Client(`${other.url}${query}`, { headers: { authorization: 'Bearer k' } });
		asked.on('error', () => undefined);
		const [, response] = (await once(asked, 'unexpected-response')) as [
			unknown,
			{ statusCode: number; headers: Record<string, string> },
		];
		asked.terminate();
		await until('it is over', () => other.router.router.inflight() === 0);
		t.is(other.router.open(), 0);
		return [response.statusCode, response.headers['x-infermesh-error']];
	};
	t.deepEqual(await answer(['http://127.0.0.1:1'], '?model=m'), [502, 'IM_UPSTREAM_CONNECT']);
	t.deepEqual(await answer([there.origin], '?model=nobody'), [404, 'IM_ROUTE_MODEL_UNKNOWN']);
	t.deepEqual(await answer([there.origin], '?model=m&model=n'), [400, 'IM_REQUEST_FIELD']);
	t.deepEqual(await answer([there.origin], '?model=%ff'), [400, 'IM_REQUEST_FIELD']);
});

test('a runtime that is reached and breaks the handshake off, or is silent, is not called unreachable', async (t) => {
	for (const [what, code, connectTimeoutMs, answer] of [
		['breaks off', 'IM_UPSTREAM_DIED', 60_000, (socket: Socket) => socket.destroy()],
		['is silent', 'IM_UPSTREAM_FIRST_BYTE_TIMEOUT', 50, () => undefined],
		[
			'speaks no HTTP',
			'IM_UPSTREAM_PROTOCOL',
			60_000,
			(socket: Socket) => socket.end('HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n'),
		],
	] as const) {
		const there = await rawEngine(answer);
		t.teardown(() => there.close());
		const { router, url } = await mesh(t, [there.origin], {}, { options: { upstream: { connectTimeoutMs } } });
		const client = new Client(`${url}?model=m`);
		client.on('error', () => undefined);
		const [, response] = (await once(client, 'unexpected-response')) as [unknown, { headers: Record<string, string> }];
		t.is(response.headers['x-infermesh-error'], code, what);
		client.terminate();
		await until('it is over', () => router.router.inflight() === 0);
		t.true(router.outcomes.length > 0 && router.outcomes.every(({ unreachable }) => !unreachable), what);
	}
});

test('TLS on both sides: the router shows its certificates, and checks the runtime’s', async (t) => {
	const certificate = await testCertificate('localhost');
	const there = await runtime(t, [], certificate);
	const { router } = await mesh(
		t,
		[there.origin],
		{},
		{ options: { tls: certificate, upstream: { tls: certificate } } },
	);
	const client = new Client(`wss://localhost:${router.port}/v1/realtime?model=m`, [], {
		ca: certificate.ca,
	});
	const got: Buffer[] = [];
	client.on('message', (data: Buffer) => got.push(data));
	await once(client, 'open');
	client.send('x');
	await until('it is back', () => got.length === 1);
	client.terminate();
	const doubts = await mesh(t, [there.origin]);
	const refused = new Client(`${doubts.url}?model=m`);
	refused.on('error', () => undefined);
	const [, response] = (await once(refused, 'unexpected-response')) as [unknown, { readonly statusCode: number }];
	t.is(response.statusCode, 502, 'a runtime whose authority is not known is not spoken to');
	refused.terminate();
});

/** A socket past its handshake, below WebSocket. */
async function raw(
	port: number,
	path: string,
): Promise<{ readonly socket: Socket; readonly bytes: () => Buffer; readonly over: () => boolean }> {
	const socket = connect(port, '127.0.0.1');
	let bytes = Buffer.alloc(0);
	let over = false;
	socket.on('data', (chunk) => (bytes = Buffer.concat([bytes, chunk])));
	socket.on('error', () => undefined);
	socket.on('close', () => (over = true));
	socket.write(
		`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
	);
	await until('it is open', () => bytes.includes('\r\n\r\n'));
	bytes = bytes.subarray(bytes.indexOf('\r\n\r\n') + 4);
	return { socket, bytes: () => bytes, over: () => over };
}

/** A masked frame (RFC 6455 §5.2), the mask all zero. */
function frame(opcode: number, payload: Buffer, fin = true, length = payload.length): Buffer {
	const head =
		length < 126
			? Buffer.from([0, 0x80 | length])
			: length < 65_536
				? Buffer.from([0, 0x80 | 126, 0, 0])
				: Buffer.alloc(10);
	head[0] = (fin ? 0x80 : 0) | opcode;
	if (length >= 65_536) {
		head[1] = 0x80 | 127;
		head.writeBigUInt64BE(BigInt(length), 2);
	} else if (length >= 126) head.writeUInt16BE(length, 2);
	return Buffer.concat([head, Buffer.alloc(4), payload]);
}

/** The code of the close frame among what came. */
function closeCode(bytes: Buffer): number | undefined {
	for (let at = 0; at + 2 <= bytes.length; ) {
		const length = (bytes[at + 1] as number) & 0x7f;
		if (((bytes[at] as number) & 0x0f) === 8) return length < 2 ? 1005 : bytes.readUInt16BE(at + 2);
		at += 2 + (length === 126 ? 2 + bytes.readUInt16BE(at + 2) : length);
	}
	return undefined;
}

test('floods, oversized and broken frames are closed with their code, and counted', async (t) => {
	const there = await runtime(t);
	const { router, closed } = await mesh(t, [there.origin], {
		messageBytesMax: 1000,
		fragmentsMax: 8,
		pingsMax: 10,
		closeTimeoutMs: 60_000,
	});
	const cases: readonly (readonly [name: string, frames: Buffer, code: number, reason: WebSocketCloseReason])[] = [
		['pings', Buffer.concat(Array.from({ length: 100 }, () => frame(9, Buffer.alloc(0)))), 1008, 'ping_flood'],
		['pongs', Buffer.concat(Array.from({ length: 100 }, () => frame(10, Buffer.alloc(0)))), 1008, 'ping_flood'],
		['a message too large', frame(1, Buffer.alloc(0), true, 100_000), 1009, 'too_large'],
		['a length beyond all', frame(2, Buffer.alloc(0), true, Number.MAX_SAFE_INTEGER), 1009, 'too_large'],
		[
			'pieces too large together',
			Buffer.concat([frame(1, Buffer.alloc(600), false), frame(0, Buffer.alloc(600))]),
			1009,
			'too_large',
		],
		[
			'empty pieces',
			Buffer.concat([
				frame(1, Buffer.alloc(0), false),
				...Array.from({ length: 50 }, () => frame(0, Buffer.alloc(0), false)),
			]),
			1008,
			'fragment_flood',
		],
		['a reserved bit', Buffer.from([0xc1, 0x80, 0, 0, 0, 0]), 1002, 'protocol_error'],
		['an unknown opcode', Buffer.from([0x83, 0x80, 0, 0, 0, 0]), 1002, 'protocol_error'],
		['no mask', Buffer.from([0x81, 0x01, 0x61]), 1002, 'protocol_error'],
		['a fragmented ping', frame(9, Buffer.alloc(0), false), 1002, 'protocol_error'],
		['a piece of nothing', frame(0, Buffer.alloc(1)), 1002, 'protocol_error'],
		['text that is no UTF-8', frame(1, Buffer.from([0xff])), 1007, 'protocol_error'],
		['a close with a bad code', frame(8, Buffer.from([3, 0xee])), 1002, 'protocol_error'],
	];
	for (const path of ['/v1/chat/ws', '/v1/realtime?model=m']) {
		for (const [name, frames, code, reason] of cases) {
			const { socket, bytes, over } = await raw(router.port, path);
			const before = closed.length;
			socket.write(frames);
			await until(`${path} ${name}: it is told why`, () => closeCode(bytes()) !== undefined);
			socket.end();
			await until(`${path} ${name}: it is closed`, over);
			await until(`${path} ${name}: it is counted`, () => closed.length > before);
			t.deepEqual([closeCode(bytes()), closed.at(-1)], [code, reason], `${path}: ${name}`);
		}
	}
	await until('nothing is left', () => router.router.inflight() === 0);
	t.is(router.open(), 0);
	await until('each runtime has heard of the end', () => there.sessions.every(({ code }) => code !== 0));
});

test('a peer that does not answer a close is cut', async (t) => {
	const there = await runtime(t);
	const { router, closed } = await mesh(t, [there.origin], { pingsMax: 1, closeTimeoutMs: 50 });
	for (const path of ['/v1/chat/ws', '/v1/realtime?model=m']) {
		const { socket, over } = await raw(router.port, path);
		socket.write(Buffer.concat([frame(9, Buffer.alloc(0)), frame(9, Buffer.alloc(0))]));
		await until(`${path}: it is cut`, over);
	}
	await until('both are counted', () => closed.length === 2);
	t.deepEqual(closed, ['ping_flood', 'ping_flood']);
});

/** A clock whose timers of one period go off by hand. */
function byHand(periodMs: number): { readonly clock: Clock; readonly beat: () => void } {
	const timers = new Set<() => void>();
	const every: Clock['every'] = (period, fn, options) => {
		if (period !== periodMs) return testClock.every(period, fn, options);
		timers.add(fn);
		return { cancel: () => timers.delete(fn) };
	};
	return {
		clock: { ...testClock, every },
		beat() {
			for (const fn of timers) fn();
		},
	};
}

test('a peer that falls silent is gone, whichever side it is on', async (t) => {
	const there = await runtime(t);
	const pingPeriodMs = 7_654_321;
	const { clock, beat } = byHand(pingPeriodMs);
	const { router, closed } = await mesh(t, [there.origin], { pingPeriodMs }, { ports: { clock } });
	const { over } = await raw(router.port, '/v1/chat/ws');
	beat();
	beat();
	await until('the silent client is cut', over);
	await until('it is counted', () => closed.length === 1);
	t.deepEqual(closed, ['half_open']);
	const client = session(`ws://127.0.0.1:${router.port}/v1/realtime?model=m`);
	await once(client.ws, 'open');
	there.sessions[0]?.ws.pause();
	const pinged = once(client.ws, 'ping');
	beat();
	await pinged;
	// The answer to the ping has gone before this one, so the router has heard it when this one is answered.
	client.ws.ping();
	await once(client.ws, 'pong');
	beat();
	await until('the client of a silent runtime is told', () => client.code === 1014);
	t.is(router.open(), 0);
});

test('any bytes after a handshake leave the router whole', async (t) => {
	t.log(`seed ${seed}`);
	const there = await runtime(t);
	const { router } = await mesh(t, [there.origin], { messageBytesMax: 4096, fragmentsMax: 16, closeTimeoutMs: 100 });
	const part = fc.oneof(
		fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
		fc
			.tuple(fc.nat({ max: 15 }), fc.uint8Array({ maxLength: 200 }), fc.boolean())
			.map(([opcode, bytes, fin]) => frame(opcode, Buffer.from(bytes), fin)),
		fc
			.constantFrom('{"type":"chat","id":"1","request":{"model":"m"}}', '{"type":"cancel","id":"1"}', '{}')
			.map((text) => frame(1, Buffer.from(text))),
	);
	await fc.assert(
		fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 12 }), fc.boolean(), async (parts, isChat) => {
			const { socket, over } = await raw(router.port, isChat ? '/v1/chat/ws' : '/v1/realtime?model=m');
			socket.write(Buffer.concat(parts));
			socket.end();
			await until('the connection ends', over, 20_000);
		}),
		{ seed, numRuns: 60 },
	);
	await until('nothing is left', () => router.router.inflight() === 0, 20_000);
	t.is(router.open(), 0);
	t.deepEqual(router.errors, []);
	const client = session(`ws://127.0.0.1:${router.port}/v1/realtime?model=m`);
	await once(client.ws, 'open');
	client.ws.terminate();
});
