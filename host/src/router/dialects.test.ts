// The dialects through a router: where the model is found, what is sent on and what comes back, in the shapes of their clients.
import { connect } from 'node:net';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-node';
import test, { type ExecutionContext } from 'ava';
import { createPrefixIndex } from '../prefix/prefix-index.js';
import { parseTraceParent } from '../telemetry/trace-context.js';
import { createTracing } from '../telemetry/tracing.js';
import { ResponseIds, targetTag } from './response-ids.js';
import { type EngineHandler, type FakeEngine, fakeEngine, startRouter, type TestRouter, until } from './testing/kit.js';

async function mesh(
	t: ExecutionContext,
	handler: EngineHandler,
	more: Partial<Parameters<typeof startRouter>[0]> = {},
	engines = 1,
): Promise<{ readonly router: TestRouter; readonly engines: readonly FakeEngine[] }> {
	const made = await Promise.all(Array.from({ length: engines }, () => fakeEngine(handler)));
	const router = await startRouter({ origins: made.map(({ origin }) => origin), ...more });
	t.teardown(async () => {
		await router.close();
		await Promise.all(made.map((engine) => engine.close()));
	});
	return { router, engines: made };
}

const ok: EngineHandler = (_req, res) => res.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}');
const json = { 'content-type': 'application/json' };

function post(url: string, body: unknown, headers: Record<string, string> = json): Promise<Response> {
	const text = typeof body === 'string' ? body : JSON.stringify(body);
	return fetch(url, { method: 'POST', headers, body: text });
}

test('a model in the path is the pool, by any of its names; the path that goes on has the engine’s', async (t) => {
	const { router, engines } = await mesh(t, ok, { targets: { upstreamModel: 'org/real' } });
	const [engine] = engines;
	for (const [path, wanted] of [
		['/v2/models/m/infer', '/v2/models/org%2Freal/infer'],
		['/v2/models/alias/versions/3/generate?x=1', '/v2/models/org%2Freal/versions/3/generate?x=1'],
		['/predictions/alias', '/predictions/org%2Freal'],
		['/v1/models/m:predict', '/v1/models/org%2Freal:predict'],
		['/v1/models/m/versions/2:predict', '/v1/models/org%2Freal/versions/2:predict'],
	] as const) {
		t.is((await post(`${router.url}${path}`, {})).status, 200, path);
		t.is(engine?.seen.at(-1)?.url, wanted);
	}
	const missing = await post(`${router.url}/v2/models/nobody/infer`, {});
	t.deepEqual([missing.status, Object.keys((await missing.json()) as object)], [404, ['error']]);
	t.deepEqual(
		router.ended.map(({ path }) => path),
		[
			'/v2/models/{model}/infer',
			'/v2/models/{model}/versions/{version}/generate',
			'/predictions/{model}',
			'/v1/models/{model}:predict',
			'/v1/models/{model}/versions/{version}:predict',
			'/v2/models/{model}/infer',
		],
	);
});

test('a name that is escaped is sent on in one spelling; one without an alias is sent as it came', async (t) => {
	const { router, engines } = await mesh(t, ok);
	await post(`${router.url}/v2/models/%6d/infer`, {});
	await post(`${router.url}/v2/models/m/infer`, {});
	t.deepEqual(
		engines[0]?.seen.map(({ url }) => url),
		['/v2/models/m/infer', '/v2/models/m/infer'],
	);
});

test('what is below a model and not known is not passed on; neither is what changes an engine', async (t) => {
	const { router, engines } = await mesh(t, ok);
	for (const path of [
		'/v2/models/m/trace/setting',
		'/v2/models/m/load',
		'/v2/repository/models/m/load',
		'/v2/systemsharedmemory/region/x/register',
		'/v1/config/reload',
	])
		t.is((await post(`${router.url}${path}`, {})).headers.get('x-infermesh-error'), 'IM_REQUEST_PATH', path);
	t.is(engines[0]?.seen.length, 0);
	for (const line of [
		'POST /v2/models/../../admin HTTP/1.1',
		'POST /v2/models/%2e%2e/infer HTTP/1.1',
		'POST /v2/models/m/infer%3f HTTP/1.1',
		'POST /v2/models/m\\infer HTTP/1.1',
		'POST //v2/models/m/infer HTTP/1.1',
		'POST http://other/v2/models/m/infer HTTP/1.1',
	])
		t.regex(
			await raw(router.port, `${line}\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`),
			/^HTTP\/1.1 40[04]/,
			line,
		);
	t.is(engines[0]?.seen.length, 0);
});

