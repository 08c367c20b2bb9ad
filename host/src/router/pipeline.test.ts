// Real traffic through the whole router: the official client, streaming and not, tool calls, aborts, and what of it reaches the engine.

import { SeededRandom } from '@infermesh/proto';
import { RejectReason } from '@infermesh/sdk';
import test from 'ava';
import OpenAI from 'openai';
import { openPolicy } from '../fleet/placement.js';
import { createPrefixIndex } from '../prefix/prefix-index.js';
import { type ModelPool, pipelineStages } from './ports.js';
import {
	answer,
	answerStream,
	answerWhole,
	chatBody,
	chunkEvent,
	closeWhatIsOpen,
	doneEvent,
	fakeEngine,
	firstRow,
	post,
	startRouter,
	type TestRouter,
	testPool,
	until,
} from './testing/kit.js';

test.after.always('what failed tests have left open is closed', closeWhatIsOpen);

function client(url: string): OpenAI {
	return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'client-secret', maxRetries: 0 });
}

test('the openai client chats, and the answer says who decided', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [engine.origin] });
	const { data, response } = await client(mesh.url)
		.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'hello' }] })
		.withResponse();
	t.deepEqual(data as unknown, answer);
	t.is(response.headers.get('x-infermesh-target'), 't0');
	t.is(response.headers.get('x-infermesh-strategy'), 'first@1.0.0');
	t.is(response.headers.get('x-infermesh-decision'), mesh.remembered[0]?.id ?? '');
	t.regex(mesh.remembered[0]?.id ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
	await until('the request has left', () => mesh.router.inflight() === 0);
	const [outcome] = mesh.outcomes;
	t.like(outcome, {
		status: 'ok',
		httpStatus: 200,
		tokensIn: 3,
		tokensOut: 2,
		tokensCached: 1,
		ttftMs: 0,
		retried: false,
	});
	t.deepEqual([mesh.open(), mesh.endedTwice(), mesh.outcomes.length], [0, 0, 1]);
	await mesh.close();
	await engine.close();
});

test('the openai client streams; usage is asked for on its behalf and taken out again', async (t) => {
	const engine = await fakeEngine(answerStream(['a', 'b', 'c']));
	const mesh = await startRouter({ origins: [engine.origin] });
	const stream = await client(mesh.url).chat.completions.create({
		model: 'm',
		messages: [{ role: 'user', content: 'hello' }],
		stream: true,
	});
	const parts: (string | null | undefined)[] = [];
	for await (const chunk of stream) parts.push(chunk.choices[0]?.delta.content);
	t.deepEqual(parts, ['a', 'b', 'c']);
	await until('the outcome is recorded', () => mesh.outcomes.length === 1);
	t.like(mesh.outcomes[0], { status: 'ok', tokensIn: 3, tokensOut: 2, tokensCached: 1 });
	t.true((mesh.outcomes[0]?.ttftMs ?? 0) > 0);
	t.deepEqual((JSON.parse(engine.seen[0]?.body ?? '') as { stream_options: unknown }).stream_options, {
		include_usage: true,
	});
	await mesh.close();
	await engine.close();
});

test('a client that asks for usage gets it, and its own stream options survive', async (t) => {
	const engine = await fakeEngine(answerStream(['a']));
	const mesh = await startRouter({ origins: [engine.origin] });
	const asked = await (
		await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true, stream_options: { include_usage: true } }))
	).text();
	t.true(asked.includes('"usage"'));
	const other = await (
		await post(
			`${mesh.url}/v1/chat/completions`,
			chatBody({ stream: true, stream_options: { x: [1], include_usage: false } }),
		)
	).text();
	t.false(other.includes('"usage"'));
	const sent = JSON.parse(engine.seen[1]?.body ?? '') as { stream_options: unknown };
	t.deepEqual(sent.stream_options, { x: [1], include_usage: true });
	t.is(engine.seen[0]?.body, chatBody({ stream: true, stream_options: { include_usage: true } }));
	await mesh.close();
	await engine.close();
});

