// Every dialect through a whole mesh, with real workers and the emulated engines' own answers: what an application of each would send, and what it reads.
import { once } from 'node:events';
import test from 'ava';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';

let mesh: TestMesh;
const closers: (() => Promise<void> | void)[] = [];

test.before(async () => {
	mesh = await startTestMesh({ teardown: (fn) => closers.push(fn) }, { engines: 3 });
});

test.after.always(async () => {
	for (const close of closers.reverse()) await close();
});

type Json = Readonly<Record<string, unknown>>;

function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
	const init = {
		method: 'POST',
		headers: { 'content-type': 'application/json', ...headers },
		body: JSON.stringify(body),
	};
	return fetch(`${mesh.dataUrl}${path}`, init);
}

test('stored responses are found by any worker: read, gone on from, cancelled, deleted', async (t) => {
	const { openai } = mesh;
	const made = await Promise.all(
		Array.from({ length: 6 }, (_, at) =>
			openai.responses.create({ model: MODEL, input: `Question ${at}`, max_output_tokens: 8 }),
		),
	);
	for (const response of made) {
		for (let again = 0; again < 4; again++) {
			// A connection of its own each time: the kernel spreads them over the workers.
			const found = await fetch(`${mesh.dataUrl}/v1/responses/${response.id}`, { headers: { connection: 'close' } });
			t.is(((await found.json()) as Json)['id'], response.id);
		}
		const next = await openai.responses.create({
			model: MODEL,
			input: 'More',
			previous_response_id: response.id,
			max_output_tokens: 4,
		});
		t.is(next.previous_response_id, response.id);
	}
	const stream = await openai.responses.create({ model: MODEL, input: 'Hello', max_output_tokens: 8, stream: true });
	const types: string[] = [];
	let id = '';
	for await (const event of stream) {
		types.push(event.type);
		if (event.type === 'response.created') ({ id } = event.response);
	}
	t.deepEqual([types[0], types.at(-1)], ['response.created', 'response.incomplete']);
	t.is((await openai.responses.retrieve(id)).id, id);
	const endless = { model: MODEL, input: 'x', background: true, max_output_tokens: 50_000, ignore_eos: true };
	const long = await openai.responses.create(endless);
	t.is((await openai.responses.cancel(long.id)).status, 'cancelled');
	await openai.responses.delete(id);
	await t.throwsAsync(openai.responses.retrieve(id), { message: /404/ });
});

test('KServe, TGI, messages and rerank answer through the mesh, each in its own shape', async (t) => {
	const generated = (await (
		await post(`/v2/models/${MODEL}/generate`, { text_input: 'Hello', max_tokens: 5, random_seed: 5 })
	).json()) as Json;
	t.like(generated, { model_name: MODEL });
	const stream = await post(`/v2/models/${MODEL}/generate_stream`, {
		text_input: 'Hello',
		max_tokens: 5,
		random_seed: 5,
	});
	t.is(stream.headers.get('content-type'), 'text/event-stream; charset=utf-8');
	const pieces = (await stream.text()).split('\n\n').filter(Boolean);
	t.is(
		pieces.map((piece) => (JSON.parse(piece.slice('data: '.length)) as Json)['text_output']).join(''),
		String(generated['text_output']),
	);
	const inputs = [{ name: 'text_input', datatype: 'BYTES', shape: [1], data: ['Hello'] }];
	t.is((await post(`/v2/models/${MODEL}/infer`, { inputs })).status, 200);
	t.is((await fetch(`${mesh.dataUrl}/v2/models/${MODEL}/ready`)).status, 200);
	const tgi = await post('/generate', { inputs: 'Hello', parameters: { max_new_tokens: 5, seed: 5 } });
	t.is(((await tgi.json()) as Json)['generated_text'], generated['text_output']);
	const message = await post('/v1/messages', {
		model: MODEL,
		max_tokens: 5,
		messages: [{ role: 'user', content: 'Hello' }],
	});
	t.like(await message.json(), { type: 'message', stop_reason: 'max_tokens' });
	t.is(
		(
			(await (await post('/v1/rerank', { model: MODEL, query: 'a', documents: ['b', 'c'] })).json()) as {
				results: unknown[];
			}
		).results.length,
		2,
	);
	const refused = await post(`/v2/models/${MODEL}/generate`, { text_input: 7 });
	t.deepEqual([refused.status, Object.keys((await refused.json()) as Json)], [400, ['error']]);
});

