// What clients send to be understood in two ways, against a real mesh before an engine that reads strictly: the engine gets exactly one request for each that
// is answered, no answer is another's, and the mesh serves on.
import { connect } from 'node:net';
import test from 'ava';
import * as fc from 'fast-check';
import { eventually, startTestMesh } from '../support/mesh.js';
import { clientCases, head, MODEL, whole } from './client-cases.js';
import { markerOf, type StrictEngine, startStrictEngine } from './strict-engine.js';

const ANSWERED_WITHIN_MS = 60_000;

let engine: StrictEngine;
let port = 0;
const teardowns: (() => Promise<void> | void)[] = [];

test.before(async () => {
	engine = await startStrictEngine();
	const mesh = await startTestMesh(
		{ teardown: (fn) => void teardowns.push(fn) },
		{
			engines: [],
			config: {
				data: { port: 0, workers: 1, headers_timeout_ms: 2000, request_timeout_ms: 3000, body_max_bytes: 100_000 },
				strategy: { active: 'least_queue' },
				targets: [{ id: 'strict', url: engine.url, models: [MODEL], metrics_path: '', health_path: '' }],
			},
		},
	);
	port = Number(new URL(mesh.dataUrl).port);
	await eventually('the mesh serves', async () => (await send(last('first'))).startsWith('HTTP/1.1 200'));
	engine.seen.length = 0;
});

test.after.always(async () => {
	for (const fn of teardowns.reverse()) await fn();
	await engine.close();
});

/** Sends bytes on a connection of their own; resolves with all that came back once `enough` holds or the mesh has closed it. */
function send(
	bytes: string,
	enough: (text: string) => boolean = () => false,
	chunkBytes = Number.POSITIVE_INFINITY,
): Promise<string> {
	return new Promise((resolve, reject) => {
		const socket = connect(port, '127.0.0.1');
		let text = '';
		const late = setTimeout(() => {
			socket.destroy();
			reject(new Error(`no end within ${ANSWERED_WITHIN_MS} ms after ${JSON.stringify(text.slice(0, 200))}`));
		}, ANSWERED_WITHIN_MS);
		socket.setEncoding('latin1');
		socket.on('data', (more) => {
			text += more.toString();
			if (enough(text)) socket.end();
		});
		socket.on('error', () => undefined);
		socket.on('close', () => {
			clearTimeout(late);
			resolve(text);
		});
		for (let at = 0; at < bytes.length; at += chunkBytes) socket.write(bytes.slice(at, at + chunkBytes), 'latin1');
	});
}

const last = (marker: string): string => whole(marker, ['connection: close']);