test('tool calls pass through both ways', async (t) => {
	const call = { id: 'call_1', type: 'function' as const, function: { name: 'now', arguments: '{"zone":"UTC"}' } };
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'application/json' });
		const message = { role: 'assistant', content: null, tool_calls: [call] };
		res.end(JSON.stringify({ ...answer, choices: [{ index: 0, message, finish_reason: 'tool_calls' }] }));
	});
	const mesh = await startRouter({ origins: [engine.origin] });
	const result = await client(mesh.url).chat.completions.create({
		model: 'm',
		messages: [{ role: 'user', content: 'what time is it?' }],
		tools: [{ type: 'function', function: { name: 'now', parameters: { type: 'object' } } }],
	});
	t.deepEqual(result.choices[0]?.message.tool_calls as unknown, [call]);
	t.true(engine.seen[0]?.body.includes('"tools"'));
	await mesh.close();
	await engine.close();
});

test('an abort of the client cancels the engine at once, and is counted once', async (t) => {
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'));
	});
	const mesh = await startRouter({ origins: [engine.origin] });
	const controller = new AbortController();
	const stream = await client(mesh.url).chat.completions.create(
		{ model: 'm', messages: [{ role: 'user', content: 'hello' }], stream: true },
		{ signal: controller.signal },
	);
	for await (const chunk of stream) {
		t.is(chunk.choices[0]?.delta.content, 'a');
		controller.abort();
	}
	await until('the engine sees the abort', () => engine.aborted === 1);
	await until('the request has left', () => mesh.router.inflight() === 0);
	t.deepEqual(
		mesh.outcomes.map((outcome) => outcome.status),
		['cancelled'],
	);
	t.deepEqual([mesh.open(), mesh.endedTwice()], [0, 0]);
	t.deepEqual(mesh.ended.at(-1), { path: '/v1/chat/completions', status: 499, code: undefined });
	await mesh.close();
	await engine.close();
});

test('an abort before the engine has answered cancels it too', async (t) => {
	const engine = await fakeEngine(() => undefined);
	const mesh = await startRouter({ origins: [engine.origin] });
	const controller = new AbortController();
	const pending = fetch(`${mesh.url}/v1/chat/completions`, {
		method: 'POST',
		body: chatBody(),
		signal: controller.signal,
	});
	await until('the engine has the request', () => engine.seen.length === 1);
	controller.abort();
	await t.throwsAsync(pending);
	await until('the engine sees the abort', () => engine.aborted === 1);
	await until('the outcome is recorded', () => mesh.outcomes.length === 1);
	t.is(mesh.outcomes[0]?.status, 'cancelled');
	await mesh.close();
	await engine.close();
});

test('credentials, hop-by-hop and mesh headers stay here; the rest and the bytes of the body go on', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [engine.origin], targets: { apiKey: 'engine-key', pathPrefix: '/base' } });
	const body = '{ "messages":[{"role":"user","content":"caf\\u00e9"}],\n "model" : "m", "seed": 12345678901234567890 }';
	const response = await post(`${mesh.url}/v1/chat/completions?x=1`, body, {
		authorization: 'Bearer client-secret',
		cookie: 'a=b',
		'x-api-key': 'client-secret',
		'x-infermesh-session': 's',
		'x-request-id': 'mine-1',
		'x-custom': 'kept',
		traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
		tracestate: 'k=v',
	});
	t.is(response.headers.get('x-request-id'), 'mine-1');
	const [seen] = engine.seen;
	t.is(seen?.body, body);
	t.is(seen?.url, '/base/v1/chat/completions?x=1');
	t.like(seen?.headers, {
		authorization: 'Bearer engine-key',
		'x-custom': 'kept',
		traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
		tracestate: 'k=v',
		'x-request-id': mesh.remembered[0]?.id ?? '',
	});
	for (const name of ['cookie', 'x-api-key', 'x-infermesh-session', 'accept-encoding', 'transfer-encoding'])
		t.is(seen?.headers[name], undefined, name);
	t.false(JSON.stringify(seen).includes('client-secret'));
	t.is(mesh.remembered[0]?.context.session, 's');
	await mesh.close();
	await engine.close();
});

