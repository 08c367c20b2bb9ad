// One data port, two versions: HTTP/2 in the clear and under TLS beside HTTP/1.1, the same pipeline behind both, and clients that abuse it.
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { createServer as createHttpsServer, request as httpsRequest } from 'node:https';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { TEST_NAME, testCertificate } from './testing/certificate.js';
import { ask, END_HEADERS, END_STREAM, frame, frameTypes, getBlock, hello, PREFACE } from './testing/http2.js';
import {
	answerStream,
	answerWhole,
	chatBody,
	chunkEvent,
	type EngineHandler,
	fakeEngine,
	post,
	rawClient,
	startRouter,
	type TestRouter,
	type TestRouterOptions,
	until,
} from './testing/kit.js';
import { skewedClock } from './testing/skewed-clock.js';

const CHAT = { ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json' };

interface Rig {
	readonly mesh: TestRouter;
	readonly client: ClientHttp2Session;
	readonly engine: Awaited<ReturnType<typeof fakeEngine>>;
}

async function open(
	t: ExecutionContext,
	handler: EngineHandler,
	options: Partial<TestRouterOptions> = {},
): Promise<Rig> {
	const engine = await fakeEngine(handler);
	const mesh = await startRouter({ origins: [engine.origin], ...options });
	const client = connect(mesh.url, { rejectUnauthorized: false });
	client.on('error', () => undefined);
	t.teardown(async () => {
		client.destroy();
		await mesh.close();
		await engine.close();
	});
	return { mesh, client, engine };
}

test('HTTP/2 by prior knowledge and HTTP/1.1 share a port and a pipeline', async (t) => {
	const { mesh, client, engine } = await open(t, answerWhole);
	const [two, one] = await Promise.all([
		ask(client, { ...CHAT, 'x-request-id': 'two', cookie: 'secret' }, chatBody()),
		post(`${mesh.url}/v1/chat/completions`, chatBody()),
	]);
	t.is(one.status, 200);
	t.deepEqual([two.status, two.rstCode], [200, constants.NGHTTP2_NO_ERROR]);
	t.is(two.text, await one.text());
	t.is(two.headers['x-request-id'], 'two');
	t.is(two.headers['x-infermesh-target'], 't0');
	t.is(two.headers['connection'], undefined);
	t.true(engine.seen.every(({ headers }) => Object.keys(headers).every((name) => !name.startsWith(':'))));
	t.true(engine.seen.every(({ headers }) => headers.cookie === undefined));
	await until('all has left', () => mesh.router.inflight() === 0);
	t.deepEqual(
		mesh.ended.map(({ status }) => status),
		[200, 200],
	);
});

test('streams of events pass over HTTP/2, many on one connection', async (t) => {
	const { client } = await open(t, answerStream(['a', 'b']));
	const all = await Promise.all(Array.from({ length: 20 }, () => ask(client, CHAT, chatBody({ stream: true }))));
	for (const { status, text, rstCode } of all) {
		t.deepEqual([status, rstCode], [200, 0]);
		t.true(text.endsWith('data: [DONE]\n\n'));
		t.true(text.includes('"a"') && text.includes('"b"'));
	}
});

test('what needs no target is answered, and refusals keep their shape and the connection', async (t) => {
	const { client } = await open(t, answerWhole, { key: 'k' });
	t.is((await ask(client, { ':path': '/healthz' })).status, 200);
	const denied = await ask(client, { ':path': '/v1/models' });
	t.deepEqual([denied.status, denied.headers['x-infermesh-error']], [401, 'IM_REQUEST_UNAUTHENTICATED']);
	const allowed = await ask(client, { ':path': '/v1/models', authorization: 'Bearer k' });
	t.is(allowed.status, 200);
	t.is((await ask(client, { ':path': '/v1/models', ':method': 'HEAD', authorization: 'Bearer k' })).text, '');
	t.is((await ask(client, { ':path': '/../x', authorization: 'Bearer k' })).status, 404);
	t.is((await ask(client, { ...CHAT, authorization: 'Bearer k' }, '{')).status, 400);
	t.false(client.destroyed);
});

test('a body beyond the bound is refused, and its sender is told to stop', async (t) => {
	const { mesh, client } = await open(t, answerWhole, { options: { bodyBytesMax: 1000 } });
	const upload = client.request(CHAT);
	upload.on('error', () => undefined);
	const status = new Promise((resolve) => upload.once('response', (head) => resolve(head[':status'])));
	upload.write(Buffer.alloc(2000, 0x20));
	t.is(await status, 413);
	upload.resume();
	await new Promise((resolve) => upload.once('close', resolve));
	t.is(upload.rstCode, constants.NGHTTP2_NO_ERROR);
	t.is((await ask(client, CHAT, chatBody())).status, 200);
	await until('all has left', () => mesh.router.inflight() === 0);
});

test('a body that does not come in time is refused', async (t) => {
	const { clock, advance } = skewedClock();
	const { mesh, client } = await open(t, answerWhole, { ports: { clock } });
	const slow = client.request(CHAT);
	slow.on('error', () => undefined);
	slow.write('{');
	const answered = new Promise<Record<string, unknown>>((resolve) => slow.once('response', resolve));
	await until('the request is here', () => mesh.router.inflight() === 1);
	advance(mesh.router.options.requestTimeoutMs + 1000);
	const head = await answered;
	t.deepEqual([head[':status'], head['x-infermesh-error']], [408, 'IM_REQUEST_TIMEOUT']);
	slow.resume();
	await until('all has left', () => mesh.router.inflight() === 0);
});

test('a client that resets its stream cancels upstream; the others on its connection go on', async (t) => {
	const { mesh, client, engine } = await open(t, (req, res, body) => {
		if (body.includes('slow')) return;
		answerWhole(req, res, body);
	});
	const slow = client.request(CHAT);
	slow.on('error', () => undefined);
	slow.end(chatBody({ user: 'slow' }));
	await until('the engine has it', () => engine.seen.length === 1);
	slow.close(constants.NGHTTP2_CANCEL);
	await until('the engine was told', () => engine.aborted === 1);
	t.is((await ask(client, CHAT, chatBody())).status, 200);
	await until('all has left', () => mesh.router.inflight() === 0);
	t.deepEqual(
		mesh.ended.map(({ status }) => status),
		[499, 200],
	);
});

test('a stream whose engine dies ends in an error event and a reset, never as if it were whole', async (t) => {
	const { client } = await open(t, (_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'), () => res.destroy());
	});
	const { text, rstCode } = await ask(client, CHAT, chatBody({ stream: true }));
	t.true(text.includes('"a"'));
	t.true(text.includes('IM_UPSTREAM_DIED'));
	t.is(rstCode, constants.NGHTTP2_INTERNAL_ERROR);
});

test('a reader that takes nothing stops the engine’s stream, and is cut in the end', async (t) => {
	let written = 0;
	const { mesh, client, engine } = await open(
		t,
		(_req, res) => {
			res.writeHead(200, { 'content-type': 'text/event-stream' });
			const event = chunkEvent('x'.repeat(50_000));
			const more = (): void => {
				while (!res.destroyed) {
					written += event.length;
					if (!res.write(event)) break;
				}
			};
			res.on('drain', more);
			more();
		},
		{ options: { clientWriteTimeoutMs: 500 } },
	);
	const stalled = client.request(CHAT);
	stalled.on('error', () => undefined);
	stalled.end(chatBody({ stream: true }));
	await until('the engine is told', () => engine.aborted === 1, 20_000);
	t.true(written < 64 * 1024 * 1024, String(written));
	await until('all has left', () => mesh.router.inflight() === 0);
});

test('rapid resets close the connection, by name', async (t) => {
	const { mesh } = await open(t, answerWhole, { options: { http2: { resetBurst: 20, resetRatePerS: 1 } } });
	const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]);
	const storm = Array.from({ length: 200 }, (_, at) => [
		frame(frameTypes.headers, END_STREAM | END_HEADERS, 2 * at + 1, getBlock),
		frame(frameTypes.reset, 0, 2 * at + 1, cancel),
	]);
	const attacker = rawClient(mesh.port, Buffer.concat([hello, ...storm.flat()]));
	await attacker.closed;
	t.deepEqual(mesh.http2Closed, ['rapid_reset']);
	await until('nothing is left of it', () => mesh.router.inflight() === 0);
});