function raw(port: number, text: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const socket = connect(port, '127.0.0.1', () => socket.write(text));
		let got = '';
		socket.on('data', (bytes) => (got += bytes.toString('latin1')));
		socket.on('end', () => resolve(got));
		socket.on('error', reject);
	});
}

test('bodies with binary tensors go on byte by byte, with their header', async (t) => {
	let got: Buffer = Buffer.alloc(0);
	const { router, engines } = await mesh(t, (_req, res, body) => {
		got = body;
		res.writeHead(200, { 'content-type': 'application/octet-stream', 'inference-header-content-length': '2' });
		res.end(Buffer.concat([Buffer.from('{}'), Buffer.from([0, 255, 1])]));
	});
	const head = JSON.stringify({
		inputs: [{ name: 'x', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }],
	});
	const body = Buffer.concat([Buffer.from(head), Buffer.from([0, 1, 128, 255])]);
	const headers = {
		'content-type': 'application/octet-stream',
		'Inference-Header-Content-Length': String(head.length),
	};
	const answer = await fetch(`${router.url}/v2/models/m/infer`, { method: 'POST', headers, body });
	t.deepEqual(got, body);
	t.is(engines[0]?.seen[0]?.headers['inference-header-content-length'], String(head.length));
	t.is(answer.headers.get('inference-header-content-length'), '2');
	t.deepEqual(Buffer.from(await answer.arrayBuffer()), Buffer.from([123, 125, 0, 255, 1]));
});

test('the router itself answers for the server and for readiness', async (t) => {
	let ready = true;
	const { router, engines } = await mesh(t, ok);
	const state = async (path: string): Promise<unknown> => {
		const response = await fetch(`${router.url}${path}`);
		return [response.status, await response.json()];
	};
	t.deepEqual(await state('/v2/health/live'), [200, { live: true }]);
	t.deepEqual(await state('/v2/health/ready'), [200, { ready: true }]);
	t.like(((await state('/v2')) as readonly [number, object])[1], { name: 'infermesh' });
	t.deepEqual(await state('/v2/models/m/ready'), [200, { name: 'm', ready: true }]);
	t.like(await state('/v2/models/nobody/versions/1/ready'), [404]);
	t.deepEqual(await state('/ping'), [200, { status: 'Healthy' }]);
	t.is(engines[0]?.seen.length, 0);
	const out = await startRouter({
		origins: [],
		ports: {
			decider: {
				decide: () => undefined,
				decideInDoubt: () => undefined,
				decideForced: () => undefined,
				ready: () => (ready = false),
				standing: () => true,
				remember: () => undefined,
			},
		},
	});
	t.teardown(() => out.close());
	t.is((await fetch(`${out.url}/v2/models/m/ready`)).status, 503);
	t.false(ready);
});

test('a form’s model is found, renamed where the engine’s differs, and the rest is untouched', async (t) => {
	const { router, engines } = await mesh(t, ok, { targets: { upstreamModel: 'whisper-large' } });
	const form = new FormData();
	form.set('file', new Blob([new Uint8Array([0, 13, 10, 45, 45, 255])]), 'a.wav');
	form.set('model', 'alias');
	form.set('language', 'de');
	t.is((await fetch(`${router.url}/v1/audio/transcriptions`, { method: 'POST', body: form })).status, 200);
	const seen = engines[0]?.seen[0];
	t.regex(seen?.body ?? '', /name="model"\r\n\r\nwhisper-large\r\n/);
	t.regex(seen?.body ?? '', /name="language"\r\n\r\nde\r\n/);
	t.is(Number(seen?.headers['content-length']) > 0, true);
	const without = await post(`${router.url}/v1/audio/transcriptions`, {});
	t.deepEqual([without.status, without.headers.get('x-infermesh-error')], [400, 'IM_REQUEST_FORM']);
});

