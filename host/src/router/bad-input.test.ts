// What goes wrong on the client's side: bytes that are no request, smuggling, limits, slow clients. Each gets one clear error in OpenAI's
// shape with a stable code, and nothing of it reaches an engine.
import type { ServerResponse } from 'node:http';
import test from 'ava';
import * as fc from 'fast-check';
import {
	answerWhole,
	chatBody,
	chunkEvent,
	closeWhatIsOpen,
	errorOf,
	type FakeEngine,
	fakeEngine,
	post,
	rawClient,
	startRouter,
	type TestRouter,
	until,
} from './testing/kit.js';

test.after.always('what failed tests have left open is closed', closeWhatIsOpen);

async function withMesh(
	run: (mesh: TestRouter, engine: FakeEngine) => Promise<void>,
	options: Parameters<typeof startRouter>[0]['options'] = {},
	key?: string,
): Promise<void> {
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [engine.origin], options, ...(key === undefined ? {} : { key }) });
	try {
		await run(mesh, engine);
	} finally {
		await mesh.close();
		await engine.close();
	}
}

function head(lines: readonly string[], body = ''): string {
	return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

const LINE = 'POST /v1/chat/completions HTTP/1.1';

test('JSON that is none, and fields that are missing, are 400 with the field', async (t) => {
	await withMesh(async (mesh, engine) => {
		const cases: readonly (readonly [string | Buffer, string, string | null])[] = [
			['{"model":"m"', 'IM_REQUEST_JSON', null],
			['', 'IM_REQUEST_JSON', null],
			['[]', 'IM_REQUEST_JSON', null],
			['null', 'IM_REQUEST_JSON', null],
			[Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'IM_REQUEST_JSON', null],
			['{"messages":[]}', 'IM_REQUEST_FIELD', 'model'],
			['{"model":7}', 'IM_REQUEST_FIELD', 'model'],
			['{"model":""}', 'IM_REQUEST_FIELD', 'model'],
		];
		for (const [body, code, param] of cases) {
			const response = await post(`${mesh.url}/v1/chat/completions`, body);
			t.deepEqual([response.status, response.headers.get('x-infermesh-error')], [400, code], body.toString());
			t.like(await errorOf(response), { type: 'invalid_request_error', param });
		}
		t.is(engine.seen.length, 0);
	});
});

test('a model nobody serves is 404 model_not_found, and its name is shown without what a terminal would obey', async (t) => {
	await withMesh(async (mesh) => {
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ model: 'gpt\u001b[31m' }));
		t.is(response.status, 404);
		const error = await errorOf(response);
		t.like(error, { code: 'model_not_found', param: 'model' });
		t.true(error.message.includes('gpt?[31m'));
	});
});

test('JSON bombs are refused before they are parsed', async (t) => {
	await withMesh(async (mesh) => {
		for (const bomb of ['['.repeat(2_000_000), `{"model":"m","x":[${'{},'.repeat(400_000)}{}]}`]) {
			const response = await post(`${mesh.url}/v1/chat/completions`, bomb);
			t.is(response.headers.get('x-infermesh-error'), 'IM_REQUEST_JSON');
		}
	});
});

test('an oversize body is 413, declared or chunked, and the client can read the answer', async (t) => {
	await withMesh(
		async (mesh, engine) => {
			const declared = await post(`${mesh.url}/v1/chat/completions`, 'x'.repeat(300_000));
			t.deepEqual([declared.status, (await errorOf(declared)).code], [413, 'IM_REQUEST_BODY_SIZE']);
			const chunk = `1000\r\n${'x'.repeat(4096)}\r\n`;
			const chunked = rawClient(mesh.port, head([LINE, 'host: a', 'transfer-encoding: chunked'], chunk.repeat(40)));
			const text = await chunked.closed;
			t.regex(text, /^HTTP\/1.1 413 /);
			t.true(text.includes('IM_REQUEST_BODY_SIZE'));
			const waiting = rawClient(mesh.port, head([LINE, 'host: a', 'content-length: 999999', 'expect: 100-continue']));
			t.regex(await waiting.closed, /^HTTP\/1.1 413 /);
			t.is(engine.seen.length, 0);
			t.is(mesh.router.inflight(), 0);
		},
		{ bodyBytesMax: 100_000, lingerMs: 200 },
	);
});

