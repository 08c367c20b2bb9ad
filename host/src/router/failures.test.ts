// What goes wrong upstream: targets that cannot be reached, refuse, stall, lie about length or die, before and after the first byte.
import test from 'ava';
import OpenAI from 'openai';
import type { Decision } from '../strategy/runtime/decision.js';
import {
	answerStream,
	answerWhole,
	chatBody,
	chunkEvent,
	closeWhatIsOpen,
	doneEvent,
	type EngineHandler,
	errorOf,
	fakeEngine,
	firstRow,
	post,
	rawEngine,
	startRouter,
	type TestRouter,
	until,
} from './testing/kit.js';
import { skewedClock } from './testing/skewed-clock.js';

test.after.always('what failed tests have left open is closed', closeWhatIsOpen);

const CLOSED = 'http://127.0.0.1:1';

function status(code: number, body: string, headers: Readonly<Record<string, string>> = {}): EngineHandler {
	return (_req, res) => {
		res.writeHead(code, { 'content-type': 'application/json', ...headers });
		res.end(body);
	};
}

async function settled(mesh: TestRouter): Promise<void> {
	await until('nothing is in flight', () => mesh.router.inflight() === 0);
}

function statuses(mesh: TestRouter): readonly string[] {
	return mesh.outcomes.map((outcome) => `${outcome.target.id} ${outcome.status}`);
}

test('a target that cannot be reached costs a retry, not the request', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [CLOSED, engine.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.is(response.status, 200);
	t.is(response.headers.get('x-infermesh-target'), 't1');
	await settled(mesh);
	t.deepEqual(statuses(mesh), ['t0 upstream_error', 't1 ok']);
	t.deepEqual(
		mesh.decided.map((one) => one.excluded),
		[[], [0]],
	);
	t.like(mesh.decided[1]?.features, { attempt: 1, flags: 16 | 8 });
	t.true(mesh.outcomes[1]?.retried);
	t.deepEqual(
		mesh.remembered.map(({ context }) => context.previous),
		['', mesh.remembered[0]?.id],
		'whoever has the last decision finds the ones before',
	);
	t.deepEqual([mesh.open(), mesh.endedTwice()], [0, 0]);
	await mesh.close();
	await engine.close();
});

