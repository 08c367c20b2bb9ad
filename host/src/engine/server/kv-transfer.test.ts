// Disaggregated prefill between emulated engines, as a router drives it: vLLM's way, SGLang's way, the mesh's own hint, and what happens when KV does not
// come.
import test from 'ava';
import { chatBody, engineFor, metric, post, send } from './engine-server.test-support.js';
import type { EngineOptions } from './options.js';
import type { EngineHandle } from './start-engine.js';

const WORDS = 'the quick brown fox jumps over the lazy dog '.repeat(40);
const messages = [{ role: 'user', content: WORDS }];

interface Answer {
	readonly usage: {
		readonly prompt_tokens: number;
		readonly prompt_tokens_details: { readonly cached_tokens: number };
	};
	readonly choices: readonly { readonly message: { readonly content: string } }[];
	readonly kv_transfer_params?: Readonly<Record<string, unknown>>;
}

const ask = (engine: EngineHandle, more: object, headers: Record<string, string> = {}) =>
	post(`${engine.url}/v1/chat/completions`, chatBody(8, { messages, seed: 3, ...more }), headers);

const nixl = (role: 'prefill' | 'decode', more: object = {}): Partial<EngineOptions> => ({
	transfer: { protocol: 'nixl', role, ...more },
});

/** Of a prompt, without a last block that an answer might fill. */
const wholeBlocks = (tokens: number): number => Math.floor((tokens - 1) / 16) * 16;

const toDecode = { do_remote_decode: true, do_remote_prefill: false };

test('vLLM: the decode has what the prefill computed, and says the same as one engine alone', async (t) => {
	const prefill = await engineFor(t, nixl('prefill'));
	const decode = await engineFor(t, nixl('decode'));
	const alone = await engineFor(t);
	const first = JSON.parse((await ask(prefill, { max_tokens: 1, kv_transfer_params: toDecode })).text) as Answer;
	t.like(first.kv_transfer_params, { do_remote_prefill: true, remote_host: '127.0.0.1', remote_port: prefill.port });
	const second = JSON.parse((await ask(decode, { kv_transfer_params: first.kv_transfer_params })).text) as Answer;
	const { prompt_tokens, prompt_tokens_details } = second.usage;
	t.is(prompt_tokens_details.cached_tokens, wholeBlocks(prompt_tokens));
	t.is(await metric(decode, 'vllm:external_prefix_cache_hits_total'), prompt_tokens_details.cached_tokens);
	const whole = JSON.parse((await ask(alone, {})).text) as Answer;
	t.deepEqual(second.choices, whole.choices);
	t.is(whole.usage.prompt_tokens_details.cached_tokens, 0);
});

test('vLLM: KV that is gone is computed again, or fails the request where the engine is told so', async (t) => {
	const prefill = await engineFor(t, nixl('prefill'));
	const first = JSON.parse((await ask(prefill, { max_tokens: 1, kv_transfer_params: toDecode })).text) as Answer;
	const decode = await engineFor(t, nixl('decode'));
	const strict = await engineFor(t, nixl('decode', { onLoadFailure: 'fail' }));
	const params = first.kv_transfer_params;
	await ask(decode, { kv_transfer_params: params });
	// Handed over once: the second to ask finds nothing.
	const again = await engineFor(t, nixl('decode'));
	const recomputed = JSON.parse((await ask(again, { kv_transfer_params: params })).text) as Answer;
	t.is(recomputed.usage.prompt_tokens_details.cached_tokens, 0);
	t.is((await ask(strict, { kv_transfer_params: params })).status, 500);
	const nobody = { ...params, remote_port: 1 };
	t.is((await ask(again, { kv_transfer_params: nobody })).status, 200);
});

