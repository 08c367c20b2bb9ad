// What clients put into HTTP/2 so that it becomes something else in HTTP/1.1 on the way to an engine: lengths that lie, fields of connections, line ends in
// names, values and paths. Frames by hand; the engine reads strictly and gets one whole request for each answer, or none.
import { connect } from 'node:net';
import test from 'ava';
import * as fc from 'fast-check';
import { eventually, startTestMesh } from '../support/mesh.js';
import { MODEL, whole } from './client-cases.js';
import { markerOf, type StrictEngine, startStrictEngine } from './strict-engine.js';

let engine: StrictEngine;
let port = 0;
let adminUrl = '';
const teardowns: (() => Promise<void> | void)[] = [];

test.before(async () => {
	engine = await startStrictEngine();
	const mesh = await startTestMesh(
		{ teardown: (fn) => void teardowns.push(fn) },
		{
			engines: [],
			config: {
				data: { port: 0, workers: 1, headers_timeout_ms: 3000, request_timeout_ms: 3000 },
				strategy: { active: 'least_queue' },
				targets: [{ id: 'strict', url: engine.url, models: [MODEL], metrics_path: '', health_path: '' }],
			},
		},
	);
	port = Number(new URL(mesh.dataUrl).port);
	adminUrl = mesh.mesh.adminUrl;
	await eventually('the mesh serves', async () => (await send(fields(), good)).includes('"good"'));
	engine.seen.length = 0;
});

test.after.always(async () => {
	for (const fn of teardowns.reverse()) await fn();
	await engine.close();
});

type Field = readonly [name: string, value: string];

const good = JSON.stringify({ model: MODEL, marker: 'good' });
const smuggled = whole('smuggled');
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const [DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY] = [0, 1, 3, 4, 7];
const END_STREAM = 1;
const END_HEADERS = 4;

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
	const head = Buffer.alloc(9);
	head.writeUIntBE(payload.length, 0, 3);
	head[3] = type;
	head[4] = flags;
	head.writeUInt32BE(stream, 5);
	return Buffer.concat([head, payload]);
}

/** A field as a literal that is not indexed, names and values of fewer than 127 bytes, or up to 16,000 by a second byte. */
function literal([name, value]: Field): Buffer {
	const text = (bytes: Buffer): Buffer => {
		if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
		const rest = bytes.length - 127;
		return Buffer.concat([Buffer.from([127, (rest & 127) | 128, rest >> 7]), bytes]);
	};
	return Buffer.concat([Buffer.from([0]), text(Buffer.from(name, 'latin1')), text(Buffer.from(value, 'latin1'))]);
}

function fields(...more: readonly Field[]): Field[] {
	const pseudo: Field[] = [
		[':method', 'POST'],
		[':scheme', 'http'],
		[':path', '/v1/chat/completions'],
		[':authority', 'a'],
	];
	const named = new Set(more.map(([name]) => name));
	return [
		...pseudo.filter(([name]) => !named.has(name)),
		...more.toSorted(([a], [b]) => Number(b.startsWith(':')) - Number(a.startsWith(':'))),
	];
}

/** Sends one request on a connection of its own; resolves with the bytes of its answer's body once the stream or the connection has ended. */
function send(list: readonly Field[], body: string, trailers?: readonly Field[]): Promise<string> {
	return new Promise((resolve, reject) => {
		const socket = connect(port, '127.0.0.1');
		const late = setTimeout(() => reject(new Error('no end')), 60_000);
		let pending = Buffer.alloc(0);
		let text = '';
		socket.on('data', (bytes) => {
			pending = Buffer.concat([pending, bytes]);
			while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
				const length = pending.readUIntBE(0, 3);
				const [type, flags] = [pending[3] as number, pending[4] as number];
				const stream = pending.readUInt32BE(5);
				const payload = pending.subarray(9, 9 + length);
				pending = pending.subarray(9 + length);
				if (type === SETTINGS && (flags & 1) === 0) socket.write(frame(SETTINGS, 1, 0, Buffer.alloc(0)));
				if (type === DATA) text += payload.toString('latin1');
				const ends = (type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0;
				if ((stream === 1 && (ends || type === RST_STREAM)) || type === GOAWAY) socket.end();
			}
		});
		socket.on('error', () => undefined);
		socket.on('close', () => {
			clearTimeout(late);
			resolve(text);
		});
		socket.write(PREFACE);
		socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
		socket.write(frame(HEADERS, END_HEADERS, 1, Buffer.concat(list.map(literal))));
		socket.write(frame(DATA, trailers === undefined ? END_STREAM : 0, 1, Buffer.from(body)));
		if (trailers !== undefined)
			socket.write(frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat(trailers.map(literal))));
	});
}