test('engines are asked for their load, which counts from when it comes and stays here', async (t) => {
	const report = 'TEXT named_metrics.num_requests_waiting=2.0';
	const asked: unknown[] = [];
	const engine = await fakeEngine((request, response, body) => {
		asked.push(request.headers['endpoint-load-metrics-format']);
		response.setHeader('endpoint-load-metrics', report);
		(asked.length === 1 ? answerWhole : answerStream(['a']))(request, response, body);
	});
	const mesh = await startRouter({ origins: [engine.origin], targets: { runtime: 'vllm' } });
	for (const stream of [false, true]) {
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream }), {
			'endpoint-load-metrics-format': 'JSON',
		});
		t.is(response.headers.get('endpoint-load-metrics'), null);
		await response.arrayBuffer();
	}
	t.deepEqual(asked, ['TEXT', 'TEXT']);
	t.deepEqual(
		mesh.loads,
		[0, 1].map((inFlight) => ({ target: 't0', orca: report, inFlight })),
		'a whole answer comes from an engine that is done with it, a stream’s head from one that is not',
	);
	await mesh.close();
	await engine.close();
});

test('the model is renamed in place, and only where the engine knows it by another name', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [engine.origin], targets: { upstreamModel: 'engine "name"' } });
	await post(`${mesh.url}/v1/chat/completions`, '{"metadata":{"model":"m"}, "model": "\\u006d" ,"n":1e2}');
	t.is(engine.seen[0]?.body, '{"metadata":{"model":"m"}, "model": "engine \\"name\\"" ,"n":1e2}');
	await mesh.close();
	await engine.close();
});

test('the decision is told what the request says of itself; wishes count from trusted callers only', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const body = chatBody({ max_tokens: 7, user: 'ann', lora_path: 'abc' });
	const headers = { 'x-infermesh-priority': '-3', 'x-infermesh-slo-ttft-ms': '250', 'x-infermesh-deadline-ms': '9000' };
	const open = await startRouter({ origins: [engine.origin] });
	await post(`${open.url}/v1/chat/completions`, body, headers);
	t.like(open.decided[0]?.features, {
		tokensIn: 3,
		tokensOut: 7,
		tokensOutMax: 7,
		lora: 3,
		priority: -3,
		sloTtftMs: 250,
		attempt: 0,
		flags: 16,
	});
	t.true((open.decided[0]?.features.deadlineMs ?? 0) > 8000);
	t.not(open.decided[0]?.features.sessionLow, 0);
	const guarded = await startRouter({ origins: [engine.origin], key: 'k' });
	await post(`${guarded.url}/v1/chat/completions`, body, { ...headers, authorization: 'Bearer k' });
	t.like(guarded.decided[0]?.features, { priority: 0, sloTtftMs: 0, deadlineMs: 0 });
	await open.close();
	await guarded.close();
	await engine.close();
});

test('a repeated prompt finds its prefix where it was sent', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [engine.origin] });
	const long = 'x'.repeat(1000);
	await post(`${mesh.url}/v1/chat/completions`, chatBody({ messages: [{ role: 'user', content: long }] }));
	await post(
		`${mesh.url}/v1/chat/completions`,
		chatBody({ messages: [{ role: 'user', content: `${long} and more` }] }),
	);
	t.deepEqual(
		mesh.decided.map((one) => one.hits),
		[[], [192]],
	);
	await mesh.close();
	await engine.close();
});

test('models, one model, health and options are answered here; paths of the runtime pass through', async (t) => {
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(201, {
			'content-type': 'text/plain',
			server: 'uvicorn',
			'set-cookie': 'a=b',
			location: `${engine.origin}/tokenize/1`,
		});
		res.end('tokens');
	});
	const mesh = await startRouter({ origins: [engine.origin] });
	const list = await client(mesh.url).models.list();
	t.deepEqual(
		list.data.map((model) => model.id),
		['alias', 'm'],
	);
	t.is((await client(mesh.url).models.retrieve('alias')).id, 'alias');
	t.is((await fetch(`${mesh.url}/v1/models/none`)).status, 404);
	t.is((await fetch(`${mesh.url}/v1/models`, { method: 'HEAD' })).status, 200);
	t.is((await fetch(`${mesh.url}/healthz`)).status, 200);
	const options = await fetch(`${mesh.url}/v1/completions`, { method: 'OPTIONS' });
	t.deepEqual([options.status, options.headers.get('allow')], [204, 'POST, OPTIONS']);
	const passed = await fetch(`${mesh.url}/tokenize`, { method: 'POST', body: 'any bytes', redirect: 'manual' });
	t.deepEqual([passed.status, await passed.text()], [201, 'tokens']);
	t.deepEqual(
		['server', 'set-cookie', 'location'].map((name) => passed.headers.get(name)),
		[null, null, '/tokenize/1'],
	);
	t.is(engine.seen[0]?.body, 'any bytes');
	await mesh.close();
	await engine.close();
});