test('bodies are bounded in sum, too', async (t) => {
	await withMesh(
		async (mesh) => {
			const held = rawClient(mesh.port, head([LINE, 'host: a', 'content-length: 90000'], 'x'.repeat(80_000)));
			await until('the first is being received', () => mesh.router.inflight() === 1);
			const body = chatBody({ pad: 'y'.repeat(80_000) });
			await until(
				'the second is refused',
				() =>
					mesh.ended.some((one) => one.status === 429) ||
					(post(`${mesh.url}/v1/chat/completions`, body).catch(() => undefined), false),
			);
			held.socket.destroy();
			await until('the first has left', () => mesh.router.inflight() === 0);
			t.is((await post(`${mesh.url}/v1/chat/completions`, body)).status, 200);
		},
		{ bodyBytesTotalMax: 100_000 },
	);
});

test('a stream that has begun holds its body no longer: room for others does not wait for its end', async (t) => {
	const streams: ServerResponse[] = [];
	const engine = await fakeEngine((_req, res) => {
		streams.push(res);
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'));
	});
	const mesh = await startRouter({ origins: [engine.origin], options: { bodyBytesTotalMax: 100_000 } });
	try {
		const body = chatBody({ stream: true, messages: [{ role: 'user', content: 'x'.repeat(80_000) }] });
		for (let opened = 1; opened <= 3; opened++) {
			const response = await post(`${mesh.url}/v1/chat/completions`, body);
			t.is(response.status, 200);
			await response.body?.getReader().read();
			t.is(mesh.router.inflight(), opened);
		}
		t.true(engine.seen.every((one) => one.body.length > 80_000));
	} finally {
		for (const res of streams) res.end();
		await mesh.close();
		await engine.close();
	}
});

test('smuggling attempts are refused, the connection is closed, and no engine hears of them', async (t) => {
	await withMesh(async (mesh, engine) => {
		const smuggled = 'GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n';
		const attempts: Readonly<Record<string, string>> = {
			'both lengths': head(
				[LINE, 'host: a', 'content-length: 6', 'transfer-encoding: chunked'],
				`0\r\n\r\n${smuggled}`,
			),
			'two lengths': head([LINE, 'host: a', 'content-length: 2', 'content-length: 40'], `{}${smuggled}`),
			'a list of lengths': head([LINE, 'host: a', 'content-length: 2, 2'], '{}'),
			'a signed length': head([LINE, 'host: a', 'content-length: +2'], '{}'),
			'a hexadecimal length': head([LINE, 'host: a', 'content-length: 0x2'], '{}'),
			'a length too large': head([LINE, 'host: a', 'content-length: 99999999999999999999'], '{}'),
			'an encoding twice': head([LINE, 'host: a', 'transfer-encoding: chunked, chunked'], `0\r\n\r\n${smuggled}`),
			'chunked not last': head([LINE, 'host: a', 'transfer-encoding: chunked, identity'], `0\r\n\r\n${smuggled}`),
			'an unknown encoding': head([LINE, 'host: a', 'transfer-encoding: xchunked'], `0\r\n\r\n${smuggled}`),
			'space before the colon': head([LINE, 'host: a', 'content-length : 2'], '{}'),
			'a folded header': head([LINE, 'host: a', 'transfer-encoding:', ' chunked'], `0\r\n\r\n${smuggled}`),
			'bare line feeds': `${LINE}\nhost: a\ncontent-length: 2\n\n{}`,
			'a bad chunk size': head([LINE, 'host: a', 'transfer-encoding: chunked'], `zz\r\n\r\n${smuggled}`),
			'a chunk longer than it says': head([LINE, 'host: a', 'transfer-encoding: chunked'], `2\r\n{}{}\r\n0\r\n\r\n`),
			'a NUL in a header': head([LINE, 'host: a', 'x-a: b\0c', 'content-length: 2'], '{}'),
			'no host': head([LINE, 'content-length: 2'], '{}'),
			'no HTTP at all': '\x16\x03\x01\x02\x00\x01\x00',
		};
		for (const [name, bytes] of Object.entries(attempts)) {
			const text = await rawClient(mesh.port, bytes).closed;
			t.regex(text, /^HTTP\/1.1 400 /, name);
			t.is(text.match(/HTTP\/1\.1 /g)?.length, 1, name);
		}
		t.is(engine.seen.length, 0);
		await until('nothing is left', () => mesh.router.inflight() === 0);
	});
});