test('a request that names no model may name it by a header', async (t) => {
	const { router, engines } = await mesh(t, ok, {
		ports: {
			directory: {
				resolve: (model) => (model === 'n' ? route() : undefined),
				models: () => [],
				passThroughPool: () => undefined,
				owner: () => undefined,
			},
		},
	});
	const pool = {
		index: 0,
		model: 'n',
		modelId: 1,
		revision: undefined,
		policy: (await import('../fleet/placement.js')).openPolicy,
		targets: [],
	};
	const route = (): never => ({ requested: 'n', pool, fallbacks: [] }) as never;
	t.is((await post(`${router.url}/generate`, { inputs: 'x' })).headers.get('x-infermesh-error'), 'IM_REQUEST_PATH');
	const named = await post(`${router.url}/generate`, { inputs: 'x' }, { ...json, 'x-infermesh-model': 'n' });
	t.not(named.headers.get('x-infermesh-error'), 'IM_REQUEST_PATH');
	t.is(engines[0]?.seen.length, 0);
});

test('limits, prompts and sessions are read where a dialect has them', async (t) => {
	const { router } = await mesh(t, ok);
	const features = async (path: string, body: unknown) => {
		await post(`${router.url}${path}`, body);
		const { features } = router.decided.at(-1) ?? {};
		return features;
	};
	t.like(await features('/generate', { inputs: 'x'.repeat(40), parameters: { max_new_tokens: 9 } }), {
		tokensIn: 10,
		tokensOutMax: 9,
	});
	t.like(await features('/generate', { text: 'x'.repeat(8), sampling_params: { max_new_tokens: 7 } }), {
		tokensIn: 2,
		tokensOutMax: 7,
	});
	t.like(await features('/v2/models/m/generate', { text_input: 'x'.repeat(40), max_tokens: 5 }), {
		tokensIn: 10,
		tokensOutMax: 5,
	});
	t.like(
		await features('/v2/models/m/infer', {
			inputs: [
				{ name: 'a', datatype: 'BYTES', data: ['x'.repeat(16)] },
				{ name: 'b', datatype: 'FP32', data: [1] },
			],
		}),
		{ tokensIn: 4 },
	);
	t.like(
		await features('/v1/messages', {
			model: 'm',
			max_tokens: 3,
			system: 'abcd',
			messages: [{ role: 'user', content: 'abcd' }],
		}),
		{ tokensIn: 2, tokensOutMax: 3 },
	);
	t.like(await features('/v1/responses', { model: 'm', input: 'x'.repeat(12), max_output_tokens: 4 }), {
		tokensIn: 3,
		tokensOutMax: 4,
	});
	t.like(
		await features('/v1/responses', {
			model: 'm',
			input: [{ role: 'user', content: [{ type: 'input_text', text: 'abcd' }] }],
		}),
		{ tokensIn: 1 },
	);
	t.like(await features('/rerank', { model: 'm', query: 'abcd', documents: ['abcd', 'abcd'] }), {
		tokensIn: 3,
		tokensOut: 0,
	});
	const first = await features('/v2/models/m/infer', { inputs: [], parameters: { sequence_id: 7 } });
	const again = await features('/v2/models/m/infer', { inputs: [], parameters: { sequence_id: 7 } });
	const other = await features('/v2/models/m/infer', { inputs: [], parameters: { sequence_id: 8 } });
	t.is(first?.sessionLow, again?.sessionLow);
	t.not(first?.sessionLow, other?.sessionLow);
});

