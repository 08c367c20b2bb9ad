// The served engine as the official OpenAI client sees it.
import test, { type ExecutionContext } from 'ava';
import { AuthenticationError, BadRequestError, NotFoundError, OpenAI } from 'openai';
import { engineFor, metric, until } from './engine-server.test-support.js';
import type { EngineOptions } from './options.js';
import type { EngineHandle } from './start-engine.js';

async function clientFor(
	t: ExecutionContext,
	options: Partial<EngineOptions> = {},
): Promise<{ client: OpenAI; engine: EngineHandle }> {
	const engine = await engineFor(t, options);
	return { engine, client: new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'any', maxRetries: 0 }) };
}

const messages = [{ role: 'user' as const, content: 'Tell me something about the weather in Nairobi.' }];
/** Fields vLLM knows and the client's types do not. */
const exactly = (tokens: number) => ({ max_tokens: tokens, ignore_eos: true });

test('an unstreamed chat has exactly the tokens asked for, four bytes each, and says what it used', async (t) => {
	const { client } = await clientFor(t);
	const reply = await client.chat.completions.create({ model: 'test-model', messages, ...exactly(20) });
	t.is(reply.object, 'chat.completion');
	t.is(reply.choices[0]?.finish_reason, 'length');
	t.is(Buffer.byteLength(reply.choices[0]?.message.content ?? ''), 80);
	t.is(reply.usage?.completion_tokens, 20);
	t.is(reply.usage?.prompt_tokens_details?.cached_tokens, 0);
	t.is(reply.usage?.total_tokens, 20 + (reply.usage?.prompt_tokens ?? 0));
});

test('a stream gives one chunk a token, the role first, and usage last when asked for', async (t) => {
	const { client } = await clientFor(t);
	const stream = await client.chat.completions.create({
		model: 'test-model',
		messages,
		stream: true,
		stream_options: { include_usage: true },
		...exactly(12),
	});
	const chunks = [];
	for await (const chunk of stream) chunks.push(chunk);
	t.is(chunks.length, 1 + 12 + 1);
	t.deepEqual(chunks[0]?.choices[0]?.delta, { role: 'assistant', content: '' });
	const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
	t.is(text.length, 48);
	t.is(chunks[12]?.choices[0]?.finish_reason, 'length');
	t.deepEqual(chunks[13]?.choices, []);
	t.is(chunks[13]?.usage?.completion_tokens, 12);
	const whole = await client.chat.completions.create({ model: 'test-model', messages, ...exactly(12) });
	t.is(whole.choices[0]?.message.content, text, 'the same prompt gives the same text');
});

test('without ignore_eos the seed decides the length, never above max_tokens', async (t) => {
	const { client } = await clientFor(t, { outputLengths: { medianTokens: 20, sigma: 0.5 } });
	const lengths = new Set<number>();
	for (let seed = 0; seed < 10; seed++) {
		const ask = () => client.chat.completions.create({ model: 'test-model', messages, seed, max_tokens: 30 });
		const reply = await ask();
		const tokens = reply.usage?.completion_tokens ?? 0;
		t.true(tokens >= 1 && tokens <= 30);
		t.is(reply.choices[0]?.finish_reason, tokens === 30 ? 'length' : 'stop');
		t.is((await ask()).usage?.completion_tokens, tokens);
		lengths.add(tokens);
	}
	t.true(lengths.size > 3);
});

test('a conversation finds its own past in the prefix cache', async (t) => {
	const { client } = await clientFor(t);
	const long = [{ role: 'user' as const, content: 'word '.repeat(200) }];
	const first = await client.chat.completions.create({ model: 'test-model', messages: long, ...exactly(64) });
	const answer = { role: 'assistant' as const, content: first.choices[0]?.message.content ?? '' };
	const next = [...long, answer, { role: 'user' as const, content: 'Go on.' }];
	const second = await client.chat.completions.create({ model: 'test-model', messages: next, ...exactly(1) });
	const cached = second.usage?.prompt_tokens_details?.cached_tokens ?? 0;
	t.true(cached > (first.usage?.prompt_tokens ?? 0), `${cached} cached: the answer is cached too`);
});