test('bytes that are no request get the OpenAI shape and a stable code', async (t) => {
	await withMesh(async (mesh) => {
		const text = await rawClient(mesh.port, 'nonsense\r\n\r\n').closed;
		t.true(text.includes('x-infermesh-error: IM_REQUEST_MALFORMED'));
		const body = JSON.parse(text.slice(text.indexOf('\r\n\r\n'))) as { error: { code: string } };
		t.is(body.error.code, 'IM_REQUEST_MALFORMED');
	});
});

test('headers too large or too many are 431', async (t) => {
	await withMesh(
		async (mesh) => {
			const large = await rawClient(mesh.port, head([LINE, 'host: a', `x-a: ${'b'.repeat(5000)}`])).closed;
			t.regex(large, /^HTTP\/1.1 431 [^]*IM_REQUEST_HEADERS/);
			const many = Array.from({ length: 30 }, (_, at) => `x-${at}: 1`);
			const response = rawClient(mesh.port, head(['GET /v1/models HTTP/1.1', 'host: a', 'connection: close', ...many]));
			t.regex(await response.closed, /^HTTP\/1.1 431 [^]*IM_REQUEST_HEADERS/);
		},
		{ headerBytesMax: 4096, headerCountMax: 20 },
	);
});

test('a slow loris is cut in its headers and in its body', async (t) => {
	await withMesh(
		async (mesh) => {
			const slowHead = rawClient(mesh.port, `${LINE}\r\nhost: a\r\n`);
			const slowBody = rawClient(mesh.port, head([LINE, 'host: a', 'content-length: 100'], '{'));
			t.regex(await slowHead.closed, /^HTTP\/1.1 408 [^]*IM_REQUEST_TIMEOUT/);
			t.regex(await slowBody.closed, /^HTTP\/1.1 408 [^]*IM_REQUEST_TIMEOUT/);
			await until('nothing is left', () => mesh.router.inflight() === 0);
		},
		{ headersTimeoutMs: 150, requestTimeoutMs: 300 },
	);
});

test('a client that stops reading its stream is cut, and the engine with it', async (t) => {
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		const event = chunkEvent('y'.repeat(60_000));
		const more = (): void => {
			while (!res.destroyed) if (!res.write(event)) return void res.once('drain', more);
		};
		more();
	});
	const mesh = await startRouter({ origins: [engine.origin], options: { clientWriteTimeoutMs: 200 } });
	const body = chatBody({ stream: true });
	const client = rawClient(mesh.port, head([LINE, 'host: a', `content-length: ${body.length}`], body));
	client.socket.pause();
	await until('the stream has begun', () => mesh.decided.length === 1);
	await until('the engine was cut', () => engine.aborted === 1);
	await until('nothing is left', () => mesh.router.inflight() === 0);
	t.deepEqual(
		mesh.outcomes.map((outcome) => outcome.status),
		['cancelled'],
	);
	client.socket.destroy();
	await mesh.close();
	await engine.close();
});

test('a worker that is full answers 429 with Retry-After', async (t) => {
	const engine = await fakeEngine(() => undefined);
	const mesh = await startRouter({ origins: [engine.origin], options: { inflightMax: 1, saturatedRetryAfterS: 4 } });
	const stop = new AbortController();
	const stuck = fetch(`${mesh.url}/v1/chat/completions`, { method: 'POST', body: chatBody(), signal: stop.signal });
	await until('one is in flight', () => engine.seen.length === 1);
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual(
		[response.status, response.headers.get('retry-after'), (await errorOf(response)).code],
		[429, '4', 'rate_limit_exceeded'],
	);
	t.is((await fetch(`${mesh.url}/healthz`)).status, 200);
	stop.abort();
	await t.throwsAsync(stuck);
	await mesh.close();
	await engine.close();
});