test('with no target left, the error is named in shape, and no address leaks', async (t) => {
	const mesh = await startRouter({ origins: [CLOSED, CLOSED] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.is(response.status, 502);
	t.is(response.headers.get('x-infermesh-error'), 'IM_UPSTREAM_CONNECT');
	const text = await response.text();
	t.false(text.includes('127.0.0.1') || text.includes('ECONNREFUSED'));
	t.like((JSON.parse(text) as { error: object }).error, {
		type: 'server_error',
		param: null,
		code: 'IM_UPSTREAM_CONNECT',
	});
	await mesh.close();
});

test('nothing eligible is 503 with Retry-After', async (t) => {
	const mesh = await startRouter({ origins: [] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([response.status, response.headers.get('retry-after')], [503, '1']);
	t.is((await errorOf(response)).code, 'IM_ROUTE_NO_TARGET');
	await mesh.close();
});

function nothing(out: Decision): void {
	out.count = 0;
}

test('when checks call every target unhealthy, one is tried all the same', async (t) => {
	const engine = await fakeEngine((_req, res) => res.end('{"choices":[]}'));
	const mesh = await startRouter({ origins: [CLOSED, engine.origin], decide: nothing, doubtful: [1] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.is(response.status, 200);
	t.is(response.headers.get('x-infermesh-target'), 't1');
	await settled(mesh);
	t.true(mesh.outcomes[0]?.fallbackDecided);
	await mesh.close();
	await engine.close();
});

test('when checks were right, one attempt is made and the answer is what it would have been without', async (t) => {
	const mesh = await startRouter({ origins: [CLOSED, CLOSED], decide: nothing, doubtful: [0, 1] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([response.status, response.headers.get('retry-after')], [503, '1']);
	t.is((await errorOf(response)).code, 'IM_ROUTE_NO_TARGET');
	await settled(mesh);
	t.deepEqual(statuses(mesh), ['t0 upstream_error']);
	await mesh.close();
});

test('with fail_open off, checks have the last word', async (t) => {
	const mesh = await startRouter({ origins: [CLOSED], decide: nothing, doubtful: [0], options: { failOpen: false } });
	t.is((await post(`${mesh.url}/v1/chat/completions`, chatBody())).status, 503);
	t.deepEqual(mesh.outcomes, []);
	await mesh.close();
});

test('a stream that answers 200 and dies before its first event is retried; comments do not count', async (t) => {
	const dying = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(': ping\n\n', () => res.destroy());
	});
	const engine = await fakeEngine(answerStream(['a']));
	const mesh = await startRouter({ origins: [dying.origin, engine.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }));
	t.is(await response.text(), chunkEvent('a') + doneEvent);
	t.is(response.headers.get('x-infermesh-target'), 't1');
	await settled(mesh);
	t.deepEqual(statuses(mesh), ['t0 upstream_error', 't1 ok']);
	await mesh.close();
	await dying.close();
	await engine.close();
});

test('a stream whose first event is an error is retried', async (t) => {
	const failing = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.end(`data: ${JSON.stringify({ error: { message: 'out of memory', code: 500 } })}\n\n${doneEvent}`);
	});
	const engine = await fakeEngine(answerStream(['a']));
	const mesh = await startRouter({ origins: [failing.origin, engine.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }));
	t.is(await response.text(), chunkEvent('a') + doneEvent);
	await mesh.close();
	await failing.close();
	await engine.close();
});

test('an engine that fails inside a stream and says so is passed on as it is, and has failed', async (t) => {
	const failed = 'data: {"error": {"message": "the engine core died", "code": 500}}\n\n';
	const engine = await fakeEngine((_req, res, body) => {
		const asked = body.toString();
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'));
		const last = asked.includes('client')
			? failed.replace('500', '400')
			: asked.includes('fine')
				? chunkEvent('b')
				: failed;
		res.end(`${last}data: [DONE]\n\n`);
	});
	const mesh = await startRouter({ origins: [engine.origin] });
	for (const user of ['engine', 'client', 'fine']) {
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true, user }));
		const text = await response.text();
		t.is(text.includes('the engine core died'), user !== 'fine');
		t.regex(text, /^data: .*"a".*\n\ndata: .*\n\ndata: \[DONE\]\n\n$/);
	}
	await settled(mesh);
	t.deepEqual(statuses(mesh), ['t0 upstream_error', 't0 ok', 't0 ok']);
	t.is(engine.seen.length, 3, 'nothing is sent again');
	await mesh.close();
	await engine.close();
});

test('a stream that dies after bytes is cut with an error event and no [DONE], and the openai client throws', async (t) => {
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(`${chunkEvent('a')}data: {"half`, () => res.destroy());
	});
	const mesh = await startRouter({ origins: [engine.origin, engine.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }));
	let text = '';
	await t.throwsAsync(async () => {
		for await (const part of response.body ?? []) text += Buffer.from(part as Uint8Array).toString();
	});
	t.true(text.startsWith(chunkEvent('a')));
	t.like((JSON.parse(text.slice(chunkEvent('a').length + 6)) as { error: object }).error, {
		code: 'IM_UPSTREAM_DIED',
		type: 'server_error',
	});
	t.is(engine.seen.length, 1);
	const client = new OpenAI({ baseURL: `${mesh.url}/v1`, apiKey: 'k', maxRetries: 0 });
	const stream = await client.chat.completions.create({ model: 'm', messages: [], stream: true });
	const error = await t.throwsAsync(async () => {
		for await (const chunk of stream) t.is(chunk.choices[0]?.delta.content, 'a');
	});
	t.is((error as unknown as { code: string }).code, 'IM_UPSTREAM_DIED');
	await settled(mesh);
	t.deepEqual(statuses(mesh), ['t0 upstream_error', 't0 upstream_error']);
	t.deepEqual([mesh.open(), mesh.endedTwice()], [0, 0]);
	await mesh.close();
	await engine.close();
});