test('a slow reader slows the engine down; nothing is buffered without a bound', async (t) => {
	const event = chunkEvent('y'.repeat(60_000));
	const events = 400;
	let written = 0;
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		const more = (): void => {
			while (written < events) {
				written++;
				if (!res.write(event)) {
					res.once('drain', more);
					return;
				}
			}
			res.end(doneEvent);
		};
		more();
	});
	const mesh = await startRouter({ origins: [engine.origin] });
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }));
	let before = -1;
	await until('the engine stands still', () => {
		const still = written === before && written > 0;
		before = written;
		return still;
	});
	t.true(written < events, `${written} of ${events} events were taken from the engine`);
	const text = await response.text();
	t.is(text.length, event.length * events + doneEvent.length);
	await mesh.close();
	await engine.close();
});

test('a large body that is no stream passes on with its length, and a redirect to elsewhere is not shown', async (t) => {
	const large = JSON.stringify({ data: 'z'.repeat(600_000), usage: { prompt_tokens: 9, total_tokens: 9 } });
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, {
			'content-type': 'application/json',
			'content-length': large.length,
			location: 'http://internal:1/',
		});
		res.end(large);
	});
	const mesh = await startRouter({ origins: [engine.origin] });
	const response = await post(`${mesh.url}/v1/embeddings`, JSON.stringify({ model: 'm', input: ['a', 'b'] }));
	t.is(response.headers.get('content-length'), String(large.length));
	t.is(response.headers.get('location'), null);
	t.is(await response.text(), large);
	await until('the outcome is recorded', () => mesh.outcomes.length === 1);
	t.like(mesh.outcomes[0], { status: 'ok', tokensIn: 9 });
	await mesh.close();
	await engine.close();
});

test('close lets a stream end within the grace, and resets it after', async (t) => {
	const pending: (() => void)[] = [];
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent('a'));
		pending.push(() => res.end(doneEvent));
	});
	const first = await startRouter({ origins: [engine.origin] });
	const response = await post(`${first.url}/v1/chat/completions`, chatBody({ stream: true }));
	const closing = first.router.close({ graceMs: 5000 });
	pending.shift()?.();
	t.true((await response.text()).endsWith(doneEvent));
	await closing;
	t.is(first.outcomes[0]?.status, 'ok');
	const second = await startRouter({ origins: [engine.origin] });
	const cut = await post(`${second.url}/v1/chat/completions`, chatBody({ stream: true }));
	await second.router.close({ graceMs: 30 });
	await t.throwsAsync(cut.text());
	t.is(second.outcomes[0]?.status, 'cancelled');
	await engine.close();
});

test('a model without eligible targets falls back to another, under its own name', async (t) => {
	const engine = await fakeEngine(answerWhole);
	const empty: ModelPool = {
		index: 1,
		model: 'big',
		modelId: 2,
		revision: undefined,
		policy: openPolicy,
		targets: [undefined],
	};
	const small: ModelPool = { ...testPool([engine.origin]), index: 2, model: 'small' };
	const route = firstRow(1);
	const mesh = await startRouter({
		origins: [],
		ports: {
			directory: {
				resolve: (requested) => ({ requested, pool: empty, fallbacks: [small] }),
				models: () => [],
				passThroughPool: () => undefined,
				owner: () => undefined,
			},
			decider: {
				decide: (pool, _features, _hits, excluded, out) => {
					route(out, excluded);
					if (pool === empty) out.count = 0;
				},
				decideForced: () => undefined,
				decideInDoubt: (_pool, _excluded, out) => {
					out.count = 0;
				},
				ready: () => true,
				remember: () => undefined,
				standing: () => true,
			},
		},
	});
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ model: 'big' }));
	t.is(response.status, 200);
	t.is((JSON.parse(engine.seen[0]?.body ?? '') as { model: string }).model, 'small');
	t.is((await fetch(`${mesh.url}/tokenize`)).status, 404);
	await mesh.close();
	await engine.close();
});

type Answer = 'route' | 'none' | 'hold' | 'saturated' | 'policy';

