// HTTP/2 to targets, below the router: sessions shared by exchanges, and what becomes of an exchange when its stream, its session or its target misbehaves. The
// good targets are `node:http2`'s; the bad ones send frames of their own.
import { type AddressInfo, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import {
	END_HEADERS,
	END_STREAM,
	frame,
	frameTypes,
	okBlock,
	okWith,
	PREFACE,
	type StreamHandler,
} from '../testing/http2.js';
import { until } from '../testing/kit.js';
import { echo, engine, h2, hello, rig, Seen } from './streams.test-support.js';

/** A target below HTTP/2: it says hello, and `answer` says what follows the head of each request. */
async function raw(t: ExecutionContext, answer: (socket: Socket, stream: number) => void): Promise<{ origin: string }> {
	const sockets = new Set<Socket>();
	const server = createServer((socket) => {
		sockets.add(socket);
		socket.on('error', () => undefined);
		let bytes: Buffer = Buffer.alloc(0);
		let greeted = false;
		socket.on('data', (more) => {
			bytes = Buffer.concat([bytes, more]);
			if (!greeted) {
				if (bytes.length < PREFACE.length) return;
				greeted = true;
				bytes = bytes.subarray(PREFACE.length);
				socket.write(frame(frameTypes.settings, 0, 0));
			}
			while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
				const end = 9 + bytes.readUIntBE(0, 3);
				const [type, stream] = [bytes[3], bytes.readUInt32BE(5)];
				bytes = bytes.subarray(end);
				if (type === frameTypes.headers) answer(socket, stream);
			}
		});
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => {
		for (const socket of sockets) socket.destroy();
		server.close();
	});
	return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const code = (value: number): Buffer => {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32BE(value);
	return bytes;
};

test('a request goes out and its answer comes back, many at once over one session', async (t) => {
	const target = await engine(t, echo);
	const { upstreams, exchange } = rig(t);
	const seen = await Promise.all(Array.from({ length: 50 }, () => exchange(h2(target))));
	for (const one of seen) t.like(one, { status: 200, body: 'hello', ends: 1, faults: [] });
	t.deepEqual({ ...seen[0]?.headers, date: '' }, { 'content-type': 'text/plain', 'x-multi': 'a, b', date: '' });
	t.like(target.seen[0], {
		':method': 'POST',
		':path': '/v1/x?y=1',
		':scheme': 'http',
		':authority': new URL(target.origin).host,
		'content-length': '5',
		'x-two': 'a, b',
	});
	t.is(upstreams.sessions.size, 1);
});

test('a stream that is over has told everybody, and holds on to nobody', async (t) => {
	const target = await engine(t, echo);
	const { upstreams } = rig(t);
	const { stream } = upstreams.sessions.open(target.origin, [
		':method',
		'POST',
		':path',
		'/',
		'x-two',
		'a',
		'x-two',
		'b',
	]);
	const told: string[] = [];
	stream.on('end', () => told.push('end')).on('close', () => told.push('close'));
	stream.resume();
	stream.end('hello');
	await until('it is closed', () => told.includes('close'));
	t.deepEqual(told, ['end', 'close']);
	t.is(target.seen[0]?.['x-two'], 'a, b');
	t.deepEqual(stream.eventNames(), ['error']);
	t.notThrows(() => stream.emit('error', new Error('late')));
});

test('a head without a body is a whole answer, and a request without one has none', async (t) => {
	const target = await engine(t, (stream) => stream.respond({ ':status': 204 }, { endStream: true }));
	const { exchange } = rig(t);
	const seen = await exchange(h2(target), { ...hello, method: 'GET', body: null });
	t.like(seen, { status: 204, body: '', ends: 1, faults: [] });
	t.is(target.seen[0]?.['content-length'], undefined);
});

test('what no header may have never goes out', async (t) => {
	const target = await engine(t, echo);
	const { send } = rig(t);
	const bad = [
		{ ...hello, method: 'GE T' },
		{ ...hello, path: '/a b' },
		{ ...hello, path: 'no-slash' },
		{ ...hello, headers: ['x', 'a\r\nb: c'] },
		{ ...hello, headers: ['x y', 'a'] },
		{ ...hello, headers: [':path', '/other'] },
	];
	for (const request of bad) t.throws(() => send(h2(target), request), { message: /no token|may not have|not valid/ });
	t.deepEqual(target.seen, []);
});

test('streams of a session are bounded, and so are sessions: one more finds the target full', async (t) => {
	const held: Parameters<StreamHandler>[0][] = [];
	const target = await engine(t, (stream) => void held.push(stream));
	const { upstreams, send } = rig(t, { sessionsMax: 2, streamsMax: 2 });
	const sent = [send(h2(target)), send(h2(target)), send(h2(target)), send(h2(target))];
	t.throws(() => send(h2(target)), { message: /2 sessions to the target are full/ });
	await until('all have arrived', () => held.length === 4);
	t.is(upstreams.sessions.size, 2);
	for (const stream of held) {
		stream.respond({ ':status': 200 });
		stream.end('ok');
	}
	await until('all are over', () => sent.every(({ over }) => over));
	t.deepEqual(
		sent.map(({ body }) => body),
		['ok', 'ok', 'ok', 'ok'],
	);
});

test('an old session takes no new requests, and those on it end by themselves', async (t) => {
	let nowMs = 0;
	const held: Parameters<StreamHandler>[0][] = [];
	const target = await engine(t, (stream) => void held.push(stream));
	const { upstreams, send } = rig(t, { ageMaxMs: 1000 }, undefined, () => nowMs);
	const old = send(h2(target));
	await until('it has arrived', () => held.length === 1);
	nowMs = 2000;
	await until('the session leaves', () => {
		const fresh = send(h2(target));
		fresh.call?.abort();
		return upstreams.sessions.size === 2;
	});
	held[0]?.respond({ ':status': 200 });
	held[0]?.end('late');
	await until('it is over', () => old.over);
	t.like(old, { body: 'late', ends: 1 });
});

test('an abort resets the stream at the target, and its neighbours go on', async (t) => {
	const target = await engine(t, (stream) => {
		stream.respond({ ':status': 200 });
		stream.write('a');
		stream.on('data', (bytes: Buffer) => bytes.length === 0);
	});
	const { upstreams, send } = rig(t);
	const [gone, stays] = [send(h2(target)), send(h2(target))];
	await until('both have begun', () => gone.body === 'a' && stays.body === 'a');
	gone.call?.abort();
	gone.call?.abort();
	await until('the target knows', () => target.resets.length === 1);
	t.deepEqual(target.resets, [8]);
	t.deepEqual([gone.over, stays.over, upstreams.sessions.size], [false, false, 1]);
	target.kill();
	await until('the other one is cut', () => stays.over);
	t.deepEqual([gone.faults, stays.faults], [[], ['cut']]);
});

test('a reader that pauses holds the target back, and gets all of it in the end', async (t) => {
	const size = 4 * 1024 * 1024;
	let written = 0;
	const target = await engine(t, (stream) => {
		stream.respond({ ':status': 200 });
		const write = (): void => {
			while (written < size) {
				written += 16_384;
				if (!stream.write(Buffer.alloc(16_384, 0x61))) return void stream.once('drain', write);
			}
			stream.end();
		};
		write();
	});
	const { send } = rig(t);
	const seen = send(h2(target));
	await until('it has begun', () => seen.body.length > 0);
	seen.call?.pause();
	let before = -1;
	await until('the target stands still', async () => {
		const still = before === written;
		before = written;
		await new Promise((resolve) => {
			setTimeout(resolve, 50);
		});
		return still;
	});
	t.true(written < size, `${written} bytes were taken of a paused stream`);
	seen.call?.resume();
	await until('it is over', () => seen.over);
	t.deepEqual([seen.body.length, seen.ends, seen.faults], [size, 1, []]);
});

test('an answer that ends while its reader pauses is whole when it is read', async (t) => {
	const target = await engine(t, echo);
	const { send } = rig(t);
	const seen = send(h2(target));
	seen.call?.pause();
	await until('the target has answered', () => target.seen.length === 1);
	const other = send(h2(target));
	await until('another answer has come after it', () => other.over);
	t.is(seen.ends, 0);
	seen.call?.resume();
	await until('it is over', () => seen.over);
	t.like(seen, { body: 'hello', ends: 1, faults: [] });
});

test('an answer before the request was sent whole ends both', async (t) => {
	const target = await engine(t, (stream) => {
		stream.respond({ ':status': 413 });
		stream.end('too large');
	});
	const { upstreams, exchange } = rig(t);
	const seen = await exchange(h2(target), { ...hello, body: Buffer.alloc(4 * 1024 * 1024) });
	t.like(seen, { status: 413, body: 'too large', ends: 1, faults: [] });
	t.like(await exchange(h2(target), { ...hello, body: null }), { status: 413, ends: 1 });
	t.is(upstreams.sessions.size, 1);
});

test('a handler that throws loses its own exchange only', async (t) => {
	const target = await engine(t, echo);
	const { upstreams, exchange } = rig(t);
	const seen = new Seen();
	seen.onBody = () => {
		throw new Error('not mine');
	};
	upstreams.dispatch(h2(target), hello, seen);
	await until('it is over', () => seen.over);
	t.deepEqual([seen.faults, seen.ends], [['internal'], 0]);
	t.like(await exchange(h2(target)), { body: 'hello', ends: 1 });
	t.is(upstreams.sessions.size, 1);
});

const headers = (socket: Socket, stream: number, block: Buffer = okBlock, flags = END_HEADERS): boolean =>
	socket.write(frame(frameTypes.headers, flags, stream, block));
const data = (socket: Socket, stream: number, flags = 0): boolean =>
	socket.write(frame(frameTypes.data, flags, stream, Buffer.from('abc')));
const reset = (socket: Socket, stream: number, value: number): boolean =>
	socket.write(frame(frameTypes.reset, 0, stream, code(value)));

const faulty: readonly [what: string, fault: string, answer: (socket: Socket, stream: number) => void][] = [
	['a reset before the head', 'cut', (socket, stream) => reset(socket, stream, 2)],
	['a stream refused', 'reset', (socket, stream) => reset(socket, stream, 7)],
	['a plea for calm', 'saturated', (socket, stream) => reset(socket, stream, 11)],
	['a wish for HTTP/1.1', 'protocol', (socket, stream) => reset(socket, stream, 13)],
	['an error of protocol', 'protocol', (socket, stream) => reset(socket, stream, 1)],
	['the connection dies before the head', 'reset', (socket) => socket.destroy()],
	[
		'a reset without an error inside the answer',
		'cut',
		(socket, stream) => {
			headers(socket, stream);
			data(socket, stream);
			reset(socket, stream, 0);
		},
	],
	[
		'a reset with an error inside the answer',
		'cut',
		(socket, stream) => {
			headers(socket, stream);
			data(socket, stream);
			reset(socket, stream, 2);
		},
	],
	[
		'the connection dies inside the answer',
		'cut',
		(socket, stream) => {
			headers(socket, stream);
			data(socket, stream);
			socket.end();
		},
	],
	[
		'told to go, with the request refused',
		'reset',
		(socket) => socket.write(frame(frameTypes.goaway, 0, 0, Buffer.concat([code(0), code(0)]))),
	],
	[
		'told to go with an error',
		'reset',
		(socket) => socket.write(frame(frameTypes.goaway, 0, 0, Buffer.concat([code(0), code(2)]))),
	],
	[
		'a body that is not as long as it says',
		'protocol',
		(socket, stream) => {
			headers(socket, stream, okWith('content-length', '10'));
			data(socket, stream, END_STREAM);
		},
	],
	['a field that belongs to HTTP/1.1', 'protocol', (s, stream) => headers(s, stream, okWith('connection', 'close'))],
	['a field name in upper case', 'protocol', (socket, stream) => headers(socket, stream, okWith('X-Up', 'a'))],
	['no status', 'protocol', (socket, stream) => headers(socket, stream, okWith('x-a', 'a').subarray(1))],
	['bytes that are no frames', 'protocol', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
];

for (const [what, fault, answer] of faulty)
	test(`a fault of a target: ${what}`, async (t) => {
		const target = await raw(t, answer);
		const { exchange } = rig(t);
		t.like(await exchange(h2(target)), { ends: 0, faults: [fault] });
	});

test('a field with control characters never comes through', async (t) => {
	const target = await raw(t, (socket, stream) => {
		headers(socket, stream, okWith('x-a', 'a\r\nb: c'));
		data(socket, stream, END_STREAM);
	});
	const { exchange } = rig(t);
	const seen = await exchange(h2(target));
	t.deepEqual([Object.keys(seen.headers), seen.body], [[], 'abc']);
});

test('one bad answer costs its stream, not its neighbours’', async (t) => {
	const target = await raw(t, (socket, stream) => {
		if (stream === 1) return void headers(socket, stream, okWith('X-Up', 'a'));
		headers(socket, stream);
		data(socket, stream, END_STREAM);
	});
	const { upstreams, send } = rig(t);
	const seen = [send(h2(target)), send(h2(target)), send(h2(target))];
	await until('all are over', () => seen.every(({ over }) => over));
	t.deepEqual(
		seen.map(({ faults, body }) => [faults, body]),
		[
			[['protocol'], ''],
			[[], 'abc'],
			[[], 'abc'],
		],
	);
	t.is(upstreams.sessions.size, 1);
});

test('told to go, a session ends what it has, and the next request opens another', async (t) => {
	const target = await raw(t, (socket, stream) => {
		if (stream === 1) socket.write(frame(frameTypes.goaway, 0, 0, Buffer.concat([code(1), code(0)])));
		headers(socket, stream);
		data(socket, stream, END_STREAM);
	});
	const { exchange } = rig(t);
	t.like(await exchange(h2(target)), { body: 'abc', ends: 1 });
	t.like(await exchange(h2(target)), { body: 'abc', ends: 1 });
});

test('a target that is not there, and one that is no origin', async (t) => {
	const { exchange, send } = rig(t);
	t.deepEqual((await exchange({ origin: 'http://127.0.0.1:1', http: 'h2' })).faults, ['connect']);
	t.throws(() => send({ origin: 'nonsense', http: 'h2' }), { message: /no HTTP origin/ });
});

test('regression: a session that is closed in the turn it is connected in throws nothing', async (t) => {
	const { upstreams, exchange } = rig(t);
	const target = await engine(t, echo);
	const { stream, connected } = upstreams.sessions.open(target.origin, { ':path': '/' }, true);
	stream.on('error', () => undefined);
	const { session } = stream;
	// Node tells of the connection in a turn after the socket's own.
	session?.socket.once('connect', () => session.destroy());
	const told = new Promise((resolve) => session?.once('connect', resolve));
	await told;
	t.is(session?.destroyed, true);
	t.is(connected(), false);
	t.like(await exchange(h2(target)), { ends: 1 });
});