const statusesOf = (text: string): number[] =>
	[...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** Markers in the answers' bodies, in order: what the engine echoed. */
const echoed = (text: string): string[] =>
	[...text.matchAll(/"content":"([\w-]*)"/g)].map(([, marker]) => marker as string);

for (const { name, bytes, statuses, engine: wanted } of clientCases)
	test.serial(`client: ${name}`, async (t) => {
		const before = engine.seen.length;
		// What is refused is closed by the mesh; any other connection once its answers are there.
		const kept = statuses.at(-1) === 200;
		const text = await send(bytes, (so) => kept && statusesOf(so).length === statuses.length && so.endsWith('}'));
		t.deepEqual(statusesOf(text), statuses, text);
		t.deepEqual(engine.seen.slice(before).map(markerOf), wanted);
		t.deepEqual(echoed(text), wanted, 'each answer is the one to its own request');
		t.deepEqual(engine.violations, []);
		if (statuses.at(-1) === 400) t.regex(text, /x-infermesh-error: IM_REQUEST_/);
		t.deepEqual(echoed(await send(last('after'))), ['after'], 'the next one is served');
		engine.seen.length = 0;
	});

/** Parts of a head that decide its length, in all the ways senders and attackers write them. */
const lengthField = fc.constantFrom(
	'content-length: 4',
	'content-length: 60',
	'Content-Length: 4',
	'content-length : 4',
	'content-length:4',
	'content-length: 4\r\n ',
	'content-length: 4, 4',
	'content-length: 04',
	'content-length: 4\u000b',
	'transfer-encoding: chunked',
	'Transfer-Encoding: Chunked',
	'transfer-encoding:chunked',
	'transfer-encoding : chunked',
	'transfer-encoding: chunked, identity',
	'transfer-encoding:\r\n chunked',
	'transfer-encoding: \tchunked',
	'transfer-encoding: chunked\u0000',
	'x: y',
	'x: y\ntransfer-encoding: chunked',
	'connection: transfer-encoding',
	'connection: content-length, keep-alive',
	'expect: 100-continue',
);
const body = fc.constantFrom(
	'0\r\n\r\n',
	'4\r\nabcd\r\n0\r\n\r\n',
	'4;a=b\r\nabcd\r\n0\r\nx: y\r\n\r\n',
	JSON.stringify({ model: MODEL, marker: 'inner' }),
	'{}',
	'',
);

test.serial(
	'whatever lengths a head claims, an engine gets one request for each answer, and nobody another’s',
	async (t) => {
		const seed = 20_261_126;
		t.log(`seed ${seed}`);
		await fc.assert(
			fc.asyncProperty(
				fc.array(lengthField, { minLength: 1, maxLength: 4 }),
				body,
				fc.constantFrom(Number.POSITIVE_INFINITY, 7),
				async (fields, text, chunkBytes) => {
					const before = engine.seen.length;
					const answers = await send(head(fields) + text + last('follows'), undefined, chunkBytes);
					const ok = statusesOf(answers).filter((status) => status === 200).length;
					const seen = engine.seen.slice(before).map(markerOf);
					t.is(ok, seen.length, answers);
					t.deepEqual(echoed(answers), seen);
					t.deepEqual(engine.violations, []);
				},
			),
			{ seed, numRuns: 150 },
		);
	},
);

test.serial('a client that leaves in any middle leaves nothing with the engine', async (t) => {
	const request = whole('good');
	const before = engine.seen.length;
	for (let length = 1; length < request.length; length += 5)
		await new Promise<void>((resolve) => {
			const socket = connect(port, '127.0.0.1', () => socket.end(request.slice(0, length)));
			socket.resume().on('error', () => undefined);
			socket.on('close', () => resolve());
		});
	t.deepEqual(engine.seen.slice(before), []);
	t.deepEqual(engine.violations, []);
	t.deepEqual(echoed(await send(last('good'))), ['good']);
});

test.serial(
	'slow, endless and huge senders are cut at a bound, all at once, and the mesh serves meanwhile',
	async (t) => {
		const sentBytes: Record<string, number> = {};
		const endless = (first: string, more: string): Promise<string> =>
			new Promise((resolve) => {
				const socket = connect(port, '127.0.0.1');
				let text = '';
				let sent = 0;
				socket.setEncoding('latin1');
				socket.on('data', (bytes) => {
					text += bytes.toString();
				});
				socket.on('error', () => undefined);
				socket.on('close', () => {
					sentBytes[`${first.slice(-20)}${more.slice(0, 10)}`] = sent;
					resolve(text);
				});
				socket.write(first);
				const go = (): void => {
					while (!socket.destroyed && socket.writable) {
						sent += more.length;
						if (!socket.write(more)) return void socket.once('drain', go);
					}
				};
				go();
			});
		const chunkedHead = head(['transfer-encoding: chunked']);
		const cases: readonly (readonly [string, Promise<string>, RegExp])[] = [
			[
				'a slow head',
				send('POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-a: '),
				/^HTTP\/1\.1 408 [^]*IM_REQUEST_TIMEOUT/,
			],
			['a slow body', send(`${head(['content-length: 50'])}{`), /^HTTP\/1\.1 408 [^]*IM_REQUEST_TIMEOUT/],
			['a slow chunk', send(`${chunkedHead}5\r\nab`), /^HTTP\/1\.1 408 [^]*IM_REQUEST_TIMEOUT/],
			[
				'an endless header',
				endless('GET /v1/models HTTP/1.1\r\nx-a: ', 'a'.repeat(8192)),
				/^(HTTP\/1\.1 431 [^]*IM_REQUEST_HEADERS[^]*)?$/,
			],
			[
				'endless headers',
				endless('GET /v1/models HTTP/1.1\r\n', 'x-a: b\r\n'.repeat(512)),
				/^(HTTP\/1\.1 431 [^]*IM_REQUEST_HEADERS[^]*)?$/,
			],
			['an endless path', endless('GET /', 'a'.repeat(8192)), /^(HTTP\/1\.1 431 [^]*IM_REQUEST_HEADERS[^]*)?$/],
			[
				'an endless body',
				endless(chunkedHead, `1000\r\n${'a'.repeat(4096)}\r\n`),
				/^(HTTP\/1\.1 413 [^]*IM_REQUEST_BODY_SIZE[^]*)?$/,
			],
			[
				'an endless chunk extension',
				endless(`${chunkedHead}2;`, 'a'.repeat(8192)),
				/^(HTTP\/1\.1 4\d\d [^]*IM_REQUEST_[^]*)?$/,
			],
			[
				'chunks that are all extension',
				endless(chunkedHead, `1;a=${'b'.repeat(1000)}\r\nx\r\n`),
				/^(HTTP\/1\.1 4\d\d [^]*IM_REQUEST_[^]*)?$/,
			],
			[
				'chunks of one byte',
				endless(chunkedHead, '1\r\nx\r\n'.repeat(500)),
				/^(HTTP\/1\.1 413 [^]*IM_REQUEST_BODY_SIZE[^]*)?$/,
			],
			[
				'endless trailers',
				endless(`${chunkedHead}0\r\n`, 'x-a: b\r\n'.repeat(512)),
				/^(HTTP\/1\.1 4\d\d [^]*IM_REQUEST_[^]*)?$/,
			],
		];
		t.deepEqual(echoed(await send(last('meanwhile'))), ['meanwhile']);
		const before = engine.seen.length;
		for (const [name, ended, expected] of cases) t.regex(await ended, expected, name);
		for (const [what, bytes] of Object.entries(sentBytes)) t.log(`${JSON.stringify(what)}: cut after ${bytes} bytes`);
		t.is(engine.seen.length, before);
		t.deepEqual(engine.violations, []);
		t.deepEqual(echoed(await send(last('after'))), ['after']);
	},
);
