// Which version of HTTP a target is spoken to in: by its description, and by what TLS agrees on; and certificates that are replaced.
import { createSecureServer } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { type TestCertificate, testCertificate } from '../testing/certificate.js';
import type { StreamHandler } from '../testing/http2.js';
import { until } from '../testing/kit.js';
import { echo, engine, h2, rig } from './streams.test-support.js';
import type { HttpPlace } from './upstreams.js';

test('over TLS: a target that takes HTTP/2 only, with a certificate of ours', async (t) => {
	const certificate = await testCertificate('localhost');
	const target = await engine(t, echo, certificate);
	const { upstreams, exchange } = rig(t, {}, certificate);
	t.like(await exchange(h2(target)), { body: 'hello', ends: 1 });
	t.is(upstreams.sessions.size, 1);
});

test('over TLS: other certificates are shown on new sessions, and what is under way on the old one ends by itself', async (t) => {
	const [certificate, stranger] = await Promise.all([testCertificate('localhost'), testCertificate('localhost')]);
	const held: Parameters<StreamHandler>[0][] = [];
	const target = await engine(t, (stream) => void held.push(stream), certificate);
	const { upstreams, send, exchange } = rig(t, {}, certificate);
	const old = send(h2(target));
	await until('it has arrived', () => held.length === 1);
	upstreams.setTls({ ...stranger, ca: certificate.ca });
	t.deepEqual((await exchange(h2(target))).faults.length, 1, 'the target does not know this one');
	upstreams.setTls(certificate);
	const fresh = send(h2(target));
	await until('it has arrived', () => held.length === 2);
	for (const stream of held) {
		stream.respond({ ':status': 200 });
		stream.end('ok');
	}
	await until('both are over', () => old.over && fresh.over);
	t.deepEqual([old.body, fresh.body, old.faults, fresh.faults], ['ok', 'ok', [], []]);
});

async function https1(
	t: ExecutionContext,
	certificate: TestCertificate,
): Promise<{ origin: string; versions: string[] }> {
	const versions: string[] = [];
	const server = createHttpsServer({ ...certificate }, (req, res) => {
		versions.push(req.httpVersion);
		res.end('one');
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	return { origin: `https://localhost:${(server.address() as AddressInfo).port}`, versions };
}

test('over TLS: a target without HTTP/2 is unreachable by it, and served by what is agreed on', async (t) => {
	const certificate = await testCertificate('localhost');
	const { origin, versions } = await https1(t, certificate);
	const { exchange } = rig(t, {}, certificate);
	t.deepEqual((await exchange({ origin, http: 'h2' })).faults, ['connect']);
	for (let n = 0; n < 3; n++) t.like(await exchange({ origin, http: 'auto' }), { body: 'one', ends: 1 });
	t.deepEqual(versions, ['1.1', '1.1', '1.1']);
});

test('auto: the first request does not wait for the answer, later ones use HTTP/2 where it is agreed on', async (t) => {
	const certificate = await testCertificate('localhost');
	const target = await engine(t, echo, certificate);
	const place: HttpPlace = { origin: target.origin, http: 'auto' };
	const { upstreams, exchange } = rig(t, {}, certificate);
	// This target has no HTTP/1.1: what goes out before the answer fails, and is retried by whoever sent it.
	t.deepEqual((await exchange(place)).faults, ['connect']);
	await until('it has agreed', () => upstreams.sessions.size === 1);
	t.like(await exchange(place), { body: 'hello', ends: 1 });
	target.kill();
	await until('the session is gone', () => upstreams.sessions.size === 0);
	t.like(await exchange(place), { body: 'hello', ends: 1 });
});

test('auto: a target of both versions is served from the first request on, and over HTTP/2 once it has agreed', async (t) => {
	const certificate = await testCertificate('localhost');
	const versions: string[] = [];
	const server = createSecureServer({ cert: certificate.cert, key: certificate.key, allowHTTP1: true }, (req, res) => {
		versions.push(req.httpVersion);
		res.end('both');
	});
	server.on('sessionError', () => undefined);
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	const { upstreams, exchange } = rig(t, {}, certificate);
	const place: HttpPlace = { origin: `https://localhost:${(server.address() as AddressInfo).port}`, http: 'auto' };
	t.like(await exchange(place), { body: 'both', ends: 1 });
	await until('it has agreed', () => upstreams.sessions.size === 1);
	for (let n = 0; n < 3; n++) t.like(await exchange(place), { body: 'both', ends: 1 });
	t.deepEqual(versions, ['1.1', '2.0', '2.0', '2.0']);
	t.is(upstreams.sessions.size, 1, 'the connection that asked is the session');
	upstreams.destroy();
	server.close();
});

test('auto: without TLS it is HTTP/1.1', async (t) => {
	const first: string[] = [];
	const server = createServer((socket) => {
		socket.on('error', () => undefined);
		socket.on('data', (bytes) => {
			first.push(bytes.toString('latin1').slice(0, 26));
			socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
		});
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	const { upstreams, exchange } = rig(t);
	const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	t.like(await exchange({ origin, http: 'auto' }), { body: 'ok', ends: 1 });
	t.deepEqual(first, ['POST /v1/x?y=1 HTTP/1.1\r\nh']);
	upstreams.destroy();
	server.close();
});
