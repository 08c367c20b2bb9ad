// The served engine on the wire: metrics, ORCA, bad input, faults, slow readers, drain.
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import {
	chatBody,
	engineFor,
	metric,
	post,
	RawConnection,
	realClock,
	send,
	until,
} from './engine-server.test-support.js';
import { startEngine } from './start-engine.js';

/** Parses an exposition strictly: every sample belongs to a family that was declared before it. */
function parseMetrics(text: string): Map<string, number> {
	const families = new Map<string, string>();
	const samples = new Map<string, number>();
	for (const line of text.trimEnd().split('\n')) {
		const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
		if (type !== null) families.set(type[1] as string, type[2] as string);
		if (line.startsWith('#')) continue;
		const sample = /^([a-z][\w:]*)(\{[^}]*\})? (\S+)$/.exec(line);
		if (sample === null) throw new Error(`not a sample: ${line}`);
		const [, name = '', labels = '', value = ''] = sample;
		const family = families.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
		if (!families.has(family)) throw new Error(`no TYPE for ${name}`);
		if (Number.isNaN(Number(value))) throw new Error(`not a number: ${line}`);
		samples.set(name + labels, Number(value));
	}
	return samples;
}

test('vLLM metrics count requests, tokens and latencies', async (t) => {
	const engine = await engineFor(t);
	const prompt = { messages: [{ role: 'user', content: 'x'.repeat(400) }] };
	for (let i = 0; i < 3; i++) t.is((await post(`${engine.url}/v1/chat/completions`, chatBody(10, prompt))).status, 200);
	const { text, headers } = await send(`${engine.url}/metrics`);
	t.regex(headers['content-type'] ?? '', /^text\/plain/);
	const samples = parseMetrics(text);
	const of = (name: string, labels = '') => samples.get(`vllm:${name}{engine="0",model_name="test-model"${labels}}`);
	t.is(of('generation_tokens_total'), 30);
	t.is(of('request_success_total', ',finished_reason="length"'), 3);
	t.is(of('time_to_first_token_seconds_count'), 3);
	t.is(of('time_to_first_token_seconds_bucket', ',le="+Inf"'), 3);
	t.is(of('inter_token_latency_seconds_count'), 27);
	t.is(of('e2e_request_latency_seconds_count'), 3);
	t.is(of('request_queue_time_seconds_count'), 3);
	t.is(of('request_generation_tokens_sum'), 30);
	t.is(of('request_prompt_tokens_sum'), of('prompt_tokens_total'));
	t.is(of('num_requests_running'), 0);
	t.is(of('num_requests_waiting'), 0);
	t.is(of('kv_cache_usage_perc'), 0);
	t.is(of('num_preemptions_total'), 0);
	t.true((of('prefix_cache_hits_total') ?? 0) > 0);
	t.true((of('prefix_cache_queries_total') ?? 0) > (of('prefix_cache_hits_total') ?? 0));
	t.regex(text, /^vllm:cache_config_info\{block_size="16",.*num_gpu_blocks="\d+"\} 1\.0$/m);
});

test('old vLLM names and SGLang names are served when asked for', async (t) => {
	const legacy = await engineFor(t, { metricsDialect: 'vllm-legacy' });
	const old = parseMetrics((await send(`${legacy.url}/metrics`)).text);
	for (const name of ['gpu_cache_usage_perc', 'gpu_prefix_cache_hits_total', 'time_per_output_token_seconds_sum']) {
		t.true(old.has(`vllm:${name}{model_name="test-model"}`), name);
	}
	t.false(old.has('vllm:kv_cache_usage_perc{model_name="test-model"}'));
	const engine = await engineFor(t, { metricsDialect: 'sglang' });
	await post(`${engine.url}/v1/chat/completions`, chatBody(5));
	const sglang = parseMetrics((await send(`${engine.url}/metrics`)).text);
	const labels = '{engine_type="unified",model_name="test-model",pp_rank="0",tp_rank="0"}';
	t.is(sglang.get(`sglang:generation_tokens_total${labels}`), 5);
	for (const name of ['num_running_reqs', 'num_queue_reqs', 'token_usage', 'gen_throughput', 'cache_hit_rate']) {
		t.true(sglang.has(`sglang:${name}${labels}`), name);
	}
});

