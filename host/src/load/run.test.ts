// Load runs against a real server on a free port: what is measured, and how every way to fail is told apart.
import test from 'ava';
import { Check, Errors } from 'typebox/value';
import type { LoadOptions } from './options.js';
import { type LoadResult, LoadResultSchema } from './result.js';
import { runLoad } from './run.js';
import { type Answer, isMeshError, realClock, sse, startServer, streamTokens } from './testing.js';
import { type SyntheticOptions, syntheticTrace } from './trace/synthetic.js';

const SHORT: SyntheticOptions = {
	ratePerSecond: 200,
	arrivals: { kind: 'constant' },
	input: { kind: 'fixed', tokens: 20 },
	output: { kind: 'fixed', tokens: 5 },
};

/** An objective that a slow machine holds too. */
const PATIENT = 'ttft<60s,e2e<60s';

async function load(
	answer: Answer,
	options: Partial<LoadOptions> = {},
	workload: SyntheticOptions = {},
	signal?: AbortSignal,
): Promise<LoadResult> {
	const server = await startServer(answer);
	try {
		return await runLoad(
			{ url: server.url, model: 'm', requests: 10, slo: PATIENT, ...options },
			{
				clock: realClock,
				source: syntheticTrace({ ...SHORT, ...workload }),
				...(signal === undefined ? {} : { signal }),
			},
		);
	} finally {
		await server.close();
	}
}

test('a stream is measured from its intended time to its tokens and end', async (t) => {
	const result = await load((response, seen) => streamTokens(response, seen.body.max_tokens, 10));
	t.deepEqual(result.requests, { offered: 10, sent: 10, completed: 10, failed: 0, dropped: 0, aborted: 0 });
	t.is(result.outputTokens, 50);
	t.is(result.inputTokens, 200);
	t.is(result.latency.ttftMs?.count, 10);
	t.is(result.latency.itlMs?.count, 40);
	const { ttftMs, tpotMs, e2eMs } = result.latency;
	t.true((ttftMs?.min ?? 0) >= 8, 'the first token comes after one gap');
	t.true((e2eMs?.min ?? 0) >= 45, 'five gaps');
	const span = (e2eMs?.mean ?? 0) - (ttftMs?.mean ?? 0);
	t.true((tpotMs?.mean ?? 0) > 0 && 4 * (tpotMs?.mean ?? 0) <= span, 'four gaps lie between first token and end');
	t.is(result.failRate, 0);
	t.is(result.goodput?.share, 1);
	t.is(sum(result.timeline.outputTokens), 50);
	t.is(sum(result.timeline.sent), 10);
	t.false(result.partial);
	t.true(Check(LoadResultSchema, result), JSON.stringify([...Errors(LoadResultSchema, result)].slice(0, 3)));
});

test('bodies carry the model, exact prompt bytes, token limit and usage request; headers carry key and session', async (t) => {
	const server = await startServer((response) => streamTokens(response, 1));
	t.teardown(() => server.close());
	const source = syntheticTrace({ ...SHORT, prefixes: { count: 1, share: 1 }, sessions: { active: 1, turns: 1 } });
	const options: LoadOptions = {
		url: `${server.url}/v1/`,
		model: 'llama "3"',
		requests: 2,
		apiKey: 'k',
		headers: { 'x-tenant': 'a' },
		extraBody: { ignore_eos: true },
	};
	await runLoad(options, { clock: realClock, source });
	const [first, second] = server.seen;
	t.is(first?.path, '/v1/chat/completions');
	t.is(first?.headers.authorization, 'Bearer k');
	t.is(first?.headers['x-tenant'], 'a');
	t.is(first?.headers['x-session-id'], 'session-1');
	t.is(second?.headers['x-session-id'], 'session-2');
	t.like(first?.body, {
		model: 'llama "3"',
		stream: true,
		max_tokens: 5,
		ignore_eos: true,
		stream_options: { include_usage: true },
	});
	t.is(Buffer.byteLength(first?.body.messages[0]?.content ?? ''), 80);
});

test('without streaming only the end is measured, tokens come from usage', async (t) => {
	const answer: Answer = (response) => {
		response.setHeader('content-type', 'application/json');
		response.end(JSON.stringify({ choices: [{ message: { content: 'x' } }], usage: { completion_tokens: 7 } }));
	};
	const result = await load(answer, { stream: false });
	t.is(result.requests.completed, 10);
	t.is(result.outputTokens, 70);
	t.is(result.latency.ttftMs, null);
	t.is(result.latency.tpotMs, null);
	t.is(result.latency.e2eMs?.count, 10);
	t.is(sum(result.timeline.outputTokens), 70);
	t.is(result.goodput?.share, 1);
});