test('a prompt given as token ids is counted by them and known again, wherever a dialect has it, long or short', async (t) => {
	const asked: (readonly [bytes: Buffer, ids: Uint32Array | undefined])[] = [];
	const index = createPrefixIndex({ blocksMax: 4096 });
	const hash = index.hashPrompt.bind(index);
	index.hashPrompt = (model, lora, bytes, ids, name) => {
		asked.push([Buffer.from(bytes), ids]);
		return hash(model, lora, bytes, ids, name);
	};
	const { router, engines } = await mesh(t, ok, { ports: { prefixes: index } });
	for (const many of [100, 5000]) {
		const ids = Array.from({ length: many }, (_, at) => many + at * 11);
		const words = Buffer.from(Uint32Array.from(ids).buffer);
		for (const [path, body] of [
			['/v1/completions', { prompt: ids }],
			['/v1/completions', { prompt: [ids] }],
			['/v1/embeddings', { input: ids }],
			['/v1/embeddings', { input: [ids] }],
			['/v1/chat/completions', { messages: [{ role: 'user', content: 'said' }], prompt_token_ids: ids }],
			['/inference/v1/generate', { token_ids: ids, sampling_params: { max_tokens: 3 } }],
			['/generate', { input_ids: ids }],
			['/generate', { input_ids: [ids], text: null }],
			['/v1/other', { prompt_token_ids: ids, messages: [] }],
			['/v2/models/m/generate', { input_ids: ids, text_input: '' }],
			['/v2/models/m/infer', { inputs: [{ name: 'input_ids', shape: [1, many], datatype: 'INT32', data: ids }] }],
			[
				'/v2/models/m/infer',
				{
					inputs: [
						{ name: 'attention_mask', shape: [1, many], datatype: 'INT64', data: [ids.map(() => 1)] },
						{ name: 'input_ids', shape: [1, many], datatype: 'INT64', data: [ids] },
					],
				},
			],
		] as const) {
			const named = { model: 'm', ...body };
			t.is((await post(`${router.url}${path}`, named)).status, 200, path);
			t.deepEqual(JSON.parse(engines[0]?.seen.at(-1)?.body ?? ''), named);
			t.is(router.decided.at(-1)?.features.tokensIn, many, path);
			t.deepEqual(asked.at(-1), [words, Uint32Array.from(ids)], path);
		}
		const raw = Buffer.from(Int32Array.from(ids).buffer);
		const tensor = {
			name: 'input_ids',
			shape: [1, many],
			datatype: 'INT32',
			parameters: { binary_data_size: raw.length },
		};
		const head = Buffer.from(JSON.stringify({ inputs: [tensor], parameters: { sequence_id: 7 } }));
		const binary = {
			method: 'POST',
			body: Buffer.concat([head, raw]),
			headers: { 'content-type': 'application/octet-stream' },
		};
		for (const [length, counted] of [
			[head.length, many],
			[head.length - 1, 0],
			[head.length + raw.length + 1, 0],
		] as const) {
			const headers = { ...binary.headers, 'Inference-Header-Content-Length': String(length) };
			t.is((await fetch(`${router.url}/v2/models/m/infer`, { ...binary, headers })).status, 200);
			t.is(router.decided.at(-1)?.features.tokensIn, counted, 'raw');
			if (counted === 0) continue;
			t.deepEqual(asked.at(-1), [words, Uint32Array.from(ids)], 'raw');
			t.not(router.decided.at(-1)?.features.sessionLow, router.decided.at(-2)?.features.sessionLow, 'its sequence');
		}
		await post(`${router.url}/v1/completions`, { model: 'm', prompt: ids });
		const hits = router.decided.at(-1)?.hits;
		t.deepEqual(hits, [many - (many % 64)], 'what went before by another path is this prompt');
		const batch = { model: 'm', prompt: [ids, ids] };
		await post(`${router.url}/v1/completions`, batch);
		t.is(router.decided.at(-1)?.features.tokensIn, 2 * many);
		t.is(asked.at(-1)?.[1], undefined, 'two prompts have no one list');
		const salted = { model: 'm', prompt: ids, cache_salt: 'mine' };
		await post(`${router.url}/v1/completions`, salted);
		t.like(router.decided.at(-1), { hits: [], features: { tokensIn: many } });
		t.is(asked.at(-1)?.[1], undefined, 'what an engine keeps under a salt is not matched by its ids');
		await post(`${router.url}/v1/completions`, salted);
		t.deepEqual(router.decided.at(-1)?.hits, many < 64 ? [] : [many - (many % 64)]);
	}
	t.is((await post(`${router.url}/v1/completions`, `{"model":"m","prompt":[${'1,'.repeat(9000)}]}`)).status, 400);
	t.is(router.decided.at(-1)?.features.tokensOutMax, 0);
	await post(`${router.url}/inference/v1/generate`, { token_ids: [1, 2], sampling_params: { max_tokens: 3 } });
	t.like(router.decided.at(-1), { features: { tokensIn: 2, tokensOutMax: 3 } });
});

