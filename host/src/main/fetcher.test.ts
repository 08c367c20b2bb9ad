import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from './clock.js';
import { createFetcher } from './fetcher.js';

async function serve(t: ExecutionContext, handler: RequestListener): Promise<string> {
	const server = createServer(handler);
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const limits = { timeoutMs: 60_000, bodyMaxBytes: 1000, apiKey: undefined };

test('brings status and body, and sends the target’s key', async (t) => {
	const url = await serve(t, (req, res) => {
		res.statusCode = 503;
		res.end(`key: ${req.headers.authorization ?? 'none'}`);
	});
	const { fetch, close } = createFetcher(systemClock);
	t.teardown(close);
	t.deepEqual(await fetch(url, limits), { status: 503, body: Buffer.from('key: none') });
	const withKey = await fetch(url, { ...limits, apiKey: 'secret' });
	t.deepEqual(withKey, { status: 503, body: Buffer.from('key: Bearer secret') });
});

test('a body beyond its bound is refused, also when its length is not told', async (t) => {
	const url = await serve(t, (_req, res) => {
		for (let i = 0; i < 100; i++) res.write('x'.repeat(100));
		res.end();
	});
	const { fetch, close } = createFetcher(systemClock);
	t.teardown(close);
	await t.throwsAsync(fetch(`${url}/metrics`, limits), {
		instanceOf: RangeError,
		message: /\/metrics exceeds 1000 bytes/,
	});
	t.is((await fetch(url, { ...limits, bodyMaxBytes: 10_000 })).body.length, 10_000);
});

test('a target that does not answer in time is a TimeoutError, before and inside its body', async (t) => {
	const url = await serve(t, (req, res) => {
		if (req.url === '/body') res.write('begun');
	});
	const { fetch, close } = createFetcher(systemClock);
	t.teardown(close);
	for (const path of ['/never', '/body'])
		await t.throwsAsync(fetch(url + path, { ...limits, timeoutMs: 50 }), { name: 'TimeoutError' }, path);
});

test('a target that is not there is an error', async (t) => {
	const { fetch, close } = createFetcher(systemClock);
	t.teardown(close);
	await t.throwsAsync(fetch('http://127.0.0.1:1/', limits));
});

test('an answer that came while this thread stood still is no timeout', async (t) => {
	// The server must not stand still with us: it is a thread of its own, which counts the answers it has handed over.
	const answered = new Int32Array(new SharedArrayBuffer(4));
	const server = new Worker(
		`import('node:http').then(({ createServer }) => {
			const { parentPort, workerData: answered } = require('node:worker_threads');
			const count = () => { Atomics.add(answered, 0, 1); Atomics.notify(answered, 0); };
			const server = createServer((_req, res) => res.end('in time', count));
			server.keepAliveTimeout = 60_000;
			server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
		});`,
		{ eval: true, workerData: answered },
	);
	t.teardown(() => server.terminate());
	const [port] = (await once(server, 'message')) as [number];
	const { fetch, close } = createFetcher(systemClock);
	t.teardown(close);
	const url = `http://127.0.0.1:${port}`;
	await fetch(url, limits);
	while (Atomics.load(answered, 0) === 0) await new Promise(setImmediate);
	const dueAtMs = performance.now() + 200;
	const answer = fetch(url, { ...limits, timeoutMs: 200 });
	// On a connection that was free it goes out when this turn ends.
	await new Promise(setImmediate);
	Atomics.wait(answered, 0, 1, 60_000);
	t.is(Atomics.load(answered, 0), 2, 'the answer is there');
	Atomics.wait(answered, 0, 2, Math.max(0, dueAtMs - performance.now()) + 50);
	t.deepEqual(await answer, { status: 200, body: Buffer.from('in time') });
});

test('time in which this thread stood still is not held against a target; time in which it waited is', async (t) => {
	// The server answers only once it is told to, which is after we have stood still, again and again, for longer than the limit.
	const told = new Int32Array(new SharedArrayBuffer(8));
	const server = new Worker(
		`import('node:http').then(({ createServer }) => {
			const { parentPort, workerData: told } = require('node:worker_threads');
			const server = createServer(async (req, res) => {
				if (req.url === '/never') return;
				if (req.url === '/later') await Atomics.waitAsync(told, 0, 0).value;
				res.end('at last');
			});
			server.keepAliveTimeout = 60_000;
			server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
		});`,
		{ eval: true, workerData: told },
	);
	t.teardown(() => server.terminate());
	const [port] = (await once(server, 'message')) as [number];
	const { fetch, close } = createFetcher(systemClock);
	t.teardown(close);
	const url = `http://127.0.0.1:${port}`;
	await fetch(`${url}/now`, limits);
	const answer = fetch(`${url}/later`, { ...limits, timeoutMs: 1000 });
	await new Promise(setImmediate);
	for (let time = 0; time < 7; time++) {
		Atomics.wait(told, 1, 0, 350);
		// Two turns: in the first the timer that is due fires, in the second what it has put off.
		await new Promise(setImmediate);
		await new Promise(setImmediate);
	}
	Atomics.store(told, 0, 1);
	Atomics.notify(told, 0);
	t.is(Buffer.from((await answer).body).toString(), 'at last');

	const silent = fetch(`${url}/never`, { ...limits, timeoutMs: 200 });
	await new Promise(setImmediate);
	Atomics.wait(told, 1, 0, 400);
	await t.throwsAsync(silent, { name: 'TimeoutError' }, 'it is asked no longer than that');
});

test('a target of HTTP/2 is asked over HTTP/2, with the same bounds', async (t) => {
	const versions: string[] = [];
	const server = createHttp2Server((req, res) => {
		versions.push(req.httpVersion);
		if (req.url === '/never') return;
		res.end(req.url === '/large' ? 'x'.repeat(2000) : `key: ${req.headers.authorization ?? 'none'}`);
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const { fetch, close } = createFetcher(systemClock);
	t.teardown(() => {
		close();
		server.close();
	});
	const overHttp2 = { ...limits, http: 'h2' } as const;
	t.deepEqual(await fetch(`${url}/x`, { ...overHttp2, apiKey: 'secret' }), {
		status: 200,
		body: Buffer.from('key: Bearer secret'),
	});
	await t.throwsAsync(fetch(`${url}/large`, overHttp2), { instanceOf: RangeError });
	await t.throwsAsync(fetch(`${url}/never`, { ...overHttp2, timeoutMs: 50 }), { name: 'TimeoutError' });
	t.deepEqual(versions, ['2.0', '2.0', '2.0']);
});