test('a load report is sent in the format asked for', async (t) => {
	const engine = await engineFor(t);
	const ask = async (format: string, stream: boolean) =>
		(
			await post(`${engine.url}/v1/chat/completions`, chatBody(1, { stream }), {
				'endpoint-load-metrics-format': format,
			})
		).headers['endpoint-load-metrics'];
	t.regex(
		String(await ask('TEXT', false)),
		/^TEXT named_metrics\.kv_cache_usage_perc=[\d.e-]+, named_metrics\.num_requests_waiting=0\.0$/,
	);
	const json = String(await ask('json', true));
	t.true(json.startsWith('JSON '));
	t.is(
		(JSON.parse(json.slice(5)) as { named_metrics: Record<string, number> }).named_metrics['num_requests_waiting'],
		1,
	);
	t.is(await ask('PROTO', false), undefined);
});

test('bad input gets an OpenAI-shaped error that names the field', async (t) => {
	const engine = await engineFor(t, { bodyBytesMax: 2000 });
	const chat = `${engine.url}/v1/chat/completions`;
	const refused = async (body: unknown, status: number, param: string | null, url = chat) => {
		const reply = await post(url, body);
		t.is(reply.status, status, reply.text);
		const { error } = JSON.parse(reply.text) as { error: { message: string; type: string; param: unknown } };
		t.is(error.param, param, reply.text);
		t.is(error.type, 'invalid_request_error');
		t.regex(String(reply.headers['x-infermesh-error']), /^IM_ENGINE_/);
	};
	await refused('{"model": ', 400, null);
	await refused('[1]', 400, null);
	await refused({ model: 'test-model' }, 400, 'messages');
	await refused({ model: 'test-model', messages: [{}] }, 400, 'messages[0]');
	await refused(chatBody(1, { model: 'nope' }), 404, 'model');
	await refused(chatBody(1, { model: undefined }), 400, 'model');
	await refused(chatBody(0), 400, 'max_tokens');
	await refused(chatBody(1, { n: 1000 }), 400, 'n');
	await refused(chatBody(1, { stream_options: {} }), 400, 'stream_options');
	await refused(chatBody(1, { tool_choice: 'required' }), 400, 'tool_choice');
	await refused(chatBody(1, { stop: [''] }), 400, 'stop');
	await refused({ model: 'test-model', prompt: [] }, 400, 'prompt', `${engine.url}/v1/completions`);
	await refused({ model: 'test-model', input: 5 }, 400, 'input', `${engine.url}/v1/embeddings`);
	await refused(chatBody(1, { user: 'x'.repeat(3000) }), 413, null);
	t.is((await send(`${engine.url}/nope`)).status, 404);
	t.is((await send(`${engine.url}/toString`)).status, 404);
	const wrongMethod = await send(`${engine.url}/v1/chat/completions`);
	t.is(wrongMethod.status, 405);
	t.is(wrongMethod.headers.allow, 'POST');
});

test('an oversized body sent in chunks is refused and the connection stays in step', async (t) => {
	const engine = await engineFor(t, { bodyBytesMax: 1000 });
	const raw = new RawConnection(engine.port);
	const chunk = `400\r\n${'x'.repeat(1024)}\r\n`;
	raw.socket.write(
		`POST /v1/completions HTTP/1.1\r\nhost: e\r\ntransfer-encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`,
	);
	raw.socket.write('GET /version HTTP/1.1\r\nhost: e\r\n\r\n');
	await until(async () => (await tick(), raw.received.includes('infermesh.emulated')), 'the second answer');
	t.regex(raw.received, /^HTTP\/1\.1 413 [\s\S]*HTTP\/1\.1 200 /);
	raw.socket.destroy();
});

