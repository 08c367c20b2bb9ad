// The emulated engine in dialects other than OpenAI's chat: the same words from the same model, in each one's own shape.
import { once } from 'node:events';
import test from 'ava';
import { OpenAI } from 'openai';
import { WebSocket } from 'ws';
import { engineFor, metric, send, until } from '../engine-server.test-support.js';

const model = 'test-model';
type Json = Readonly<Record<string, unknown>>;

async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Json> {
	const { status, text } = await send(url, { method: 'POST', body: JSON.stringify(body), headers });
	return { status, ...(JSON.parse(text) as Json) };
}

/** Data of the events of a stream, with their names. */
async function events(
	url: string,
	body: unknown,
): Promise<{ readonly name: string | undefined; readonly data: Json }[]> {
	const { text } = await send(url, { method: 'POST', body: JSON.stringify(body) });
	return text
		.split('\n\n')
		.filter((event) => event !== '' && event !== 'data: [DONE]')
		.map((event) => {
			const [, name] = /^event: (.+)$/m.exec(event) ?? [];
			return { name, data: JSON.parse(/^data: (.+)$/m.exec(event)?.[1] ?? 'null') as Json };
		});
}

/** Looks in a later turn, so that sockets are read meanwhile. */
function soon(condition: () => boolean): Promise<boolean> {
	return new Promise((resolve) => {
		setImmediate(() => resolve(condition()));
	});
}

test('responses: the official client, whole and streamed, goes on from them, reads, cancels and deletes them', async (t) => {
	const engine = await engineFor(t);
	const client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'any', maxRetries: 0 });
	const whole = await client.responses.create({ model, input: 'Hello there', max_output_tokens: 8 });
	t.is(whole.usage?.output_tokens, 8);
	t.is(whole.status, 'incomplete');
	t.is(Buffer.byteLength(whole.output_text), 32);
	const stream = await client.responses.create({ model, input: 'Hello there', max_output_tokens: 8, stream: true });
	let text = '';
	let last = '';
	for await (const event of stream) {
		if (event.type === 'response.output_text.delta') text += event.delta;
		last = event.type;
	}
	t.is(text, whole.output_text);
	t.is(last, 'response.incomplete');
	const next = await client.responses.create({
		model,
		input: 'And then?',
		previous_response_id: whole.id,
		max_output_tokens: 4,
	});
	t.true(
		(next.usage?.input_tokens ?? 0) > (whole.usage?.input_tokens ?? 0) + 8,
		'the conversation so far is in the prompt',
	);
	t.is((await client.responses.retrieve(next.id)).output_text, next.output_text);
	await client.responses.delete(next.id);
	await t.throwsAsync(client.responses.retrieve(next.id), { message: /not found/ });
	const endless = { model, input: 'x', background: true, max_output_tokens: 50_000, ignore_eos: true };
	const long = await client.responses.create(endless);
	t.is(long.status, 'in_progress');
	t.is((await client.responses.cancel(long.id)).status, 'cancelled');
	await until(async () => (await metric(engine, 'vllm:num_requests_running')) === 0, 'the engine has ended it');
});

test('messages: the text of the chat, with the counts Anthropic’s clients add up', async (t) => {
	const engine = await engineFor(t);
	const body = {
		model,
		max_tokens: 6,
		system: 'Be brief.',
		messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }],
	};
	const whole = await post(`${engine.url}/v1/messages`, body);
	const chat = await post(`${engine.url}/v1/chat/completions`, {
		model,
		max_tokens: 6,
		messages: [{ role: 'system', content: 'Be brief.' }, ...body.messages],
	});
	const [choice] = chat['choices'] as readonly [{ message: { content: string } }];
	t.like(whole, {
		type: 'message',
		role: 'assistant',
		stop_reason: 'max_tokens',
		content: [{ type: 'text', text: choice.message.content }],
	});
	t.like(whole['usage'], { output_tokens: 6 });
	const streamed = await events(`${engine.url}/v1/messages`, { ...body, stream: true });
	t.deepEqual(
		streamed.slice(0, 2).map(({ name }) => name),
		['message_start', 'content_block_start'],
	);
	t.deepEqual(
		streamed.slice(-3).map(({ name }) => name),
		['content_block_stop', 'message_delta', 'message_stop'],
	);
	const text = streamed.map(({ data }) => (data['delta'] as { text?: string } | undefined)?.text ?? '').join('');
	t.is(text, choice.message.content);
	t.is(
		(await post(`${engine.url}/v1/messages`, { model, messages: body.messages }))['status'],
		400,
		'max_tokens is required',
	);
});