test('usage is read in every dialect’s own words', async (t) => {
	let answer: { readonly type: string; readonly body: string; readonly headers?: Record<string, string> } = {
		type: '',
		body: '',
	};
	const { router } = await mesh(t, (_req, res) => {
		res.writeHead(200, { 'content-type': answer.type, ...answer.headers });
		res.end(answer.body);
	});
	const counted = async (path: string, given: typeof answer): Promise<readonly number[]> => {
		answer = given;
		await (await post(`${router.url}${path}`, { model: 'm', inputs: 'x' })).text();
		await until('the outcome is told', () => router.outcomes.length > 0);
		const outcome = router.outcomes.pop();
		return [outcome?.tokensIn ?? -1, outcome?.tokensOut ?? -1, outcome?.tokensCached ?? -1];
	};
	const whole = (body: object, headers = {}): typeof answer => ({
		type: 'application/json',
		body: JSON.stringify(body),
		headers,
	});
	const events = (...list: readonly object[]): typeof answer => ({
		type: 'text/event-stream',
		body: list.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''),
	});
	t.deepEqual(
		await counted('/v1/messages', whole({ usage: { input_tokens: 3, cache_read_input_tokens: 4, output_tokens: 5 } })),
		[7, 5, 4],
	);
	t.deepEqual(
		await counted(
			'/v1/messages',
			events(
				{ type: 'message_start', message: { usage: { input_tokens: 11, output_tokens: 1 } } },
				{ type: 'content_block_delta', delta: { text: 'x' } },
				{ type: 'message_delta', usage: { output_tokens: 9 } },
			),
		),
		[11, 9, 0],
	);
	t.deepEqual(
		await counted(
			'/v1/responses',
			whole({ usage: { input_tokens: 8, input_tokens_details: { cached_tokens: 2 }, output_tokens: 3 } }),
		),
		[8, 3, 2],
	);
	t.deepEqual(
		await counted(
			'/generate',
			whole({ text: 'x', meta_info: { prompt_tokens: 6, completion_tokens: 2, cached_tokens: 1 } }),
		),
		[6, 2, 1],
	);
	t.deepEqual(
		await counted('/generate', whole({ generated_text: 'x' }, { 'x-prompt-tokens': '5', 'x-generated-tokens': '4' })),
		[5, 4, 0],
	);
	t.deepEqual(
		await counted(
			'/generate_stream',
			events({ token: { text: 'a' } }, { token: { text: 'b' }, details: { generated_tokens: 2 } }),
		),
		[0, 2, 0],
	);
});

test('errors have the shape of the dialect, the router’s own and an engine’s', async (t) => {
	let body = '';
	const { router } = await mesh(t, (_req, res) => res.writeHead(400, json).end(body));
	const shapes: readonly (readonly [path: string, request: object, keys: readonly string[]])[] = [
		['/v1/chat/completions', { model: 'm' }, ['error']],
		['/v1/messages', { model: 'm' }, ['error', 'type']],
		['/v2/models/m/infer', {}, ['error']],
		['/generate', { inputs: '' }, ['error', 'error_type']],
		['/predictions/m', {}, ['code', 'message', 'type']],
	];
	for (const given of [
		'{"detail":"bad thing"}',
		'{"error":{"message":"bad thing"}}',
		'{"error":"bad thing"}',
		'<html>',
	]) {
		body = given;
		for (const [path, request, keys] of shapes) {
			const response = await post(`${router.url}${path}`, request);
			const text = await response.text();
			t.deepEqual(Object.keys(JSON.parse(text) as object).sort(), keys, `${path} ${given}`);
			t.is(response.status, 400);
			t.is(text.includes('bad thing'), given !== '<html>', text);
		}
	}
});