test('n choices differ, are the same again with the same seed, and count the prompt once', async (t) => {
	const { client } = await clientFor(t);
	const ask = () => client.chat.completions.create({ model: 'test-model', messages, n: 3, seed: 7, ...exactly(8) });
	const [one, two] = [await ask(), await ask()];
	const texts = one.choices.map((choice) => choice.message.content);
	t.is(new Set(texts).size, 3);
	t.deepEqual(
		two.choices.map((choice) => choice.message.content),
		texts,
	);
	t.is(one.usage?.completion_tokens, 24);
	const alone = await client.chat.completions.create({ model: 'test-model', messages, ...exactly(8) });
	t.is(one.usage?.prompt_tokens, alone.usage?.prompt_tokens);
});

test('a stop string ends the text before it, streamed or not, and frees the sequence', async (t) => {
	const { client, engine } = await clientFor(t);
	const body = { model: 'test-model', messages, seed: 1, ...exactly(400) };
	const full = await client.chat.completions.create(body);
	const text = full.choices[0]?.message.content ?? '';
	const stop = text.slice(101, 108);
	const before = text.slice(0, text.indexOf(stop));
	const whole = await client.chat.completions.create({ ...body, stop });
	t.is(whole.choices[0]?.message.content, before);
	t.is(whole.choices[0]?.finish_reason, 'stop');
	const stream = await client.chat.completions.create({ ...body, stop: ['never there', stop], stream: true });
	let streamed = '';
	for await (const chunk of stream) streamed += chunk.choices[0]?.delta.content ?? '';
	t.is(streamed, before);
	t.is(await metric(engine, 'vllm:num_requests_running'), 0);
	t.is(await metric(engine, 'vllm:request_success_total{engine="0",model_name="test-model",finished_reason="stop"'), 2);
});

const tools = [
	{
		type: 'function' as const,
		function: {
			name: 'get_weather',
			parameters: {
				type: 'object',
				properties: {
					city: { type: 'string' },
					unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
					days: { type: 'integer', minimum: 1, maximum: 7 },
				},
				required: ['city', 'unit', 'days'],
			},
		},
	},
];

function checkArguments(t: ExecutionContext, text: string): void {
	const value = JSON.parse(text) as { city: string; unit: string; days: number };
	t.is(typeof value.city, 'string');
	t.true(['celsius', 'fahrenheit'].includes(value.unit));
	t.true(Number.isInteger(value.days) && value.days >= 1 && value.days <= 7);
}

test('a forced tool is called with arguments its schema allows; required and named finish differently', async (t) => {
	const { client } = await clientFor(t);
	const ask = (tool_choice: 'required' | { type: 'function'; function: { name: string } }) =>
		client.chat.completions.create({ model: 'test-model', messages, tools, tool_choice });
	for (const [choice, reason] of [
		['required', 'tool_calls'],
		[{ type: 'function', function: { name: 'get_weather' } }, 'stop'],
	] as const) {
		const reply = await ask(choice);
		const call = reply.choices[0]?.message.tool_calls?.[0];
		t.is(call?.type, 'function');
		if (call?.type !== 'function') return;
		t.is(call.function.name, 'get_weather');
		checkArguments(t, call.function.arguments);
		t.is(reply.choices[0]?.finish_reason, reason);
	}
	const auto = await client.chat.completions.create({ model: 'test-model', messages, tools, ...exactly(4) });
	t.is(auto.choices[0]?.message.content?.length, 16);
});

test('a streamed tool call opens with id and name and adds arguments in deltas', async (t) => {
	const { client } = await clientFor(t);
	const runner = client.chat.completions.stream({ model: 'test-model', messages, tools, tool_choice: 'required' });
	const final = await runner.finalChatCompletion();
	const call = final.choices[0]?.message.tool_calls?.[0];
	t.is(call?.type, 'function');
	if (call?.type !== 'function') return;
	t.regex(call.id, /^chatcmpl-tool-/);
	t.is(call.function.name, 'get_weather');
	checkArguments(t, call.function.arguments);
});