test('TGI and SGLang: /generate and /generate_stream', async (t) => {
	const engine = await engineFor(t);
	const body = { inputs: 'Hello there', parameters: { max_new_tokens: 5, details: true } };
	const { text, headers } = await send(`${engine.url}/generate`, { method: 'POST', body: JSON.stringify(body) });
	const whole = JSON.parse(text) as Json;
	t.like(whole, { details: { finish_reason: 'length', generated_tokens: 5 } });
	t.deepEqual([headers['x-prompt-tokens'], headers['x-generated-tokens']], ['3', '5']);
	const streamed = await events(`${engine.url}/generate_stream`, body);
	t.is(streamed.length, 5);
	t.is(streamed.map(({ data }) => (data['token'] as { text: string }).text).join(''), String(whole['generated_text']));
	t.like(streamed.at(-1)?.data, { generated_text: whole['generated_text'], details: { generated_tokens: 5 } });
	const sglang = await post(`${engine.url}/generate`, { text: 'Hello there', sampling_params: { max_new_tokens: 5 } });
	t.like(sglang, { text: whole['generated_text'], meta_info: { prompt_tokens: 3, completion_tokens: 5 } });
	t.like(JSON.parse((await send(`${engine.url}/info`)).text), { model_id: model });
});

test('vLLM’s token ids: in and out, whole and streamed, the same words as a completion', async (t) => {
	const engine = await engineFor(t);
	const at = `${engine.url}/inference/v1/generate`;
	const ids = Array.from({ length: 64 }, (_, id) => id * 1000);
	const sampling_params = { max_tokens: 5 };
	const text = await post(`${engine.url}/v1/completions`, { model, prompt: ids, max_tokens: 5 });
	const whole = await post(at, { token_ids: ids, sampling_params });
	t.like(whole, { status: 200, usage: { prompt_tokens: 64, completion_tokens: 5 } });
	const [choice] = whole['choices'] as readonly [{ token_ids: readonly number[] }];
	const words = Buffer.alloc(20);
	for (const [place, id] of choice.token_ids.entries()) words.writeUInt32LE(id, 4 * place);
	t.is(words.toString(), (text['choices'] as readonly [{ text: string }])[0].text);
	const streamed = await events(at, {
		model,
		token_ids: ids,
		sampling_params,
		stream: true,
		stream_options: { include_usage: true },
	});
	const pieces = streamed.map(({ data }) => data['choices'] as readonly { token_ids: readonly number[] }[]);
	t.deepEqual(
		pieces.flat().flatMap((piece) => piece.token_ids),
		choice.token_ids,
	);
	t.like(streamed.at(-1)?.data, { choices: [], usage: { prompt_tokens: 64, completion_tokens: 5 } });
	t.is((await post(at, { token_ids: 'text', sampling_params }))['status'], 400);
	t.is((await post(at, { token_ids: ids }))['status'], 400);
});