const cases: readonly (readonly [string, readonly Field[], string, (readonly Field[])?])[] = [
	['a length shorter than the body', fields(['content-length', '2']), `{}${smuggled}`],
	['a length longer than the body', fields(['content-length', '400']), good],
	['a length of nothing, and a body', fields(['content-length', '0']), smuggled],
	['two lengths', fields(['content-length', String(good.length)], ['content-length', '2']), good],
	['a length that is none', fields(['content-length', '+2']), good],
	['an encoding', fields(['transfer-encoding', 'chunked']), `0\r\n\r\n${smuggled}`],
	['an encoding and a length', fields(['transfer-encoding', 'chunked'], ['content-length', String(good.length)]), good],
	['a connection field', fields(['connection', 'content-length']), good],
	['an upgrade', fields(['upgrade', 'websocket'], ['connection', 'upgrade']), good],
	['a line end in a value', fields(['x-a', `b\r\ntransfer-encoding: chunked`]), good],
	['a bare line feed in a value', fields(['x-a', 'b\nx-c: d']), good],
	['a NUL in a value', fields(['x-a', 'b\0c']), good],
	['a line end in a name', fields(['x-a: b\r\nx-c', 'd']), good],
	['a colon in a name', fields(['x-a: b', 'c']), good],
	['a space in a name', fields(['x a', 'b']), good],
	['a name in capitals', fields(['Content-Length', '2']), good],
	['a space before a value', fields(['x-a', ' b']), good],
	['a request in the path', fields([':path', '/v1/chat/completions HTTP/1.1\r\nhost: a\r\n\r\nGET /x']), good],
	['a space in the path', fields([':path', '/v1/chat/completions x']), good],
	['a line end in the path', fields([':path', '/v1/chat/completions\r\nx: y']), good],
	['a request in the method', fields([':method', 'POST /x HTTP/1.1\r\n\r\n']), good],
	['a line end in the authority', fields([':authority', 'a\r\nx: y']), good],
	['two paths', fields([':path', '/v1/chat/completions'], [':path', '/v1/models']), good],
	['a host beside the authority', fields(['host', 'b']), good],
	['an unknown pseudo-field', fields([':smuggled', 'x']), good],
	['a pseudo-field after others', [...fields(['x-a', 'b']), [':path', '/v1/models']], good],
	['trailers that name a length', fields(), good, [['content-length', '2']]],
	['trailers that name an encoding', fields(), good, [['transfer-encoding', 'chunked']]],
	['trailers with a path', fields(), good, [[':path', '/v1/models']]],
];

for (const [name, list, body, trailers] of cases)
	test.serial(`HTTP/2: ${name}`, async (t) => {
		const text = await send(list, body, trailers);
		const seen = engine.seen.splice(0);
		t.true(seen.length <= 1, JSON.stringify(seen));
		// Passed on, it is the client's one request, whole; and answered, it is the answer to that.
		for (const one of seen) {
			t.is(one.path, '/v1/chat/completions');
			t.is(one.body, good);
			t.is(markerOf(one), 'good');
			t.deepEqual(
				[...one.headers.keys()].filter((key) => ['transfer-encoding', 'upgrade', 'x-c', 'x'].includes(key)),
				[],
			);
		}
		if (text.includes('"content":"')) t.regex(text, /"content":"good"/);
		t.deepEqual(engine.violations, []);
		t.regex(await send(fields(), good), /"content":"good"/, 'the next one is served');
		engine.seen.length = 0;
	});

const request = frame(HEADERS, END_HEADERS, 1, Buffer.concat(fields().map(literal)));
const anyFrame = fc.oneof(
	fc.constantFrom(request, frame(DATA, END_STREAM, 1, Buffer.from(good)), frame(SETTINGS, 0, 0, Buffer.alloc(0))),
	fc
		.record({
			type: fc.nat(12),
			flags: fc.nat(255),
			stream: fc.constantFrom(0, 1, 2, 3, 5, 0x7fff_ffff),
			payload: fc.uint8Array({ maxLength: 40 }),
		})
		.map(({ type, flags, stream, payload }) => frame(type, flags, stream, Buffer.from(payload))),
	fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
);

/** Sends frames with the greeting, in one write, and leaves at the first word of the mesh: it has read them by then, all or many. */
function sendFrames(frames: readonly Buffer[], reset: boolean): Promise<void> {
	return new Promise((resolve) => {
		const socket = connect(port, '127.0.0.1');
		const leave = (): void => void (reset ? socket.resetAndDestroy() : socket.destroy());
		socket.on('data', leave);
		socket.on('error', () => undefined);
		socket.on('close', () => resolve());
		socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS, 0, 0, Buffer.alloc(0)), ...frames]));
	});
}

test.serial('whatever frames come, and however a client leaves, no worker ends by it', async (t) => {
	const seed = 20_261_127;
	t.log(`seed ${seed}`);
	await fc.assert(
		fc.asyncProperty(fc.array(anyFrame, { maxLength: 12 }), fc.boolean(), async (frames, reset) => {
			await sendFrames(frames, reset);
		}),
		{ seed, numRuns: 300 },
	);
	t.regex(await send(fields(), good), /"content":"good"/);
	const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
	t.regex(metrics, /^infermesh_worker_restarts_total 0$/m);
	t.deepEqual(engine.violations, []);
});