/** A router whose own pool answers as told, and whose model another cell serves too. */
async function besideAnotherCell(
	own: readonly string[],
	other: string,
	answer: Answer,
	taken: { remembered: string[]; credited: string[] } = { remembered: [], credited: [] },
): Promise<TestRouter> {
	const here = testPool(own);
	const there: ModelPool = {
		...testPool([other], { id: 'cell:west/m', cell: 'west', apiKey: 'mesh-key' }),
		index: 1,
		elsewhere: true,
	};
	return startRouter({
		origins: [],
		ports: {
			directory: {
				resolve: (requested) => ({ requested, pool: here, fallbacks: [], elsewhere: there }),
				models: () => [],
				passThroughPool: () => undefined,
				owner: () => undefined,
			},
			decider: {
				decide(pool, _features, _hits, excluded, out) {
					firstRow(pool.targets.length)(out, excluded);
					if (pool === there || answer === 'route') return;
					out.count = 0;
					if (answer === 'hold') out.verdict = 'hold';
					if (answer === 'saturated' || answer === 'policy') {
						out.verdict = 'reject';
						out.rejectReason = RejectReason[answer];
					}
				},
				decideForced: () => undefined,
				decideInDoubt: (_pool, _excluded, out) => void (out.count = 0),
				standing: () => true,
				ready: () => true,
				remember: (_id, pool) => void taken.remembered.push(pool === there ? 'there' : 'here'),
			},
			prefixes: Object.assign(createPrefixIndex({ blocksMax: 64 }), {
				insert: (pool: ModelPool, row: number) => void taken.credited.push(pool.targets[row]?.id ?? ''),
			}),
		},
	});
}

test('another cell serves what this one has no target or no room for, and nothing else', async (t) => {
	const [own, other] = [await fakeEngine(answerWhole), await fakeEngine(answerWhole)];
	const ask = async (answer: Answer, headers: Readonly<Record<string, string>> = {}) => {
		const mesh = await besideAnotherCell([own.origin], other.origin, answer);
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody(), headers);
		await response.text();
		await mesh.close();
		return [response.status, response.headers.get('x-infermesh-target') ?? ''];
	};
	t.deepEqual(await ask('route'), [200, 't0']);
	for (const answer of ['none', 'hold', 'saturated'] as const)
		t.deepEqual(await ask(answer), [200, 'cell:west/m'], answer);
	t.deepEqual(await ask('policy'), [403, ''], 'what is not allowed here is not tried elsewhere');
	t.is(other.seen.length, 3);
	t.like(other.seen[0]?.headers, { 'x-infermesh-relayed': '1', authorization: 'Bearer mesh-key' });
	t.is(own.seen[0]?.headers['x-infermesh-relayed'], undefined, 'an engine is told nothing of cells');
	// A request that another cell has sent stays here, whatever there is.
	for (const answer of ['none', 'saturated'] as const) {
		const [status] = await ask(answer, { 'x-infermesh-relayed': '1' });
		t.true(status === 503 || status === 429, `${answer}: ${status}`);
	}
	t.is(other.seen.length, 3);
	await Promise.all([own.close(), other.close()]);
});

test('a request that targets of this cell refuse for want of room has its last attempt in another', async (t) => {
	const full = await fakeEngine((_req, res) => res.writeHead(429).end());
	const broken = await fakeEngine((_req, res) => res.writeHead(500).end());
	const other = await fakeEngine(answerWhole);
	const ask = async (own: readonly string[]): Promise<Response> => {
		const mesh = await besideAnotherCell(own, other.origin, 'route');
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
		await response.text();
		await mesh.close();
		return response;
	};
	t.is((await ask(Array.from({ length: 9 }, () => full.origin))).headers.get('x-infermesh-target'), 'cell:west/m');
	t.is(full.seen.length, 2, 'the attempts before went to targets of this cell');
	t.is((await ask(Array.from({ length: 9 }, () => broken.origin))).status, 500, 'errors are no want of room');
	t.is(other.seen.length, 1);
	await Promise.all([full, broken, other].map((engine) => engine.close()));
});

test('only the target a request goes to is remembered and credited with its prompt', async (t) => {
	const full = await fakeEngine((_req, res) => res.writeHead(429).end());
	const other = await fakeEngine(answerWhole);
	const taken: { remembered: string[]; credited: string[] } = { remembered: [], credited: [] };
	const own = Array.from({ length: 9 }, () => full.origin);
	const mesh = await besideAnotherCell(own, other.origin, 'route', taken);
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	await response.text();
	t.is(response.headers.get('x-infermesh-target'), 'cell:west/m');
	t.deepEqual(taken, { remembered: ['here', 'here', 'there'], credited: ['t0', 't1', 'cell:west/m'] });
	await mesh.close();
	await Promise.all([full.close(), other.close()]);
});