test('a whole answer shorter than its content-length is retried, for nothing of it was sent', async (t) => {
	const lying = await rawEngine((socket) => {
		socket.end('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"short":');
	});
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [lying.origin, engine.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([response.status, response.headers.get('x-infermesh-target')], [200, 't1']);
	await mesh.close();
	await lying.close();
	await engine.close();
});

test('an answer passed on and shorter than its content-length is cut, so that no client takes it for whole', async (t) => {
	const lying = await rawEngine((socket) => {
		socket.end('HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: 500\r\n\r\nshort');
	});
	const mesh = await startRouter({ origins: [lying.origin] });
	const response = await post(`${mesh.url}/v1/audio/speech`, chatBody());
	t.is(response.status, 200);
	await t.throwsAsync(response.arrayBuffer());
	t.deepEqual(statuses(mesh), ['t0 upstream_error']);
	await mesh.close();
	await lying.close();
});

test('an answer longer than its content-length does not spill into the next one', async (t) => {
	const lying = await rawEngine((socket) => {
		socket.write(
			'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen',
		);
	});
	const mesh = await startRouter({ origins: [lying.origin] });
	for (let round = 0; round < 3; round++) {
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
		t.is(await response.text(), '{}');
	}
	await mesh.close();
	await lying.close();
});

test('what is no HTTP is a 502', async (t) => {
	const noise = await rawEngine((socket) => socket.end('220 smtp ready\r\n'));
	const mesh = await startRouter({ origins: [noise.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([response.status, (await errorOf(response)).code], [502, 'IM_UPSTREAM_PROTOCOL']);
	await mesh.close();
	await noise.close();
});

test('429 and 503 try another target, else pass on with Retry-After; 500 is retried once', async (t) => {
	const full = await fakeEngine(
		status(429, JSON.stringify({ error: { message: 'queue full', type: 'x', code: 'y' } }), { 'retry-after': '7' }),
	);
	const broken = await fakeEngine(status(500, 'not json'));
	const engine = await fakeEngine(answerWhole);
	const spared = await startRouter({ origins: [full.origin, engine.origin] });
	t.is((await post(`${spared.url}/v1/chat/completions`, chatBody())).status, 200);
	t.deepEqual(statuses(spared), ['t0 rejected', 't1 ok']);
	const stuck = await startRouter({ origins: [full.origin, full.origin] });
	const refused = await post(`${stuck.url}/v1/chat/completions`, chatBody());
	t.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '7']);
	t.is((await errorOf(refused)).message, 'queue full');
	const failing = await startRouter({ origins: [broken.origin, broken.origin, broken.origin] });
	const failed = await post(`${failing.url}/v1/chat/completions`, chatBody());
	t.deepEqual([failed.status, (await errorOf(failed)).code], [500, 'IM_UPSTREAM_ERROR']);
	t.deepEqual(statuses(failing), ['t0 upstream_error', 't1 upstream_error']);
	for (const mesh of [spared, stuck, failing]) await mesh.close();
	for (const one of [full, broken, engine]) await one.close();
});

test('a 4xx passes on as it is and speaks well of the target; other shapes are put in OpenAI form', async (t) => {
	const shaped = JSON.stringify({ error: { message: 'bad n', type: 'invalid_request_error', param: 'n', code: null } });
	const bodies = [
		shaped,
		'{"detail":"no such field"}',
		'{"object":"error","message":"too long","type":"BadRequestError","code":400}',
		'<html>',
	];
	let next = 0;
	const engine = await fakeEngine((req, res, body) => status(400, bodies[next++] as string)(req, res, body));
	const mesh = await startRouter({ origins: [engine.origin, engine.origin] });
	const responses = [];
	for (const _ of bodies) responses.push(await post(`${mesh.url}/v1/chat/completions`, chatBody()));
	t.deepEqual(
		responses.map((response) => response.status),
		[400, 400, 400, 400],
	);
	t.is(await responses[0]?.text(), shaped);
	t.is((await errorOf(responses[1] as Response)).message, 'no such field');
	t.like(await errorOf(responses[2] as Response), { message: 'too long', type: 'BadRequestError' });
	t.is((await errorOf(responses[3] as Response)).code, 'IM_UPSTREAM_ERROR');
	t.deepEqual([...new Set(statuses(mesh))], ['t0 ok']);
	await mesh.close();
	await engine.close();
});

test('a target that never answers times out and the next one serves; silence inside a stream cuts it', async (t) => {
	const silent = await fakeEngine(() => undefined);
	const stalling = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'));
	});
	const upstream = { firstByteTimeoutMs: 800, idleTimeoutMs: 150 };
	const mesh = await startRouter({ origins: [silent.origin, stalling.origin], options: { upstream } });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }));
	t.is(response.headers.get('x-infermesh-target'), 't1');
	let text = '';
	await t.throwsAsync(async () => {
		for await (const part of response.body ?? []) text += Buffer.from(part as Uint8Array).toString();
	});
	t.true(text.includes('IM_UPSTREAM_IDLE_TIMEOUT'));
	await settled(mesh);
	t.deepEqual(statuses(mesh), ['t0 timeout', 't1 timeout']);
	await until('both engines were cut', () => silent.aborted === 1 && stalling.aborted === 1);
	const alone = await startRouter({ origins: [silent.origin], options: { upstream } });
	const late = await post(`${alone.url}/v1/chat/completions`, chatBody());
	t.deepEqual([late.status, (await errorOf(late)).code], [504, 'IM_UPSTREAM_FIRST_BYTE_TIMEOUT']);
	const due = await post(`${alone.url}/v1/chat/completions`, chatBody(), { 'x-infermesh-deadline-ms': '40' });
	t.deepEqual([due.status, (await errorOf(due)).code], [504, 'IM_ROUTE_DEADLINE']);
	for (const one of [mesh, alone, silent, stalling]) await one.close();
});