test('every way a request fails is counted under its own cause', async (t) => {
	const answers: Answer[] = [
		(response) => void response.writeHead(429, { 'x-infermesh-error': 'IM_ROUTER_SATURATED' }).end('{}'),
		(response) => void response.writeHead(500, { 'x-infermesh-error': '<script>' }).end('oops'),
		(response) => void response.socket?.destroy(),
		(response) => {
			response.writeHead(200, { 'content-type': 'text/event-stream' });
			response.write(sse({ choices: [{ delta: { content: 'a' } }] }), () => response.socket?.destroy());
		},
		(response) => void response.writeHead(200).end(sse({ choices: [{ delta: { content: 'a' } }] })),
		(response) =>
			void response.writeHead(200).end(`${sse({ error: { code: 'engine_died', message: 'm' } })}data: [DONE]\n\n`),
		(response) => streamTokens(response, 2),
	];
	const result = await load((response, seen, index) => answers[index]?.(response, seen, index), {
		requests: answers.length,
		concurrency: 1,
	});
	t.deepEqual(causes(result), [
		'http 429 IM_ROUTER_SATURATED',
		'http 500',
		'reset UND_ERR_SOCKET',
		'stream_error engine_died',
		'truncated UND_ERR_SOCKET',
		'truncated no [DONE]',
	]);
	t.is(result.requests.completed, 1);
	t.is(result.failRate, 6 / 7);
	t.is(result.latency.ttftMs?.count, 1, 'failed requests add no latency');
	t.is(result.goodput?.requests, 1);
});

test('a request that takes too long is a timeout, before its headers or inside its body', async (t) => {
	const result = await load(
		(response, _seen, index) => {
			if (index === 0) response.writeHead(200).write(sse({ choices: [{ delta: { content: 'a' } }] }));
		},
		// Both wait at once. On a slow machine the first bytes must be here well before.
		{ requests: 2, requestTimeoutMs: 4000, concurrency: 2 },
	);
	t.deepEqual(causes(result), ['timeout body', 'timeout headers']);
	t.is(result.failRate, 1);
});

test('a whole answer that is no completion fails as protocol', async (t) => {
	const result = await load((response) => void response.end('<html>'), { stream: false, requests: 2 });
	t.deepEqual(result.failures, [{ kind: 'protocol', detail: 'not a completion', count: 2 }]);
});

test('a server that is not there ends the run soon with its own error', async (t) => {
	const server = await startServer(() => {});
	await server.close();
	const run = runLoad(
		{ url: server.url, model: 'm', connectFailuresMax: 5 },
		{ clock: realClock, source: syntheticTrace(SHORT) },
	);
	const error = await t.throwsAsync(run);
	t.true(isMeshError(error, 'IM_LOAD_UNREACHABLE'), error?.message);
	t.regex(error?.message ?? '', /ECONNREFUSED/);
});

test('requests beyond maxInFlight are dropped, counted and fail the run', async (t) => {
	const result = await load((response) => streamTokens(response, 1, 300), {
		requests: 20,
		maxInFlight: 3,
		thresholds: ['fail.rate<=0, drop.count<1'],
	});
	t.is(result.requests.offered, 20);
	t.is(result.requests.sent + result.requests.dropped, 20);
	t.true(result.requests.dropped > 0);
	t.is(result.failRate, result.requests.dropped / 20);
	t.true(Math.max(...result.timeline.inFlight) <= 3);
	t.deepEqual(
		result.thresholds.map((threshold) => threshold.passed),
		[false, false],
	);
	t.false(result.passed);
});

test('a stalled server shows in latencies from the intended time, not only in the few requests it stalls', async (t) => {
	// Every answer is held until 300 ms after the first request; the open loop keeps sending, so late ones wait less.
	let release = 0;
	const result = await load(
		async (response, _seen, index) => {
			if (index === 0) release = performance.now() + 300;
			await new Promise((resolve) => setTimeout(resolve, Math.max(0, release - performance.now())));
			await streamTokens(response, 1);
		},
		{ requests: 40 },
	);
	t.is(result.requests.completed, 40);
	t.true((result.latency.ttftMs?.mean ?? 0) > 120, `mean TTFT ${result.latency.ttftMs?.mean}`);
});

test('closed loop keeps the given number under way and reuses connections', async (t) => {
	// Each four wait for one another: a loop with fewer under way would never end, one with more would be counted.
	const waiting: (() => void)[] = [];
	let underWay = 0;
	let most = 0;
	const server = await startServer(async (response) => {
		most = Math.max(most, ++underWay);
		await new Promise<void>((resolve) => {
			waiting.push(resolve);
			if (waiting.length === 4) for (const go of waiting.splice(0)) go();
		});
		await streamTokens(response, 1);
		underWay--;
	});
	t.teardown(() => server.close());
	const source = syntheticTrace(SHORT);
	const result = await runLoad(
		{ url: server.url, model: 'm', requests: 40, concurrency: 4 },
		{ clock: realClock, source },
	);
	t.is(result.mode, 'closed');
	t.is(result.requests.completed, 40);
	t.is(most, 4);
	t.true(server.connections() <= 5, `${server.connections()} connections`);
});