test('connections to a target are kept and reused, and stages are timed for a sample', async (t) => {
	const sockets = new Set<unknown>();
	const engine = await fakeEngine((req, res, body) => {
		sockets.add(req.socket);
		answerWhole(req, res, body);
	});
	const mesh = await startRouter({ origins: [engine.origin], options: { stageSampleMask: 0 } });
	for (let request = 0; request < 5; request++)
		await (await post(`${mesh.url}/v1/chat/completions`, chatBody())).text();
	t.is(sockets.size, 1);
	t.deepEqual(
		[...new Set(mesh.stages)].sort((a, b) => a - b),
		// No model here has a tokeniser.
		pipelineStages.flatMap((stage, index) => (stage === 'tokenize' ? [] : [index])),
	);
	await mesh.close();
	await engine.close();
});

test('among many at once, with clients leaving and targets failing, each gets its own answer', async (t) => {
	const seed = 5;
	t.log(`seed ${seed}`);
	const random = new SeededRandom(seed);
	const engine = await fakeEngine((_req, res, body) => {
		const { messages, stream } = JSON.parse(body.toString()) as { messages: { content: string }[]; stream?: boolean };
		const content = messages[0]?.content ?? '';
		const chance = random.nextFloat();
		if (chance < 0.1) {
			res.destroy();
			return;
		}
		if (stream !== true) {
			res.writeHead(200, { 'content-type': 'application/json' });
			res.end(JSON.stringify({ content }));
			return;
		}
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(chunkEvent(content));
		setImmediate(() => res.end(chunkEvent(content) + doneEvent));
	});
	const retry = { budgetBurst: 1000 };
	const mesh = await startRouter({ origins: [engine.origin, engine.origin, engine.origin], options: { retry } });
	const results = await Promise.all(
		Array.from({ length: 300 }, async (_, at) => {
			const content = `secret-${at}-${'z'.repeat(random.nextU32() % 3000)}`;
			const leaves = random.nextFloat() < 0.2;
			const stop = new AbortController();
			const body = chatBody({ messages: [{ role: 'user', content }], stream: at % 2 === 0 });
			const pending = fetch(`${mesh.url}/v1/chat/completions`, { method: 'POST', body, signal: stop.signal });
			if (leaves) setImmediate(() => stop.abort());
			try {
				const text = await (await pending).text();
				const others = text.match(/secret-\d+-/g)?.filter((found) => found !== `secret-${at}-`) ?? [];
				return others.length === 0 ? (text.includes(content) ? 'own' : 'error') : 'leak';
			} catch {
				return leaves ? 'left' : 'cut';
			}
		}),
	);
	const counts = Object.fromEntries(
		['own', 'error', 'leak', 'left', 'cut'].map((kind) => [kind, results.filter((one) => one === kind).length]),
	);
	t.log(counts);
	t.is(counts['leak'], 0);
	t.is(counts['cut'], 0);
	t.true((counts['own'] ?? 0) > 200);
	await until('nothing is in flight', () => mesh.router.inflight() === 0);
	t.deepEqual([mesh.open(), mesh.endedTwice(), mesh.errors], [0, 0, []]);
	t.is(new Set(mesh.outcomes.map((outcome) => outcome.decisionId)).size, mesh.outcomes.length);
	await mesh.close();
	await engine.close();
});

test('a request is logged when that is asked for, and not otherwise', async (t) => {
	const engine = await fakeEngine(answerWhole);
	for (const logRequests of [true, false]) {
		const lines: unknown[] = [];
		const log = { info: (fields: unknown) => lines.push(fields), warn: () => undefined, error: () => undefined };
		const mesh = await startRouter({ origins: [engine.origin], options: { logRequests }, ports: { log } });
		const answered = await post(mesh.url, chatBody());
		await answered.text();
		await until('the request has left', () => mesh.router.inflight() === 0);
		t.is(lines.length, logRequests ? 1 : 0);
		await mesh.close();
	}
	await engine.close();
});
