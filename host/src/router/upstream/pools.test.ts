import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { routerDefaults } from '../options.js';
import { fakeEngine, testClock, until } from '../testing/kit.js';
import type { UpstreamHandler } from './connection.js';
import { UpstreamFault } from './faults.js';
import { UpstreamPools } from './pools.js';

const request = { method: 'POST', path: '/', headers: ['content-type', 'text/plain'], body: Buffer.from('hello') };
const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** What an exchange brought, in order. */
class Seen implements UpstreamHandler {
	status = 0;
	ends = 0;
	readonly faults: string[] = [];
	readonly #parts: Buffer[] = [];

	onHead(status: number): void {
		this.status = status;
	}
	onBody(bytes: Buffer): void {
		this.#parts.push(bytes);
	}
	/** Read in the end: what was told is the handler's to keep, whatever other connections read meanwhile. */
	get body(): string {
		return Buffer.concat(this.#parts).toString('latin1');
	}
	onEnd(): void {
		this.ends++;
	}
	onFault(fault: UpstreamFault): void {
		this.faults.push(fault.kind);
	}
	get over(): boolean {
		return this.ends + this.faults.length > 0;
	}
}

interface Raw {
	readonly origin: string;
	readonly sockets: Socket[];
}

/** A server below HTTP: `answer` gets each read of each connection. */
async function raw(t: ExecutionContext, answer: (socket: Socket, bytes: Buffer) => void): Promise<Raw> {
	const sockets: Socket[] = [];
	const server: Server = createServer((socket) => {
		sockets.push(socket);
		socket.on('error', () => undefined);
		socket.on('data', (bytes) => answer(socket, bytes));
	});
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	t.teardown(() => {
		for (const socket of sockets) socket.destroy();
		server.close();
	});
	const { port } = server.address() as { readonly port: number };
	return { origin: `http://127.0.0.1:${port}`, sockets };
}

function pools(t: ExecutionContext, options: Partial<typeof routerDefaults.upstream> = {}, nowMs?: () => number) {
	const clock = nowMs === undefined ? testClock : { ...testClock, nowMs };
	const made = new UpstreamPools({ ...routerDefaults.upstream, ...options }, clock);
	t.teardown(() => made.destroy());
	return made;
}

async function exchange(from: UpstreamPools, origin: string): Promise<Seen> {
	const seen = new Seen();
	from.dispatch(origin, request, seen);
	await until('it is over', () => seen.over);
	return seen;
}

test('a connection is used again, by the next exchange and by no two at once', async (t) => {
	const { origin, sockets } = await raw(t, (socket) => socket.write(ok));
	const made = pools(t);
	for (let n = 0; n < 3; n++) t.like(await exchange(made, origin), { status: 200, body: 'ok', ends: 1 });
	t.is(sockets.length, 1);
	await Promise.all([exchange(made, origin), exchange(made, origin)]);
	t.is(sockets.length, 2);
	t.is(made.connections, 2);
});

test('what one connection has told stays as it was when another reads', async (t) => {
	let answers = 0;
	const { origin } = await raw(t, (socket) => {
		answers++;
		socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n${String(answers).repeat(4)}`);
	});
	const made = pools(t);
	const seen = await Promise.all([exchange(made, origin), exchange(made, origin)]);
	t.deepEqual(seen.map(({ body }) => body).sort(), ['1111', '2222']);
});

test('connections to one origin are bounded, without a queue', async (t) => {
	const { origin } = await raw(t, () => undefined);
	const made = pools(t, { connectionsMax: 2 });
	const open = [new Seen(), new Seen()].map((seen) => made.dispatch(origin, request, seen));
	t.is(t.throws(() => made.dispatch(origin, request, new Seen()), { instanceOf: UpstreamFault })?.kind, 'saturated');
	open[0]?.abort();
	t.notThrows(() => made.dispatch(origin, request, new Seen()));
});

test('an aborted exchange hears nothing more, its connection is cut, and a late call hurts nobody', async (t) => {
	let answers = 0;
	const { origin, sockets } = await raw(t, (socket) => {
		if (++answers > 1) socket.write(ok);
	});
	const made = pools(t);
	const first = new Seen();
	const call = made.dispatch(origin, request, first);
	await until('it is so', () => answers === 1);
	call.abort();
	await until('it is so', () => sockets[0]?.destroyed === true || sockets[0]?.readableEnded === true);
	t.false(first.over);
	t.is(made.connections, 0);
	const second = new Seen();
	made.dispatch(origin, request, second);
	call.abort();
	call.pause();
	await until('it is so', () => second.over);
	t.like(second, { status: 200, ends: 1, faults: [] });
});

test('what ends a connection ends its exchange by name', async (t) => {
	const cases: readonly (readonly [string, (socket: Socket) => void, string])[] = [
		['closed unanswered', (socket) => socket.end(), 'reset'],
		['reset unanswered', (socket) => socket.resetAndDestroy(), 'reset'],
		['closed inside the head', (socket) => socket.end('HTTP/1.1 200 OK\r\nx: '), 'cut'],
		['closed inside the body', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'), 'cut'],
		[
			'closed inside a chunk',
			(socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf'),
			'cut',
		],
		['no HTTP', (socket) => socket.write('220 smtp ready\r\n\r\n'), 'protocol'],
	];
	for (const [name, answer, kind] of cases) {
		const { origin } = await raw(t, answer);
		const made = pools(t);
		t.deepEqual((await exchange(made, origin)).faults, [kind], name);
		t.is(made.connections, 0, name);
	}
	t.deepEqual((await exchange(pools(t), 'http://127.0.0.1:1')).faults, ['connect']);
});

test('a body without a length ends with the connection', async (t) => {
	const { origin } = await raw(t, (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'));
	const made = pools(t);
	t.like(await exchange(made, origin), { body: 'all of it', ends: 1 });
	t.is(made.connections, 0);
});

test('a connection is not used again when the answer, the upstream or the request forbid it', async (t) => {
	const cases: readonly (readonly [string, string])[] = [
		['close', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'],
		['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok'],
		['more than the answer', `${ok}HTTP/1.1 200 OK\r\n`],
	];
	for (const [name, answer] of cases) {
		const { origin } = await raw(t, (socket) => socket.write(answer));
		const made = pools(t);
		t.like(await exchange(made, origin), { body: 'ok', ends: 1, faults: [] }, name);
		t.is(made.connections, 0, name);
	}
});

test('what an upstream sends unasked is nobody’s answer', async (t) => {
	const { origin, sockets } = await raw(t, (socket) => socket.write(ok));
	const made = pools(t);
	await exchange(made, origin);
	sockets[0]?.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison');
	await until('it is so', () => made.connections === 0);
	t.is((await exchange(made, origin)).body, 'ok');
});

test('nor is what had arrived unread when a request was given to the connection', async (t) => {
	const { origin, sockets } = await raw(t, (socket) => socket.write(ok));
	const made = pools(t);
	await exchange(made, origin);
	const seen = new Seen();
	// After the loop has polled: what is written now is in the connection's buffer, and read only when it polls again.
	await new Promise<void>((resolve) => {
		setImmediate(() => {
			sockets[0]?.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison');
			made.dispatch(origin, request, seen);
			resolve();
		});
	});
	await until('it is over', () => seen.over);
	t.like(seen, { body: '', ends: 0, faults: ['reset'] }, 'it may be sent again: nothing of it went out');
	t.is((await exchange(made, origin)).body, 'ok');
});

test('an answer before the request was sent whole is passed on, and the connection closed', async (t) => {
	const { origin } = await raw(t, (socket) => {
		socket.pause();
		socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n');
	});
	const made = pools(t);
	const seen = new Seen();
	made.dispatch(origin, { ...request, body: Buffer.alloc(16 * 1024 * 1024) }, seen);
	await until('it is over', () => seen.over);
	t.like(seen, { status: 413, ends: 1, faults: [] });
	t.is(made.connections, 0);
});

test('free connections are closed in time: by our own bound, by the upstream’s hint, by the upstream', async (t) => {
	let nowMs = 0;
	let answer = ok;
	const { origin, sockets } = await raw(t, (socket) => socket.write(answer));
	const made = pools(t, { keepAliveTimeoutMs: 4000 }, () => nowMs);
	await exchange(made, origin);
	nowMs = 4001;
	await exchange(made, origin);
	t.is(sockets.length, 2, 'the first had been free too long');
	answer = 'HTTP/1.1 200 OK\r\nkeep-alive: timeout=3\r\ncontent-length: 2\r\n\r\nok';
	await exchange(made, origin);
	t.is(sockets.length, 2);
	nowMs += 2001;
	await exchange(made, origin);
	t.is(sockets.length, 3, 'a second before the hint');
	made.sweep(nowMs + 2001);
	t.is(made.connections, 0);
	await exchange(made, origin);
	sockets.at(-1)?.end();
	await until('it is so', () => made.connections === 0);
	t.pass();
});

test('a pool is closed when its target goes, when it is idle, and when there are too many', async (t) => {
	const engine = await fakeEngine((_req, res) => res.end('ok'));
	let nowMs = 0;
	const made = pools(t, { poolsMax: 2, poolIdleMs: 1000, keepAliveTimeoutMs: 60_000 }, () => nowMs);
	await exchange(made, engine.origin);
	nowMs = 999;
	made.sweep(nowMs);
	t.deepEqual([made.size, made.connections], [1, 1]);
	nowMs = 1001;
	made.sweep(nowMs);
	t.deepEqual([made.size, made.connections], [0, 0]);
	for (const port of [1, 2, 3]) {
		await exchange(made, `http://127.0.0.1:${port}`);
		nowMs++;
	}
	t.is(made.size, 2);
	made.retain(new Set(['http://127.0.0.1:3']));
	t.is(made.size, 1);
	for (const origin of ['no origin', 'ftp://127.0.0.1', ''])
		t.is(t.throws(() => made.dispatch(origin, request, new Seen()), { instanceOf: UpstreamFault })?.kind, 'connect');
	await engine.close();
});

test('an exchange goes on when its pool is closed, and its connection closes with it', async (t) => {
	let answer: (() => void) | undefined;
	const { origin } = await raw(t, (socket) => {
		answer = () => socket.write(ok);
	});
	const made = pools(t);
	const seen = new Seen();
	made.dispatch(origin, request, seen);
	await until('it is so', () => answer !== undefined);
	made.retain(new Set());
	t.is(made.size, 0);
	answer?.();
	await until('it is over', () => seen.over);
	t.like(seen, { body: 'ok', ends: 1 });
});

test('a connection that does not come up in time is given up', async (t) => {
	// A listener that accepts nobody: once its queue is full, the kernel answers no further connection.
	const server = new Worker(
		`const { createServer } = require('node:net');
		const { parentPort } = require('node:worker_threads');
		const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
			parentPort.postMessage(server.address().port);
			setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
		});`,
		{ eval: true },
	);
	t.teardown(() => server.terminate());
	const [port] = (await once(server, 'message')) as [number];
	const made = pools(t, { connectTimeoutMs: 100 });
	const many = Array.from({ length: 8 }, () => new Seen());
	for (const seen of many) made.dispatch(`http://127.0.0.1:${port}`, request, seen);
	await until('one is given up', () => many.some(({ faults }) => faults[0] === 'connect'));
	t.true(many.every(({ faults }) => faults.every((kind) => kind === 'connect')));
});

test('a request that would not stay one request is refused', (t) => {
	const made = pools(t);
	const bad = [
		{ ...request, path: '/a b' },
		{ ...request, path: 'a' },
		{ ...request, path: '/\r\nx: y' },
		{ ...request, method: 'GET /x' },
		{ ...request, headers: ['a', 'b\r\nc: d'] },
		{ ...request, headers: ['a\r\n', 'b'] },
		{ ...request, headers: ['a', 'snow\u2603'] },
	];
	for (const one of bad)
		t.is(
			t.throws(() => made.dispatch('http://127.0.0.1:1', one, new Seen()), { instanceOf: UpstreamFault })?.kind,
			'invalid',
		);
	t.is(made.connections, 0);
});

test('a whole request reaches the upstream as it was given', async (t) => {
	const engine = await fakeEngine((_req, res) => res.end('ok'));
	const made = pools(t);
	const big = Buffer.alloc(200_000, 'x');
	const seen = [new Seen(), new Seen(), new Seen()];
	made.dispatch(engine.origin, { method: 'GET', path: '/q?a=1', headers: ['x-a', 'é'], body: null }, seen[0] as Seen);
	made.dispatch(engine.origin, { ...request, body: big }, seen[1] as Seen);
	made.dispatch(engine.origin, { ...request, body: null }, seen[2] as Seen);
	await until('it is so', () => seen.every(({ over }) => over));
	const byLength = engine.seen.toSorted((a, b) => a.body.length - b.body.length || a.url.length - b.url.length);
	t.like(byLength[0], { url: '/', body: '' });
	t.is(byLength[0]?.headers['content-length'], '0');
	t.like(byLength[1], { url: '/q?a=1', body: '' });
	t.is(byLength[1]?.headers['x-a'], 'é');
	t.is(byLength[1]?.headers['content-length'], undefined);
	t.is(byLength[2]?.body, big.toString());
	await engine.close();
});