test('a broken stream ends with an event in the dialect’s shape', async (t) => {
	const { router } = await mesh(t, (_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write('data: {"a":1}\n\n', () => setImmediate(() => res.destroy()));
	});
	const read = async (path: string): Promise<string> => {
		const response = await post(`${router.url}${path}`, { model: 'm', inputs: 'x', stream: true });
		let text = '';
		try {
			for await (const part of response.body ?? []) text += Buffer.from(part as Uint8Array).toString();
		} catch {
			return text;
		}
		return 'ended as if whole';
	};
	t.regex(await read('/v1/messages'), /event: error\ndata: \{"type":"error","error":\{"type":"api_error"/);
	t.regex(await read('/generate_stream'), /data: \{"error":".+","error_type":"generation"\}\n\n$/);
	t.regex(await read('/v2/models/m/generate_stream'), /data: \{"error":".+"\}\n\n$/);
});

test('a stored response is found again, from any router, by its id', async (t) => {
	let requests = 0;
	const handler: EngineHandler = (req, res, body) => {
		if (req.method !== 'POST' || req.url !== '/v1/responses') {
			res.writeHead(200, json).end(JSON.stringify({ id: req.url?.split('/')[3], object: 'response' }));
			return;
		}
		const id = `resp_${++requests}`;
		const { stream, previous_response_id: previous } = JSON.parse(body.toString()) as Record<string, unknown>;
		const response = {
			id,
			object: 'response',
			previous_response_id: previous ?? null,
			text: '"id":"resp_9"',
			usage: null,
		};
		if (stream !== true) return void res.writeHead(200, json).end(JSON.stringify(response));
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.end(`event: response.created\ndata: ${JSON.stringify({ type: 'response.created', response })}\n\n`);
	};
	const { router, engines } = await mesh(t, handler, {}, 3);
	const second = await startRouter({ origins: engines.map(({ origin }) => origin) });
	t.teardown(() => second.close());
	const force = (target: string): Record<string, string> => ({ ...json, 'x-infermesh-force-target': target });
	const made = (await (await post(`${router.url}/v1/responses`, { model: 'm', input: 'x' }, force('t2'))).json()) as {
		id: string;
		text: string;
	};
	const marks = new ResponseIds('of this mesh');
	t.is(made.id, `resp_${marks.mark(targetTag('t2'), 'default', 'resp_1')}1`);
	t.is(made.text, '"id":"resp_9"', 'what a model says is not touched');
	for (const { url } of [router, second]) {
		for (const [method, tail] of [
			['GET', ''],
			['GET', '/input_items'],
			['POST', '/cancel'],
			['DELETE', ''],
		] as const) {
			const answer = await fetch(`${url}/v1/responses/${made.id}${tail}`, { method });
			t.is(answer.headers.get('x-infermesh-target'), 't2');
			t.is(((await answer.json()) as { id: string }).id, made.id);
			t.is(engines[2]?.seen.at(-1)?.url, `/v1/responses/resp_1${tail}`);
		}
	}
	const next = await post(`${second.url}/v1/responses`, {
		model: 'm',
		input: 'y',
		stream: true,
		previous_response_id: made.id,
	});
	t.is(next.headers.get('x-infermesh-target'), 't2');
	const following = `resp_${marks.mark(targetTag('t2'), 'default', 'resp_2')}2`;
	t.regex(await next.text(), new RegExp(`"id":"${following}".+"previous_response_id":"${made.id}"`));
	t.like(JSON.parse(engines[2]?.seen.at(-1)?.body ?? ''), { previous_response_id: 'resp_1' });
	const gone = await fetch(`${router.url}/v1/responses/resp_${marks.mark(targetTag('gone'), 'default', 'resp_1')}1`);
	t.deepEqual([gone.status, gone.headers.get('x-infermesh-error')], [404, 'IM_ROUTE_RESPONSE_UNKNOWN']);
});

test('a rank is asked for as the runtime expects it, and never by a client', async (t) => {
	const headers = { ...json, 'X-data-parallel-rank': '7' };
	const vllm = await mesh(t, ok, { targets: { dataParallelRank: 2, runtime: 'vllm' } });
	await post(`${vllm.router.url}/v1/completions`, { model: 'm', prompt: 'x' }, headers);
	t.is(vllm.engines[0]?.seen[0]?.headers['x-data-parallel-rank'], '2');
	t.deepEqual(JSON.parse(vllm.engines[0]?.seen[0]?.body ?? ''), { model: 'm', prompt: 'x' });
	const sglang = await mesh(t, ok, { targets: { dataParallelRank: 0, runtime: 'sglang' } });
	await post(`${sglang.router.url}/v1/completions`, { model: 'm', prompt: 'x', data_parallel_rank: 9 }, headers);
	t.is(sglang.engines[0]?.seen[0]?.headers['x-data-parallel-rank'], '0');
	t.like(JSON.parse(sglang.engines[0]?.seen[0]?.body ?? ''), { routed_dp_rank: 0, data_parallel_rank: 0 });
	const none = await mesh(t, ok);
	await post(`${none.router.url}/v1/completions`, { model: 'm', prompt: 'x' }, headers);
	t.is(none.engines[0]?.seen[0]?.headers['x-data-parallel-rank'], undefined);
});

test('a trusted caller sees the scores it asks for, bounded; others do not', async (t) => {
	const explain = { ...json, 'x-infermesh-explain': '1' };
	const body = { model: 'm', messages: [] };
	const decide = (out: {
		count: number;
		rows: Uint32Array;
		scores: Float32Array;
		chosen: number;
		strategy: string;
	}): void => {
		out.count = 2;
		out.rows.set([1, 0]);
		out.scores.set([0.5, 0.25]);
		out.chosen = 0;
		out.strategy = 's@1';
	};
	const { router } = await mesh(t, ok, { decide }, 2);
	t.is(
		(await post(`${router.url}/v1/chat/completions`, body, explain)).headers.get('x-infermesh-scores'),
		't1=0.5,t0=0.25',
	);
	t.is((await post(`${router.url}/v1/chat/completions`, body)).headers.get('x-infermesh-scores'), null);
	const long = await mesh(t, ok, { decide, targets: { id: 'é'.repeat(300) } }, 2);
	const scores = (await post(`${long.router.url}/v1/chat/completions`, body, explain)).headers.get(
		'x-infermesh-scores',
	);
	t.true((scores ?? '').length <= 1024);
	const keyed = await mesh(t, ok, { decide, key: 'k' }, 2);
	const answer = await post(`${keyed.router.url}/v1/chat/completions`, body, { ...explain, authorization: 'Bearer k' });
	t.deepEqual([answer.status, answer.headers.get('x-infermesh-scores')], [200, null]);
});

test('a client that leaves is gone for the engine, in every dialect', async (t) => {
	const { router, engines } = await mesh(t, (_req, res) => {
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write('data: {"a":1}\n\n');
	});
	let left = 0;
	for (const path of [
		'/v1/responses',
		'/v1/messages',
		'/generate_stream',
		'/v2/models/m/generate_stream',
		'/v3/completions',
	]) {
		const abort = new AbortController();
		const init = {
			method: 'POST',
			headers: json,
			body: JSON.stringify({ model: 'm', inputs: 'x', stream: true }),
			signal: abort.signal,
		};
		const response = await fetch(`${router.url}${path}`, init);
		t.is(response.status, 200);
		abort.abort();
		await until(`the engine hears of it: ${path}`, () => engines[0]?.aborted === left + 1);
		left++;
	}
	t.is(router.open(), 0);
});

test('a span says in the words of GenAI what was asked, of whom, and what it cost; the engine’s is its child', async (t) => {
	const exporter = new InMemorySpanExporter();
	const shutdown = exporter.shutdown.bind(exporter);
	exporter.shutdown = () => Promise.resolve();
	const tracing = { endpoint: undefined, ratio: 1, queueMax: 64, resource: {}, exporter };
	const { tracer, close } = await createTracing(tracing);
	const stream = `data: {"choices":[{}]}\n\ndata: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\ndata: [DONE]\n\n`;
	const { router, engines } = await mesh(
		t,
		(_req, res) => res.writeHead(200, { 'content-type': 'text/event-stream' }).end(stream),
		{ ports: { tracer }, targets: { upstreamModel: 'org/real', runtime: 'vllm' } },
	);
	const parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
	const headers = {
		...json,
		traceparent: parent,
		tracestate: 'v=1',
		'x-request-id': 'mine',
		'x-infermesh-session': 's',
	};
	const body = { model: 'alias', messages: [], stream: true, max_tokens: 9 };
	const answer = await post(`${router.url}/v1/chat/completions`, body, headers);
	await answer.text();
	t.is(answer.headers.get('x-request-id'), 'mine');
	await (
		await post(`${router.url}/v2/models/alias/generate`, { text_input: 'x' }, { ...json, traceparent: parent })
	).text();
	await until('both are over', () => router.router.inflight() === 0);
	await close();
	const [chat, generate] = exporter.getFinishedSpans();
	t.is(chat?.name, 'chat alias');
	t.is(generate?.name, 'text_completion alias');
	t.is(chat?.parentSpanContext?.spanId, '00f067aa0ba902b7');
	const sent = parseTraceParent(String(engines[0]?.seen[0]?.headers['traceparent']));
	t.deepEqual([sent?.traceId, sent?.spanId], [chat?.spanContext().traceId, chat?.spanContext().spanId]);
	t.is(engines[0]?.seen[0]?.headers['tracestate'], 'v=1');
	t.like(chat?.attributes, {
		'gen_ai.operation.name': 'chat',
		'gen_ai.provider.name': 'vllm',
		'gen_ai.request.model': 'alias',
		'gen_ai.response.model': 'org/real',
		'gen_ai.request.max_tokens': 9,
		'gen_ai.conversation.id': 's',
		'gen_ai.usage.input_tokens': 7,
		'gen_ai.usage.output_tokens': 2,
		'infermesh.request_id': 'mine',
		'http.response.status_code': 200,
	});
	t.deepEqual(
		chat?.events.map(({ name }) => name),
		['gen_ai.first_token'],
	);
	await shutdown();
});