test('KServe: metadata, generate, and infer with JSON and with binary tensors', async (t) => {
	const engine = await engineFor(t);
	const at = `${engine.url}/v2/models/${model}`;
	t.like(JSON.parse((await send(at)).text), { name: model });
	t.is((await send(`${engine.url}/v2/models/other`)).status, 404);
	const generated = await post(`${at}/versions/1/generate`, { text_input: 'Hello there', max_tokens: 5 });
	t.like(generated, { model_name: model });
	const streamed = await events(`${at}/generate_stream`, { text_input: 'Hello there', max_tokens: 5 });
	t.is(streamed.map(({ data }) => data['text_output']).join(''), String(generated['text_output']));
	const tensor = { name: 'text_input', datatype: 'BYTES', shape: [2] };
	const count = { name: 'max_tokens', datatype: 'INT32', shape: [1], data: [5] };
	const inferred = await post(`${at}/infer`, {
		id: '7',
		inputs: [{ ...tensor, data: ['Hello there', 'Goodbye'] }, count],
	});
	const [output] = inferred['outputs'] as readonly [{ data: readonly string[] }];
	t.is(inferred['id'], '7');
	t.is(output.data[0], String(generated['text_output']));
	const texts = ['Hello there', 'Goodbye'].map((one) => {
		const head = Buffer.alloc(4);
		head.writeUInt32LE(one.length);
		return Buffer.concat([head, Buffer.from(one)]);
	});
	const raw = Buffer.concat(texts);
	const head = Buffer.from(
		JSON.stringify({ inputs: [{ ...tensor, parameters: { binary_data_size: raw.length } }, count] }),
	);
	const binary = await fetch(`${at}/infer`, {
		method: 'POST',
		headers: { 'inference-header-content-length': String(head.length) },
		body: new Uint8Array(Buffer.concat([head, raw])),
	});
	t.deepEqual(((await binary.json()) as Json)['outputs'], inferred['outputs']);
	for (const [bad, length] of [
		['{"inputs":[{"name":"text_input","parameters":{"binary_data_size":99}}]}', undefined],
		['{}', undefined],
		['{"inputs":1}', '999'],
	] as const) {
		const headers = length === undefined ? {} : { 'inference-header-content-length': length };
		t.is((await send(`${at}/infer`, { method: 'POST', body: bad, headers })).status, 400, bad);
	}
});

test('rerank: every document has a score that its text decides, and costs its tokens', async (t) => {
	const engine = await engineFor(t);
	const documents = ['about cats', 'about dogs', { text: 'about cats' }];
	const answer = await post(`${engine.url}/v1/rerank`, { model, query: 'cats', documents });
	const results = answer['results'] as readonly { index: number; relevance_score: number }[];
	t.deepEqual(
		results.map(({ index }) => index).toSorted((a, b) => a - b),
		[0, 1, 2],
	);
	t.true(results.every(({ relevance_score: score }, at) => score <= (results[at - 1]?.relevance_score ?? 1)));
	const scoreOf = (index: number) => results.find((one) => one.index === index)?.relevance_score;
	t.is(scoreOf(0), scoreOf(2));
	t.not(scoreOf(0), scoreOf(1));
	t.like(answer['usage'], { total_tokens: 12 });
	t.is(
		((await post(`${engine.url}/rerank`, { query: 'cats', documents, top_n: 1 }))['results'] as unknown[]).length,
		1,
	);
});

test('realtime: a conversation over WebSocket; leaving ends the work', async (t) => {
	const engine = await engineFor(t, { speed: 5 });
	const ws = new WebSocket(`${engine.url.replace('http', 'ws')}/v1/realtime?model=${model}`);
	const got: Json[] = [];
	ws.on('message', (data: Buffer) => got.push(JSON.parse(data.toString()) as Json));
	await once(ws, 'open');
	const say = (event: object): void => ws.send(JSON.stringify(event));
	say({ type: 'conversation.item.create', item: { role: 'user', content: [{ type: 'input_text', text: 'Hello' }] } });
	say({ type: 'response.create', response: { max_output_tokens: 5 } });
	await until(() => soon(() => got.some(({ type }) => type === 'response.done')), 'it is done');
	t.deepEqual(
		got.map(({ type }) => type),
		[
			'session.created',
			'conversation.item.created',
			'response.created',
			...Array.from({ length: 5 }, () => 'response.output_text.delta'),
			'response.output_text.done',
			'response.done',
		],
	);
	t.like(got.at(-1), { response: { status: 'completed', usage: { output_tokens: 5 } } });
	say({ type: 'nonsense' });
	await until(() => soon(() => got.at(-1)?.['type'] === 'error'), 'it is told');
	say({ type: 'response.create', response: { max_output_tokens: 4000 } });
	await until(async () => (await metric(engine, 'vllm:num_requests_running')) === 1, 'it runs');
	ws.terminate();
	await until(async () => (await metric(engine, 'vllm:num_requests_running')) === 0, 'it has ended');
	const refused = new WebSocket(`${engine.url.replace('http', 'ws')}/v1/realtime?model=other`);
	refused.on('error', () => undefined);
	const [, response] = (await once(refused, 'unexpected-response')) as [unknown, { readonly statusCode: number }];
	t.is(response.statusCode, 404);
	refused.terminate();
});