test('header blocks without end, floods of frames and garbage close the connection, by name', async (t) => {
	const { mesh, client } = await open(t, answerWhole);
	const field = Buffer.from([0x40, 0x01, 0x61, 0x01, 0x62]);
	const attacks = {
		continuation_flood: [
			frame(frameTypes.headers, END_STREAM, 1, getBlock),
			...Array.from({ length: 100 }, () => frame(frameTypes.continuation, 0, 1, field)),
		],
		frame_flood: Array.from({ length: 3000 }, () => frame(frameTypes.ping, 0, 0, Buffer.alloc(8))),
		protocol_error: [Buffer.alloc(64, 0xff)],
	};
	for (const frames of Object.values(attacks)) await rawClient(mesh.port, Buffer.concat([hello, ...frames])).closed;
	t.deepEqual(mesh.http2Closed, Object.keys(attacks));
	t.is((await ask(client, CHAT, chatBody())).status, 200);
});

test('a header list beyond the bound costs its stream only', async (t) => {
	const { client } = await open(t, answerWhole, { options: { headerBytesMax: 2000 } });
	const big = await ask(client, { ...CHAT, 'x-big': 'x'.repeat(1000), 'x-bigger': 'y'.repeat(1500) }, chatBody());
	t.deepEqual([big.status, big.headers['x-infermesh-error']], [431, 'IM_REQUEST_HEADERS']);
	t.is((await ask(client, CHAT, chatBody())).status, 200);
});