test('health, version, tokens', async (t) => {
	const engine = await engineFor(t);
	t.is((await send(`${engine.url}/health?x=1`)).status, 200);
	t.regex((await send(`${engine.url}/version`)).text, /"version"/);
	const reply = await post(`${engine.url}/tokenize`, { model: 'test-model', prompt: 'abcdef' });
	t.like(JSON.parse(reply.text), { count: 2, tokens: [0x64636261, 0x6665], token_strs: null });
});

test('two engines with one seed say the same, another seed says something else', async (t) => {
	const say = async (seed: number) => {
		const engine = await engineFor(t, { seed });
		const { text } = await post(`${engine.url}/v1/chat/completions`, chatBody(20));
		const { id, choices } = JSON.parse(text) as { id: string; choices: unknown };
		return { id, choices };
	};
	const first = await say(1);
	t.deepEqual(await say(1), first);
	t.notDeepEqual(await say(2), first);
});

test('speed is kept although steps are shorter than timers', async (t) => {
	const engine = await engineFor(t, { speed: 20, model: { ingestUs: 0 } });
	const started = realClock.nowMs();
	t.is((await post(`${engine.url}/v1/chat/completions`, chatBody(1000))).status, 200);
	const elapsedMs = realClock.nowMs() - started;
	const slipMs = 1000 * (await metric(engine, 'infermesh_engine_time_slip_seconds_total'));
	const reportedMs = 1000 * (await metric(engine, 'vllm:e2e_request_latency_seconds_sum'));
	// 1,000 decode steps of about 7.8 ms at 20 times the speed are 390 ms; a timer a step would take over a second.
	t.true(reportedMs > 300 && reportedMs < 500, `${reportedMs} ms reported`);
	t.true(elapsedMs >= reportedMs * 0.95, `${elapsedMs} ms elapsed`);
	t.true(elapsedMs - slipMs < reportedMs * 2, `${elapsedMs} ms elapsed, ${slipMs} ms slipped`);
});

test('fault: errors come with the status and share asked for, and the same seed gives the same ones', async (t) => {
	const run = async () => {
		const engine = await engineFor(t, { seed: 5, faults: { error: { status: 429, probability: 0.5 } } });
		const statuses = [];
		for (let i = 0; i < 20; i++) statuses.push((await post(`${engine.url}/v1/chat/completions`, chatBody(1))).status);
		return statuses;
	};
	const statuses = await run();
	t.deepEqual(new Set(statuses.toSorted((a, b) => a - b)), new Set([200, 429]));
	t.deepEqual(await run(), statuses);
});

test('fault: switches change at run time, are listed with their counts, and refuse what they do not know', async (t) => {
	const engine = await engineFor(t);
	const set = (patch: unknown) => post(`${engine.url}/_fault`, patch);
	t.is((await set({ error: { status: 500 } })).status, 200);
	const failed = await post(`${engine.url}/v1/chat/completions`, chatBody(1));
	t.is(failed.status, 500);
	t.is(failed.headers['x-infermesh-error'], 'IM_ENGINE_FAULT_INJECTED');
	t.is((await send(`${engine.url}/health`)).status, 200, 'faults touch work only');
	await set({ slow: { factor: 3 } });
	const listed = JSON.parse((await send(`${engine.url}/_fault`)).text) as unknown;
	t.like(listed, { faults: { error: { status: 500 }, slow: { factor: 3 } }, fired: { error: 1, hang: 0 } });
	t.is((await set({ error: null, slow: null })).status, 200);
	t.is((await post(`${engine.url}/v1/chat/completions`, chatBody(1))).status, 200);
	for (const wrong of [
		{ eror: {} },
		{ error: {} },
		{ error: { status: 99 } },
		{ hang: { propability: 1 } },
		{ slow: 4 },
	]) {
		t.is((await set(wrong)).status, 400, JSON.stringify(wrong));
	}
	t.deepEqual((JSON.parse((await send(`${engine.url}/_fault`)).text) as { faults: unknown }).faults, {});
	t.throws(() => engine.setFaults({ slow: { factor: -1 } }), { instanceOf: MeshError });
});