test('wrong methods, paths, keys, encodings and expectations are told apart', async (t) => {
	await withMesh(
		async (mesh, engine) => {
			const headers = { authorization: 'Bearer k' };
			const get = (path: string, init: RequestInit = {}): Promise<Response> =>
				fetch(`${mesh.url}${path}`, { headers, ...init });
			const seen = async (response: Response): Promise<readonly [number, string | null]> => [
				response.status,
				response.headers.get('x-infermesh-error'),
			];
			t.deepEqual(await seen(await get('/v1/chat/completions')), [405, 'IM_REQUEST_METHOD']);
			t.deepEqual(await seen(await get('/v1/models', { method: 'DELETE' })), [405, 'IM_REQUEST_METHOD']);
			t.deepEqual(await seen(await get('/nowhere')), [404, 'IM_REQUEST_PATH']);
			for (const path of [
				'/metrics',
				'/v1/load_lora_adapter',
				'/v1/load_lora_adapter/',
				'/v1/%6coad_lora_adapter',
				'/v1//x',
				'/v1/x;y',
			])
				t.deepEqual(await seen(await get(path, { method: 'POST' })), [404, 'IM_REQUEST_PATH'], path);
			for (const path of ['/v1/../metrics', '/v1/./x', '/v1/x/..', 'http://a/v1/x', '*'])
				t.regex(
					await rawClient(
						mesh.port,
						head([`GET ${path} HTTP/1.1`, 'host: a', 'authorization: Bearer k', 'connection: close']),
					).closed,
					/^HTTP\/1.1 404 /,
					path,
				);
			t.deepEqual(await seen(await fetch(`${mesh.url}/v1/models`)), [401, 'IM_REQUEST_UNAUTHENTICATED']);
			const denied = await post(`${mesh.url}/v1/chat/completions`, chatBody(), { authorization: 'Bearer wrong' });
			t.is((await errorOf(denied)).code, 'invalid_api_key');
			t.is((await post(`${mesh.url}/v1/chat/completions`, chatBody(), { 'x-api-key': 'k' })).status, 200);
			const packed = await post(`${mesh.url}/v1/chat/completions`, 'x', { ...headers, 'content-encoding': 'gzip' });
			t.deepEqual(await seen(packed), [415, 'IM_REQUEST_ENCODING']);
			t.regex(
				await rawClient(mesh.port, head([LINE, 'host: a', 'expect: tea', 'content-length: 2'], '{}')).closed,
				/^HTTP\/1.1 417 [^]*IM_REQUEST_EXPECT/,
			);
			t.is(engine.seen.length, 1);
		},
		{},
		'k',
	);
});

test('whatever bytes come as a body, the answer is a status and a shape, and the next request is served', async (t) => {
	await withMesh(async (mesh) => {
		const seed = 20_261_123;
		t.log(`seed ${seed}`);
		const bodies = fc.oneof(
			fc.json().map((text) => Buffer.from(text)),
			fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
			fc
				.record({
					model: fc.constant('m'),
					messages: fc.jsonValue(),
					stream: fc.jsonValue(),
					stream_options: fc.jsonValue(),
					tools: fc.jsonValue(),
					max_tokens: fc.jsonValue(),
				})
				.map((value) => Buffer.from(JSON.stringify({ ...value, stream: false }))),
		);
		await fc.assert(
			fc.asyncProperty(
				bodies,
				fc.constantFrom('/v1/chat/completions', '/v1/completions', '/v1/embeddings'),
				async (body, path) => {
					const response = await post(`${mesh.url}${path}`, body);
					if (response.status === 200) {
						await response.text();
						return true;
					}
					const { code } = await errorOf(response);
					return [400, 404].includes(response.status) && typeof code === 'string';
				},
			),
			{ seed, numRuns: 300 },
		);
		t.deepEqual(mesh.errors, []);
		t.is((await post(`${mesh.url}/v1/chat/completions`, chatBody())).status, 200);
	});
});