test('speed compresses the clock of the workload, duration ends it', async (t) => {
	const result = await load(
		(response) => streamTokens(response, 1),
		{ requests: 1000, speed: 4, durationMs: 200 },
		{ ratePerSecond: 50 },
	);
	t.is(result.requests.offered, 40, '50/s at four times the speed for 0.2 s');
	t.true(result.elapsedMs >= 190);
});

test('an abort cancels what is under way and marks the result partial', async (t) => {
	const stop = new AbortController();
	const result = await load(
		(response, _seen, index) => {
			if (index === 4) setImmediate(() => stop.abort());
			if (index < 2) return streamTokens(response, 1);
			response.writeHead(200).write(sse({ choices: [{ delta: { content: 'a' } }] }));
			return undefined;
		},
		{ requests: 1000 },
		{ ratePerSecond: 20 },
		stop.signal,
	);
	t.true(result.partial);
	t.is(result.requests.completed, 2);
	t.is(result.requests.failed, 0);
	t.is(result.requests.sent, 2 + result.requests.aborted);
	t.true(result.requests.aborted >= 3);
});

test('targets, strategies and the moment of a swap are told from response headers', async (t) => {
	const result = await load(
		(response, _seen, index) =>
			streamTokens(response, 2, 0, {
				'x-infermesh-target': `engine-${index % 3}`,
				'x-infermesh-strategy': index < 60 ? 'least_queue@1.0.0' : 'mine@0.2.0',
			}),
		{ requests: 120 },
	);
	const answered = Object.fromEntries(result.targets.map((group) => [group.name, group.requests]));
	t.deepEqual(answered, { 'engine-0': 40, 'engine-1': 40, 'engine-2': 40 });
	t.deepEqual(
		result.strategies.map((group) => [group.name, group.requests, group.failed]),
		[
			['least_queue@1.0.0', 60, 0],
			['mine@0.2.0', 60, 0],
		],
	);
	t.is(result.switches.length, 1);
	t.like(result.switches[0], { from: 'least_queue@1.0.0', to: 'mine@0.2.0' });
	const atMs = result.switches[0]?.atMs ?? 0;
	t.true(atMs >= 290 && atMs <= result.elapsedMs, `switch at ${atMs} of ${result.elapsedMs}`);
	t.is(sum(result.timeline.strategies['mine@0.2.0'] ?? []), 60);
});

test('progress snapshots follow the run', async (t) => {
	const server = await startServer((response) => streamTokens(response, 2, 1));
	const sent: number[] = [];
	await runLoad(
		{ url: server.url, model: 'm', requests: 40, progressPeriodMs: 10 },
		{ clock: realClock, source: syntheticTrace(SHORT), onProgress: (snapshot) => sent.push(snapshot.sent) },
	);
	await server.close();
	t.true(sent.length >= 3);
	t.is(sent.at(-1), 40);
	t.deepEqual(
		sent,
		[...sent].sort((left, right) => left - right),
	);
});

for (const [name, options, code, text] of [
	['url', { url: 'mesh' }, 'IM_LOAD_OPTION', /url must be an http/],
	['url with a password', { url: 'http://a:b@c' }, 'IM_LOAD_OPTION', /credentials/],
	['speed', { speed: 0 }, 'IM_LOAD_OPTION', /speed must be from/],
	['requests', { requests: 1.5 }, 'IM_LOAD_OPTION', /whole number/],
	['slo', { slo: 'foo<1s' }, 'IM_THRESHOLD_METRIC', /unknown metric foo/],
	[
		'goodput without an objective',
		{ slo: '', thresholds: ['goodput>=99%'] },
		'IM_THRESHOLD_METRIC',
		/unknown metric goodput/,
	],
	['a sized metric', { thresholds: ['ttft.p99@16<1s'] }, 'IM_THRESHOLD_METRIC', /ttft\.p99@16/],
] as const) {
	test(`a bad option is refused before anything is sent: ${name}`, async (t) => {
		const source = syntheticTrace(SHORT);
		const error = await t.throwsAsync(
			runLoad({ url: 'http://127.0.0.1:1', model: 'm', ...options }, { clock: realClock, source }),
		);
		t.true(isMeshError(error, code), error?.message);
		t.regex(error?.message ?? '', text);
	});
}

/** What requests failed of, sorted; a broken socket by either of its names. */
function causes(result: LoadResult): string[] {
	return result.failures.map(({ kind, detail }) => `${kind} ${detail.replace('ECONNRESET', 'UND_ERR_SOCKET')}`).sort();
}

function sum(values: readonly number[]): number {
	return values.reduce((total, value) => total + value, 0);
}