test('fault: a slow engine takes as many times longer', async (t) => {
	const engine = await engineFor(t, { speed: 10 });
	const reported = async () => {
		const before = await metric(engine, 'vllm:inter_token_latency_seconds_sum');
		await post(`${engine.url}/v1/chat/completions`, chatBody(20));
		return (await metric(engine, 'vllm:inter_token_latency_seconds_sum')) - before;
	};
	const healthy = await reported();
	engine.setFaults({ slow: { factor: 4 } });
	const ratio = (await reported()) / healthy;
	t.true(Math.abs(ratio - 4) < 0.2, `${ratio} times slower`);
});

test('fault: a hung request gets no byte and holds no engine resources', async (t) => {
	const engine = await engineFor(t, { faults: { hang: {} } });
	const raw = new RawConnection(engine.port);
	raw.request('/v1/chat/completions', chatBody(5));
	await until(async () => (await faultCount(engine.url, 'hang')) === 1, 'the hang fires');
	engine.setFaults({ hang: null });
	t.is((await post(`${engine.url}/v1/chat/completions`, chatBody(5))).status, 200);
	t.is(raw.received, '');
	raw.socket.destroy();
});

test('fault: a stream goes silent after its tokens, with the connection open', async (t) => {
	const engine = await engineFor(t, { faults: { hangAfterTokens: { tokens: 3 } } });
	const raw = new RawConnection(engine.port);
	raw.request('/v1/chat/completions', chatBody(50, { stream: true }));
	await until(async () => (await tick(), contents(raw.received) === 3), 'three tokens');
	await until(async () => (await metric(engine, 'vllm:num_requests_running')) === 0, 'the sequence is gone');
	t.is(contents(raw.received), 3);
	t.false(raw.received.includes('[DONE]'));
	t.false(raw.socket.closed);
	raw.socket.destroy();
});

test('fault: the socket dies after so many tokens of a stream, and before any byte of a whole answer', async (t) => {
	const engine = await engineFor(t, { faults: { dieAfterTokens: { tokens: 3 } } });
	const raw = new RawConnection(engine.port);
	raw.request('/v1/chat/completions', chatBody(50, { stream: true }));
	await raw.closed;
	t.is(contents(raw.received), 3);
	t.false(raw.received.includes('[DONE]'));
	await t.throwsAsync(post(`${engine.url}/v1/chat/completions`, chatBody(50)), {
		message: /socket hang up|ECONNRESET/,
	});
	t.is((await post(`${engine.url}/v1/chat/completions`, chatBody(3))).status, 200, 'a short answer survives');
});

test('fault: a content-length may promise too much or too little', async (t) => {
	const engine = await engineFor(t, { faults: { wrongLength: { deltaBytes: 10 } } });
	await t.throwsAsync(post(`${engine.url}/v1/chat/completions`, chatBody(3)), { message: /aborted/ });
	engine.setFaults({ wrongLength: { deltaBytes: -5 } });
	const raw = new RawConnection(engine.port);
	raw.request('/v1/chat/completions', chatBody(3));
	await until(async () => (await tick(), raw.received.endsWith('}}}')), 'the whole body');
	const [head = '', body = ''] = raw.received.split('\r\n\r\n');
	t.is(Number(/content-length: (\d+)/i.exec(head)?.[1]), Buffer.byteLength(body) - 5);
	raw.socket.destroy();
});

test('fault: connections are reset as they are accepted, as many as asked', async (t) => {
	const engine = await engineFor(t, { faults: { resetOnAccept: { connectionsMax: 2 } } });
	await t.throwsAsync(send(`${engine.url}/health`), { message: /ECONNRESET|hang up/ });
	await t.throwsAsync(send(`${engine.url}/health`), { message: /ECONNRESET|hang up/ });
	t.is((await send(`${engine.url}/health`)).status, 200);
});

test('a client that hangs up while its whole answer is made frees the sequence', async (t) => {
	const engine = await engineFor(t, { speed: 1 });
	const raw = new RawConnection(engine.port);
	raw.request('/v1/chat/completions', chatBody(100_000));
	await until(async () => (await metric(engine, 'vllm:num_requests_running')) === 1, 'it runs');
	raw.socket.destroy();
	await until(async () => (await metric(engine, 'vllm:kv_cache_usage_perc')) === 0, 'KV is freed');
	t.is(
		await metric(engine, 'vllm:request_success_total{engine="0",model_name="test-model",finished_reason="abort"'),
		1,
	);
});