test('a deadline cuts a stream that has begun, with an event that says so, and ends the engine’s work', async (t) => {
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		const talk = setInterval(() => res.write(chunkEvent('a')), 5);
		res.on('close', () => clearInterval(talk));
	});
	const { clock, advance } = skewedClock();
	const mesh = await startRouter({ origins: [engine.origin], ports: { clock } });
	const headers = { 'x-infermesh-deadline-ms': '600000' };
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }), headers);
	t.is(response.status, 200);
	let text = '';
	const decoder = new TextDecoder();
	await t.throwsAsync(async () => {
		for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
			if (text === '') advance(600_001);
			text += decoder.decode(bytes);
		}
	});
	t.regex(text, /^data: .*"a"/);
	t.regex(text, /IM_ROUTE_DEADLINE/);
	t.notRegex(text, /\[DONE\]/);
	await until('the engine hears of it', () => engine.aborted === 1);
	await settled(mesh);
	t.deepEqual(statuses(mesh), ['t0 cancelled'], 'nothing is held against the target');
	await mesh.close();
	await engine.close();
});

test('a connection that was closed as the request went out is tried again at the same target, once', async (t) => {
	let connections = 0;
	const engine = await rawEngine((socket) => {
		connections++;
		if (connections === 1) socket.destroy();
		else socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}');
	});
	const mesh = await startRouter({ origins: [engine.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([response.status, await response.text()], [200, '{}']);
	t.deepEqual(
		mesh.decided.map((one) => one.excluded),
		[[], []],
	);
	await mesh.close();
	await engine.close();
});

test('retries are bounded by a budget when everything fails', async (t) => {
	const broken = await fakeEngine(status(503, '{}'));
	const retry = { budgetRatio: 0.1, budgetBurst: 0 };
	const mesh = await startRouter({ origins: [broken.origin, broken.origin, broken.origin], options: { retry } });
	for (let request = 0; request < 30; request++) {
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
		t.deepEqual([response.status, response.headers.get('retry-after')], [503, '1']);
		await response.text();
	}
	t.true(mesh.outcomes.length <= 33, `${mesh.outcomes.length} attempts of 30 requests`);
	t.true(mesh.outcomes.length >= 32, `${mesh.outcomes.length} attempts of 30 requests`);
	await mesh.close();
	await broken.close();
});

test('no more connections than allowed go to one target', async (t) => {
	const silent = await fakeEngine(() => undefined);
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({
		origins: [silent.origin, engine.origin],
		options: { upstream: { connectionsMax: 2 } },
	});
	const stop = new AbortController();
	const stuck = [1, 2].map(() =>
		fetch(`${mesh.url}/v1/chat/completions`, { method: 'POST', body: chatBody(), signal: stop.signal }),
	);
	await until('two are stuck', () => silent.seen.length === 2);
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([response.status, response.headers.get('x-infermesh-target')], [200, 't1']);
	stop.abort();
	await Promise.allSettled(stuck);
	await mesh.close();
	await silent.close();
	await engine.close();
});

test('a strategy may reject, with its reason and its time', async (t) => {
	for (const [reason, code, httpStatus] of [
		[1, 'rate_limit_exceeded', 429],
		[2, 'IM_ROUTE_DEADLINE', 429],
		[3, 'insufficient_quota', 429],
		[4, 'IM_ROUTE_POLICY', 403],
	] as const) {
		const mesh = await startRouter({
			origins: [CLOSED],
			decide: (out) => {
				out.verdict = 'reject';
				out.rejectReason = reason;
				out.retryAfterMs = 2500;
			},
		});
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
		t.deepEqual([response.status, response.headers.get('retry-after')], [httpStatus, reason === 4 ? null : '3']);
		t.is((await errorOf(response)).code, code);
		await mesh.close();
	}
});

test('a held request goes on when room appears, the most urgent first; too many and too late are 429', async (t) => {
	const release: (() => void)[] = [];
	const engine = await fakeEngine((req, res, body) => {
		release.push(() => answerWhole(req, res, body));
	});
	const route = firstRow(1);
	const mesh: TestRouter = await startRouter({
		origins: [engine.origin],
		decide: (out, excluded, features) => {
			route(out, excluded);
			if (mesh.open() > 0) out.verdict = 'hold';
			out.holdKey = -features.priority;
		},
		options: { hold: { requestsMax: 2, waitMaxMs: 1500 } },
	});
	const send = (priority: number): Promise<Response> =>
		post(`${mesh.url}/v1/chat/completions`, chatBody({ user: `p${priority}` }), {
			'x-infermesh-priority': String(priority),
		});
	const first = send(0);
	await until('the first is served', () => release.length === 1);
	const low = send(1);
	await until('one is held', () => mesh.router.held() === 1);
	const high = send(2);
	await until('two are held', () => mesh.router.held() === 2);
	const over = await send(3);
	t.deepEqual([over.status, over.headers.get('x-infermesh-error')], [429, 'IM_ROUTE_HELD']);
	release[0]?.();
	t.is((await first).status, 200);
	await until('the urgent one is served', () => release.length === 2);
	t.true(engine.seen[1]?.body.includes('"p2"'));
	t.true(mesh.decided.some((one) => one.features.waitedMs > 0));
	t.is(mesh.router.held(), 1);
	const late = await low;
	t.deepEqual([late.status, late.headers.get('x-infermesh-error')], [429, 'IM_ROUTE_HELD']);
	release[1]?.();
	t.is((await high).status, 200);
	await settled(mesh);
	t.deepEqual([mesh.open(), mesh.endedTwice(), mesh.router.held()], [0, 0, 0]);
	await mesh.close();
	await engine.close();
});

test('a trusted caller may name the target', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [CLOSED, engine.origin] });
	const named = await post(`${mesh.url}/v1/chat/completions`, chatBody(), { 'x-infermesh-target': 't1' });
	t.deepEqual([named.status, named.headers.get('x-infermesh-strategy')], [200, 'forced@host']);
	const unknown = await post(`${mesh.url}/v1/chat/completions`, chatBody(), { 'x-infermesh-target': 't9' });
	t.is(unknown.headers.get('x-infermesh-error'), 'IM_ROUTE_TARGET_UNKNOWN');
	await mesh.close();
	await engine.close();
});