test('structured output follows its schema', async (t) => {
	const { client } = await clientFor(t);
	const reply = await client.chat.completions.create({
		model: 'test-model',
		messages,
		response_format: {
			type: 'json_schema',
			json_schema: {
				name: 'shape',
				schema: { type: 'object', properties: { sides: { type: 'integer', minimum: 3 } }, required: ['sides'] },
			},
		},
	});
	const value = JSON.parse(reply.choices[0]?.message.content ?? '') as { sides: number };
	t.true(value.sides >= 3);
});

test('an abort frees the sequence and its KV', async (t) => {
	const { client, engine } = await clientFor(t, { speed: 1 });
	const stream = await client.chat.completions.create({
		model: 'test-model',
		messages,
		stream: true,
		...exactly(100_000),
	});
	for await (const chunk of stream) {
		if ((chunk.choices[0]?.delta.content ?? '') !== '') break;
	}
	stream.controller.abort();
	await until(async () => (await metric(engine, 'vllm:kv_cache_usage_perc')) === 0, 'KV is freed after an abort');
	t.is(
		await metric(engine, 'vllm:request_success_total{engine="0",model_name="test-model",finished_reason="abort"'),
		1,
	);
});

test('completions take one prompt, several, and token ids; the default is 16 tokens at most', async (t) => {
	const { client } = await clientFor(t);
	const several = await client.completions.create({
		model: 'test-model',
		prompt: ['one two three', 'four five'],
		n: 2,
		...exactly(5),
	});
	t.deepEqual(
		several.choices.map(({ index, text }) => [index, text.length]),
		[
			[0, 20],
			[1, 20],
			[2, 20],
			[3, 20],
		],
	);
	t.is(several.usage?.prompt_tokens, 4 + 3);
	const ids = await client.completions.create({ model: 'test-model', prompt: [1, 2, 3], max_tokens: 4 });
	t.is(ids.usage?.prompt_tokens, 3);
	const short = await client.completions.create({ model: 'test-model', prompt: 'x' });
	t.true((short.usage?.completion_tokens ?? 99) <= 16);
	const stream = await client.completions.create({ model: 'test-model', prompt: 'x', stream: true, ...exactly(6) });
	let text = '';
	for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
	t.is(text.length, 24);
});

test('embeddings are unit vectors, equal for equal text', async (t) => {
	const { client } = await clientFor(t);
	const reply = await client.embeddings.create({ model: 'test-model', input: ['a', 'b', 'a'], dimensions: 64 });
	const [a, b, again] = reply.data.map((entry) => entry.embedding);
	t.is(a?.length, 64);
	t.deepEqual(a, again);
	t.notDeepEqual(a, b);
	t.true(Math.abs((a ?? []).reduce((sum, x) => sum + x * x, 0) - 1) < 1e-5);
	t.is(reply.usage.prompt_tokens, 3);
});

test('models are listed, and a wrong one is a 404 the client knows', async (t) => {
	const { client } = await clientFor(t, { models: ['big', 'small'] });
	const names = [];
	for await (const model of client.models.list()) names.push(model.id);
	t.deepEqual(names, ['big', 'small']);
	t.is((await client.chat.completions.create({ model: 'small', messages, ...exactly(1) })).model, 'small');
	const error = await t.throwsAsync(client.chat.completions.create({ model: 'other', messages }), {
		instanceOf: NotFoundError,
	});
	t.is(error.code, 'model_not_found');
	t.is(error.param, 'model');
});

test('a wrong API key is refused where work is done', async (t) => {
	const { client, engine } = await clientFor(t, { apiKey: 'secret' });
	await t.throwsAsync(client.models.list(), { instanceOf: AuthenticationError });
	const right = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'secret', maxRetries: 0 });
	t.is((await right.chat.completions.create({ model: 'test-model', messages, ...exactly(1) })).choices.length, 1);
});

test("more tokens than the context holds are refused with OpenAI's code", async (t) => {
	const { client } = await clientFor(t, { model: { kvBlocks: 100 } });
	const error = await t.throwsAsync(
		client.chat.completions.create({ model: 'test-model', messages, max_tokens: 1600 }),
		{ instanceOf: BadRequestError },
	);
	t.is(error.code, 'context_length_exceeded');
	t.regex(error.message, /maximum context length is 1600 tokens/);
});