test('a reader too slow for its stream is cut off', async (t) => {
	const engine = await engineFor(t, { speed: 1000, streamBufferBytesMax: 10_000 });
	const raw = new RawConnection(engine.port);
	raw.socket.pause();
	raw.request('/v1/chat/completions', chatBody(100_000, { stream: true }));
	const aborted = 'vllm:request_success_total{engine="0",model_name="test-model",finished_reason="abort"';
	await until(async () => (await metric(engine, aborted)) === 1, 'the stream is cut');
	t.is(await metric(engine, 'vllm:num_requests_running'), 0);
	raw.socket.destroy();
});

test('a full queue is a 503 that says when to come back', async (t) => {
	const engine = await engineFor(t, { speed: 1, model: { sequencesMax: 1, waitingMax: 1 } });
	const first = new RawConnection(engine.port);
	first.request('/v1/chat/completions', chatBody(100_000));
	await until(async () => (await metric(engine, 'vllm:num_requests_running')) === 1, 'the first runs');
	const second = new RawConnection(engine.port);
	second.request('/v1/chat/completions', chatBody(100_000));
	await until(async () => (await metric(engine, 'vllm:num_requests_waiting')) === 1, 'the second waits');
	const third = await post(`${engine.url}/v1/chat/completions`, chatBody(1));
	t.is(third.status, 503);
	t.is(third.headers['x-infermesh-error'], 'IM_ENGINE_QUEUE_FULL');
	t.is(third.headers['retry-after'], '1');
	first.socket.destroy();
	second.socket.destroy();
});

test('close lets requests in flight finish and takes no new ones', async (t) => {
	const engine = await engineFor(t, { speed: 20, drainTimeoutMs: 5000 });
	const raw = new RawConnection(engine.port);
	raw.request('/v1/chat/completions', chatBody(300, { stream: true }));
	await until(async () => (await tick(), contents(raw.received) > 0), 'the stream has begun');
	await engine.close();
	await raw.closed;
	t.is(contents(raw.received), 300);
	t.true(raw.received.includes('[DONE]'));
	await t.throwsAsync(send(`${engine.url}/health`), { code: 'ECONNREFUSED' });
});

test('close cuts what is left when the drain time is over', async (t) => {
	const engine = await engineFor(t, { faults: { hang: {} }, drainTimeoutMs: 30 });
	const raw = new RawConnection(engine.port);
	raw.request('/v1/chat/completions', chatBody(5));
	await until(async () => (await faultCount(engine.url, 'hang')) === 1, 'the hang fires');
	await engine.close();
	await raw.closed;
	t.is(raw.received, '');
});

test('wrong options are refused by name before anything listens', async (t) => {
	const refused = async (options: Parameters<typeof startEngine>[0], where: string) => {
		const error = await t.throwsAsync(startEngine(options), { instanceOf: MeshError });
		t.is(error.where, where);
	};
	const base = { clock: realClock, models: ['m'] };
	await refused({ ...base, models: [] }, 'models');
	await refused({ ...base, speed: 0 }, 'speed');
	await refused({ ...base, port: 70_000 }, 'port');
	await refused({ ...base, model: { stepTokensMax: 0 } }, 'stepTokensMax');
	await refused({ ...base, outputLengths: { medianTokens: 0, sigma: 1 } }, 'outputLengths');
});

/** Lets sockets move on between two looks at them. */
function tick(): Promise<void> {
	return new Promise((resolve) => {
		setImmediate(resolve);
	});
}

/** Content deltas with text in a raw stream. */
function contents(received: string): number {
	return received.match(/"delta":\{"content":"[^"]/g)?.length ?? 0;
}

async function faultCount(url: string, name: string): Promise<number> {
	const { fired } = JSON.parse((await send(`${url}/_fault`)).text) as { fired: Record<string, number> };
	return fired[name] ?? 0;
}
