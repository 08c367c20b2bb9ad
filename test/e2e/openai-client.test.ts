// The official OpenAI client against a whole mesh, as an application would use it: nothing but the base URL is changed.
import test from 'ava';
import { BadRequestError, NotFoundError, type OpenAI } from 'openai';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';

let mesh: TestMesh;
const closers: (() => Promise<void> | void)[] = [];

test.before(async () => {
	mesh = await startTestMesh({ teardown: (fn) => closers.push(fn) }, { engines: 3 });
});

test.after.always(async () => {
	for (const close of closers.reverse()) await close();
});

/** An extension of vLLM's: the answer has as many tokens as may be. */
const toTheEnd = { ignore_eos: true };
const hello = [{ role: 'user' as const, content: 'Tell me about the weather.' }];

test('a whole answer comes with usage and names its decision, target and strategy', async (t) => {
	const { data, response } = await mesh.openai.chat.completions
		.create({ model: MODEL, messages: hello, max_tokens: 20 })
		.withResponse();
	t.true((data.choices[0]?.message.content ?? '').length > 0);
	t.is(data.model, MODEL);
	t.true((data.usage?.completion_tokens ?? 0) > 0);
	t.regex(response.headers.get('x-infermesh-decision') ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
	t.regex(response.headers.get('x-infermesh-target') ?? '', /^engine-[123]$/);
	t.regex(response.headers.get('x-infermesh-strategy') ?? '', /^hybrid_mesh@\d+\.\d+\.\d+$/);
});

test('a stream carries the same text as the whole answer, token by token', async (t) => {
	const request = { model: MODEL, messages: hello, max_tokens: 40, seed: 11 };
	const whole = await mesh.openai.chat.completions.create(request);
	const stream = await mesh.openai.chat.completions.create({ ...request, stream: true });
	let text = '';
	let chunks = 0;
	let finish: string | null = null;
	for await (const chunk of stream) {
		chunks++;
		t.is(chunk.usage ?? undefined, undefined, 'usage was not asked for');
		text += chunk.choices[0]?.delta.content ?? '';
		finish = chunk.choices[0]?.finish_reason ?? finish;
	}
	t.is(text, whole.choices[0]?.message.content ?? 'no text');
	t.is(finish, whole.choices[0]?.finish_reason ?? '');
	t.true(chunks > 5, `${chunks} chunks`);
});

test('usage in a stream is passed on when it was asked for', async (t) => {
	const stream = await mesh.openai.chat.completions.create({
		model: MODEL,
		messages: hello,
		max_tokens: 8,
		stream: true,
		stream_options: { include_usage: true },
	});
	let usage: OpenAI.CompletionUsage | undefined;
	for await (const chunk of stream) usage = chunk.usage ?? usage;
	t.is(usage?.completion_tokens, 8);
});

test('tool calls pass, whole and streamed', async (t) => {
	const request = {
		model: MODEL,
		messages: hello,
		tools: [
			{
				type: 'function' as const,
				function: {
					name: 'get_weather',
					parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
				},
			},
		],
		tool_choice: 'required' as const,
	};
	const whole = await mesh.openai.chat.completions.create(request);
	const call = whole.choices[0]?.message.tool_calls?.[0];
	t.is(call?.type === 'function' ? call.function.name : '', 'get_weather');
	t.is(whole.choices[0]?.finish_reason, 'tool_calls');
	const runner = mesh.openai.chat.completions.stream(request);
	const last = await runner.finalChatCompletion();
	const streamed = last.choices[0]?.message.tool_calls?.[0];
	const parsed = JSON.parse(streamed?.type === 'function' ? streamed.function.arguments : '') as { city: unknown };
	t.is(typeof parsed.city, 'string');
});

test('completions, embeddings and models work', async (t) => {
	const completion = await mesh.openai.completions.create({ model: MODEL, prompt: 'Once upon a time', max_tokens: 6 });
	t.is(completion.usage?.completion_tokens, 6);
	const { data, response } = await mesh.openai.embeddings
		.create({ model: MODEL, input: ['one', 'two'], dimensions: 32 })
		.withResponse();
	t.deepEqual(
		data.data.map(({ embedding }) => embedding.length),
		[32, 32],
	);
	t.truthy(response.headers.get('x-infermesh-decision'));
	const models: string[] = [];
	for await (const model of mesh.openai.models.list()) models.push(model.id);
	t.deepEqual(models, [MODEL]);
	t.is((await mesh.openai.models.retrieve(MODEL)).id, MODEL);
});

test('an unknown model is a 404 the client understands', async (t) => {
	const error = await t.throwsAsync(mesh.openai.chat.completions.create({ model: 'no-such-model', messages: hello }), {
		instanceOf: NotFoundError,
	});
	t.is(error?.code, 'model_not_found');
	t.is(error?.headers?.get('x-infermesh-error'), 'IM_ROUTE_MODEL_UNKNOWN');
	t.regex(error?.message ?? '', /no-such-model/);
	await t.throwsAsync(mesh.openai.models.retrieve('no-such-model'), { instanceOf: NotFoundError });
});

test('an engine’s own refusal reaches the client with its status and message', async (t) => {
	const error = await t.throwsAsync(
		mesh.openai.chat.completions.create({ model: MODEL, messages: hello, max_tokens: 10_000_000 }),
		{ instanceOf: BadRequestError },
	);
	t.regex(error?.message ?? '', /context length/);
});

test.serial('aborting a stream stops the engine’s work', async (t) => {
	const stream = await mesh.openai.chat.completions.create({
		model: MODEL,
		messages: hello,
		max_tokens: 8000,
		stream: true,
		// Runs to max_tokens, minutes of model time, unless it is cancelled.
		...toTheEnd,
	});
	for await (const _ of stream) break;
	stream.controller.abort();
	await eventually('nothing runs in any engine and nothing is in flight', async () => {
		const targets = await mesh.admin.targets();
		return targets.every(({ inFlight, running }) => inFlight === 0 && running === 0);
	});
	t.is(await mesh.admin.metric('infermesh_requests_in_flight'), 0);
	t.true((await mesh.admin.metric('infermesh_attempts_total', { outcome: 'cancelled' })) >= 1);
});

test('explain accounts for a decision and for what became of it', async (t) => {
	const { response } = await mesh.openai.chat.completions
		.create({ model: MODEL, messages: hello, max_tokens: 5, ...toTheEnd })
		.withResponse();
	const explained = await mesh.admin.explain(response.headers.get('x-infermesh-decision') ?? '');
	t.is(explained.chosen ?? 'none', response.headers.get('x-infermesh-target') ?? 'no header');
	t.is(explained.strategy, response.headers.get('x-infermesh-strategy') ?? 'no header');
	t.is(explained.requestId, response.headers.get('x-request-id') ?? 'none');
	t.is(explained.model, MODEL);
	t.is(explained.fallbackCause, 'none');
	t.is(explained.eligible, 3);
	t.true(explained.fuel > 0 && explained.durationUs > 0);
	t.is(explained.candidates[0]?.target, explained.chosen ?? '');
	const scores = explained.candidates.map(({ score }) => score);
	t.deepEqual(
		scores,
		[...scores].sort((a, b) => a - b),
	);
	t.is(explained.margin, (scores[1] ?? 0) - (scores[0] ?? 0));
	const { factors, score } = explained.candidates[0] as (typeof explained.candidates)[number];
	t.true(Object.keys(factors).length > 2, JSON.stringify(factors));
	t.true(Number.isFinite(score));
	t.is(explained.attempts.length, 1);
	t.like(explained.attempts[0], { target: explained.chosen, status: 'ok', httpStatus: 200, tokensOut: 5 });
	await t.throwsAsync(mesh.admin.explain('01999999-0000-7000-8000-000000000000'), {
		message: /IM_ADMIN_DECISION_UNKNOWN/,
	});
});