test('a transfer takes what its bytes take', async (t) => {
	const prefill = await engineFor(t, nixl('prefill'));
	// About 470 tokens of 128 KiB at 200 MB/s: 300 ms of model time, at the same speed as real time.
	const decode = await engineFor(t, { ...nixl('decode', { bytesPerSecond: 2e8 }), speed: 1 });
	const first = JSON.parse((await ask(prefill, { max_tokens: 1, kv_transfer_params: toDecode })).text) as Answer;
	const beganMs = performance.now();
	const reply = await ask(decode, { kv_transfer_params: first.kv_transfer_params, max_tokens: 1 });
	t.is(reply.status, 200);
	const bytes = (JSON.parse(reply.text) as Answer).usage.prompt_tokens_details.cached_tokens * 131_072;
	t.true(bytes > 0 && performance.now() - beganMs >= (bytes / 2e8) * 1000 - 1);
});

const sglang = (role: 'prefill' | 'decode'): Partial<EngineOptions> => ({
	metricsDialect: 'sglang',
	transfer: { protocol: 'bootstrap', role },
});

test('SGLang: both sides at once; the decode waits for the prefill of its room', async (t) => {
	const prefill = await engineFor(t, sglang('prefill'));
	const decode = await engineFor(t, sglang('decode'));
	const room = { bootstrap_host: '127.0.0.1', bootstrap_port: prefill.port, bootstrap_room: 77 };
	const [decoded, prefilled] = await Promise.all([ask(decode, room), ask(prefill, { ...room, max_tokens: 1 })]);
	t.is(prefilled.status, 200);
	t.true((JSON.parse(decoded.text) as Answer).usage.prompt_tokens_details.cached_tokens > 400);
	t.is((await ask(decode, {})).status, 400);
	t.is((await ask(prefill, {})).status, 400);
});

test('SGLang: a decode whose prefill fails, or is not there, fails too', async (t) => {
	const hanging = await engineFor(t, { ...sglang('prefill'), faults: { slow: { factor: 1e5 } } });
	const decode = await engineFor(t, sglang('decode'));
	const room = { bootstrap_host: '127.0.0.1', bootstrap_port: hanging.port, bootstrap_room: 5 };
	const decoding = ask(decode, room);
	const cancel = new AbortController();
	const prefilling = fetch(`${hanging.url}/v1/chat/completions`, {
		method: 'POST',
		body: JSON.stringify(chatBody(1, { messages, ...room })),
		signal: cancel.signal,
	});
	while ((await metric(hanging, 'sglang:num_running_reqs')) === 0) await send(`${hanging.url}/health`);
	cancel.abort();
	await t.throwsAsync(prefilling);
	t.is((await decoding).status, 500);
	t.is((await ask(decode, { ...room, bootstrap_port: 1, bootstrap_room: 6 })).status, 500);
});

test('a hint names an engine that holds the prefix: what is missing is fetched', async (t) => {
	const holder = await engineFor(t);
	const target = await engineFor(t);
	await ask(holder, {});
	const fetched = await ask(target, { max_tokens: 1 }, { 'x-infermesh-fetch-from': holder.url });
	const { prompt_tokens, prompt_tokens_details } = (JSON.parse(fetched.text) as Answer).usage;
	t.is(prompt_tokens_details.cached_tokens, wholeBlocks(prompt_tokens));
	const other = await engineFor(t);
	for (const from of ['http://127.0.0.1:1', 'nonsense', 'file:///etc/passwd']) {
		const reply = await ask(other, { seed: 9, max_tokens: 1 }, { 'x-infermesh-fetch-from': from });
		t.is(reply.status, 200);
	}
});

test('the side channel refuses what it does not know', async (t) => {
	const engine = await engineFor(t, nixl('prefill'));
	for (const body of ['{}', '{"key":5}', 'nonsense', '[]']) {
		const reply = await post(`${engine.url}/_kv`, body);
		t.is(reply.status, 400, body);
	}
	t.is((await post(`${engine.url}/_kv`, { key: 'nixl-9' })).status, 500);
	t.is((await post(`${engine.url}/_kv`, { chain: [1, 2, 3] })).text, '{"tokens":0}');
});