test('a strategy’s scores are shown to who asks, and a forced target is taken', async (t) => {
	const body = { model: MODEL, messages: [{ role: 'user', content: 'x' }], max_tokens: 2 };
	const answer = await post('/v1/chat/completions', body, { 'x-infermesh-explain': '1' });
	t.regex(answer.headers.get('x-infermesh-scores') ?? '', /^engine-[123]=-?[\d.e-]+(,engine-[123]=-?[\d.e-]+)*$/);
	const forced = await post('/v1/chat/completions', body, { 'x-infermesh-force-target': 'engine-2' });
	t.is(forced.headers.get('x-infermesh-target'), 'engine-2');
	const decision = forced.headers.get('x-infermesh-decision') ?? '';
	const explained = await mesh.admin.explain(decision);
	t.like(explained, { strategy: 'forced@host', chosen: 'engine-2', fallbackCause: 'none' });
});

test('a browser’s WebSocket streams a chat; what it leaves is ended at the engine', async (t) => {
	const url = mesh.dataUrl.replace('http', 'ws');
	const ws = new WebSocket(`${url}/v1/chat/ws`, ['infermesh.chat.v1']);
	const got: Json[] = [];
	ws.addEventListener('message', ({ data }) => got.push(JSON.parse(data as string) as Json));
	await once(ws, 'open');
	const request = { model: MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 12, seed: 5 };
	ws.send(JSON.stringify({ type: 'chat', id: 'a', request }));
	await eventually('the chat is done', () => got.some(({ type }) => type === 'done'));
	const text = got
		.filter(({ type }) => type === 'chunk')
		.map(
			({ chunk }) => (chunk as { choices: readonly { delta: { content?: string } }[] }).choices[0]?.delta.content ?? '',
		)
		.join('');
	const whole = await mesh.openai.chat.completions.create({
		model: MODEL,
		messages: [{ role: 'user', content: 'Hello' }],
		max_tokens: 12,
		seed: 5,
	});
	t.is(text, whole.choices[0]?.message.content ?? '');
	const { headers } = got.find(({ type }) => type === 'start') as { readonly headers: Record<string, string> };
	const decision = headers['x-infermesh-decision'] ?? '';
	await eventually('the decision can be explained', async () => (await mesh.admin.explain(decision)).id === decision);
	ws.send(JSON.stringify({ type: 'chat', id: 'b', request: { ...request, max_tokens: 100_000, ignore_eos: true } }));
	await eventually('it streams', () => got.some(({ type, id }) => type === 'chunk' && id === 'b'));
	ws.close();
	await eventually('no engine works any more', async () =>
		(await Promise.all(mesh.engines.map(running))).every((count) => count === 0),
	);
});

async function running({ url }: { readonly url: string }): Promise<number> {
	const text = await (await fetch(`${url}/metrics`)).text();
	return Number(/^vllm:num_requests_running\{[^}]*\} (\S+)$/m.exec(text)?.[1]);
}

test('a realtime session is decided once and piped to its engine', async (t) => {
	const ws = new WebSocket(`${mesh.dataUrl.replace('http', 'ws')}/v1/realtime?model=${MODEL}`, ['realtime']);
	const got: Json[] = [];
	ws.addEventListener('message', ({ data }) => got.push(JSON.parse(data as string) as Json));
	await once(ws, 'open');
	t.is(ws.protocol, 'realtime');
	const say = (event: object): void => ws.send(JSON.stringify(event));
	say({ type: 'conversation.item.create', item: { role: 'user', content: 'Hello' } });
	say({ type: 'response.create', response: { max_output_tokens: 6 } });
	await eventually('the answer is whole', () => got.some(({ type }) => type === 'response.done'));
	t.is(got.filter(({ type }) => type === 'response.output_text.delta').length, 6);
	ws.close(1000);
	await once(ws, 'close');
	await eventually('its end is counted', async () => {
		const metrics = await (await fetch(`${mesh.mesh.adminUrl}/metrics`)).text();
		return /infermesh_websockets_closed_total\{kind="pipe",reason="closed"[^}]*\} 1/.test(metrics);
	});
});