test('the version is told however the first bytes are cut', async (t) => {
	const { mesh } = await open(t, answerWhole);
	for (const cut of [1, 2, 3, 10]) {
		const client = rawClient(mesh.port, PREFACE.subarray(0, cut));
		await new Promise((resolve) => client.socket.once('connect', resolve));
		await new Promise((resolve) => {
			setImmediate(resolve);
		});
		client.socket.write(Buffer.concat([PREFACE.subarray(cut), frame(frameTypes.settings, 0, 0)]));
		// The server's own settings come first.
		await until('settings came', () => client.text().length >= 9);
		t.is(client.text().charCodeAt(3), frameTypes.settings);
		client.socket.destroy();
	}
	const one = rawClient(mesh.port, 'P');
	one.socket.write('UT / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
	t.regex(await one.closed, /^HTTP\/1\.1 404 /);
});

test('a connection that says nothing is answered and closed', async (t) => {
	const { mesh } = await open(t, answerWhole, { options: { headersTimeoutMs: 100 } });
	for (const first of ['', 'PR']) {
		const silent = rawClient(mesh.port, first);
		t.regex(await silent.closed, /^HTTP\/1\.1 408 /);
	}
});

test('connections that have said nothing do not hold up the end', async (t) => {
	const { mesh } = await open(t, answerWhole);
	const silent = rawClient(mesh.port, 'P');
	await new Promise((resolve) => silent.socket.once('connect', resolve));
	await mesh.close();
	t.is(await silent.closed, '');
});

test('a client that leaves without a goodbye leaves no session behind', async (t) => {
	const { mesh } = await open(t, answerWhole);
	const socket = connectTcp({ port: mesh.port, allowHalfOpen: true });
	socket.write(hello);
	socket.resume();
	await new Promise((resolve) => socket.once('data', resolve));
	socket.end();
	await new Promise((resolve) => socket.once('close', resolve));
	t.pass();
});

test('connections are told to go when they are old, and their streams end first', async (t) => {
	const { clock, advance } = skewedClock();
	let answer: (() => void) | undefined;
	const { mesh, client } = await open(
		t,
		(req, res, body) => {
			answer = () => answerWhole(req, res, body);
		},
		{ ports: { clock }, options: { http2: { connectionAgeMaxMs: 10_000 } } },
	);
	const answered = ask(client, CHAT, chatBody());
	await until('the engine has it', () => answer !== undefined);
	const gone = new Promise((resolve) => client.once('goaway', resolve));
	advance(mesh.router.options.http2.connectionAgeMaxMs + 1000);
	await gone;
	answer?.();
	t.is((await answered).status, 200);
	if (!client.closed) await new Promise((resolve) => client.once('close', resolve));
	t.true(client.closed);
});

test('under TLS the version is agreed on by ALPN', async (t) => {
	const tls = await testCertificate();
	const { mesh, client } = await open(t, answerWhole, { options: { tls } });
	const two = await ask(client, CHAT, chatBody());
	t.deepEqual([two.status, client.alpnProtocol], [200, 'h2']);
	const one = await new Promise<string | undefined>((resolve, reject) => {
		const sent = httpsRequest(
			`${mesh.url}/v1/chat/completions`,
			{ method: 'POST', ca: tls.ca, servername: TEST_NAME, headers: { 'content-type': 'application/json' } },
			(response) => {
				response.resume();
				response.once('end', () => resolve(`${response.statusCode} ${response.httpVersion}`));
			},
		);
		sent.once('error', reject);
		sent.end(chatBody());
	});
	t.is(one, '200 1.1');
});

test('targets under TLS are checked with the authorities given, and shown the certificate given', async (t) => {
	const certificate = await testCertificate('localhost');
	const engine = createHttpsServer({ ...certificate, requestCert: true, rejectUnauthorized: true }, (req, res) => {
		req.resume();
		req.on('end', () => answerWhole(req, res, Buffer.alloc(0)));
	});
	await new Promise<void>((resolve) => {
		engine.listen(0, '127.0.0.1', resolve);
	});
	const origins = [`https://localhost:${(engine.address() as AddressInfo).port}`];
	const known = await startRouter({ origins, options: { upstream: { tls: certificate } } });
	const stranger = await startRouter({ origins, options: { upstream: { tls: { ca: certificate.ca } } } });
	const doubting = await startRouter({ origins });
	t.teardown(async () => {
		await Promise.all([known, stranger, doubting].map((mesh) => mesh.close()));
		engine.closeAllConnections();
		engine.close();
	});
	const statusOf = async (mesh: TestRouter): Promise<number> =>
		(await post(`${mesh.url}/v1/chat/completions`, chatBody())).status;
	t.is(await statusOf(known), 200);
	t.is(await statusOf(stranger), 502);
	t.is(await statusOf(doubting), 502);
});

test('closing lets streams end, and resets those that do not', async (t) => {
	const engine = await fakeEngine(() => undefined);
	const mesh = await startRouter({ origins: [engine.origin] });
	const client = connect(mesh.url);
	const answered = ask(client, CHAT, chatBody());
	await until('the engine has it', () => engine.seen.length === 1);
	const gone = new Promise((resolve) => client.once('goaway', resolve));
	const closed = mesh.router.close({ graceMs: 200 });
	await gone;
	await closed;
	const { status, rstCode } = await answered;
	t.is(status, 0);
	t.not(rstCode, constants.NGHTTP2_NO_ERROR);
	client.destroy();
	await engine.close();
});
