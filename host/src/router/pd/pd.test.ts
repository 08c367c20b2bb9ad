// Pairs of a prefill and a decode target as the router drives them: real emulated engines that hand KV over, in vLLM's way and in SGLang's; what happens
// when either side fails; and fetching a prefix.
import { Phase } from '@infermesh/sdk';
import test, { type ExecutionContext } from 'ava';
import { engineFor, metric } from '../../engine/server/engine-server.test-support.js';
import type { EngineOptions } from '../../engine/server/options.js';
import type { AttemptOutcome, UpstreamTarget } from '../ports.js';
import {
	chatBody,
	fakeEngine,
	firstRow,
	post,
	startRouter,
	type TestRouter,
	type TestRouterOptions,
	until,
} from '../testing/kit.js';

type Role = 'prefill' | 'decode' | 'both';

const CONTENT = 'the quick brown fox jumps over the lazy dog '.repeat(40);
const body = (more: object = {}): string =>
	chatBody({ messages: [{ role: 'user', content: CONTENT }], max_tokens: 6, ignore_eos: true, seed: 3, ...more });

const ways = {
	vllm: { metricsDialect: 'vllm', protocol: 'nixl' },
	sglang: { metricsDialect: 'sglang', protocol: 'bootstrap' },
} as const;
type Runtime = keyof typeof ways;

async function openMesh(
	t: ExecutionContext,
	runtime: Runtime,
	roles: readonly Role[],
	more: { engines?: readonly Partial<EngineOptions>[]; router?: Partial<TestRouterOptions> } = {},
) {
	const { metricsDialect, protocol } = ways[runtime];
	const engines = await Promise.all(
		roles.map((role, index) =>
			engineFor(t, { models: ['m'], metricsDialect, transfer: { protocol, role }, ...more.engines?.[index] }),
		),
	);
	const each = engines.map(({ port }, index): Partial<UpstreamTarget> => {
		const role = roles[index] ?? 'both';
		return { runtime, role, bootstrapPort: port };
	});
	const mesh = await startRouter({ origins: engines.map(({ url }) => url), each, ...more.router });
	t.teardown(() => mesh.close());
	return { mesh, engines };
}

const shape = ({ target, status, leg }: AttemptOutcome): unknown[] => [target.id, status, leg];

async function settled(t: ExecutionContext, mesh: TestRouter, outcomes: number): Promise<void> {
	await until('all attempts have ended', () => mesh.router.inflight() === 0 && mesh.outcomes.length === outcomes);
	t.deepEqual([mesh.open(), mesh.endedTwice(), mesh.errors], [0, 0, []]);
}

interface Whole {
	readonly choices: unknown;
	readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } };
}

for (const runtime of ['vllm', 'sglang'] as const) {
	test(`${runtime}: a strategy that knows nothing of roles is asked for each side, and the answer is that of one engine`, async (t) => {
		const { mesh, engines } = await openMesh(t, runtime, ['prefill', 'decode']);
		const alone = await engineFor(t, { models: ['m'] });
		const response = await post(`${mesh.url}/v1/chat/completions`, body());
		const paired = (await response.json()) as Whole;
		t.is(response.headers.get('x-infermesh-target'), 't1');
		t.deepEqual(
			paired.choices,
			((await (await post(`${alone.url}/v1/chat/completions`, body())).json()) as Whole).choices,
		);
		t.true(paired.usage.prompt_tokens_details.cached_tokens > 400);
		await settled(t, mesh, 2);
		t.deepEqual(mesh.outcomes.map(shape), [
			['t0', 'ok', 'prefill'],
			['t1', 'ok', 'decode'],
		]);
		t.deepEqual(
			mesh.decided.map(({ features, excluded }) => [features.phase, features.prefillRow, excluded]),
			[
				[Phase.prefill, -1, [1]],
				[Phase.decode, 0, [0]],
			],
		);
		t.is(engines.length, 2);
	});

	test(`${runtime}: streams are paired too, and their first token is counted from the dispatch of the prefill`, async (t) => {
		const { mesh } = await openMesh(t, runtime, ['prefill', 'decode']);
		const response = await post(`${mesh.url}/v1/chat/completions`, body({ stream: true }));
		const text = await response.text();
		t.true(text.endsWith('data: [DONE]\n\n'));
		await settled(t, mesh, 2);
		const [prefill, decode] = mesh.outcomes;
		t.true((decode?.ttftMs ?? 0) > 0 && (prefill?.ttftMs ?? 0) > 0);
		if (runtime === 'vllm') t.true((decode?.ttftMs ?? 0) >= (prefill?.ttftMs ?? 0));
	});

	test(`${runtime}: a prefill that fails is blamed alone; the pair is decided again`, async (t) => {
		const faults = { error: { status: 500 } };
		const { mesh } = await openMesh(t, runtime, ['prefill', 'prefill', 'decode'], { engines: [{ faults }] });
		const response = await post(`${mesh.url}/v1/chat/completions`, body());
		t.is(response.status, 200);
		await response.text();
		await settled(t, mesh, 4);
		t.deepEqual(mesh.outcomes.map(shape), [
			['t0', 'upstream_error', 'prefill'],
			['t2', 'cancelled', 'decode'],
			['t1', 'ok', 'prefill'],
			['t2', 'ok', 'decode'],
		]);
	});

	test(`${runtime}: a decode that fails is decided again, with another`, async (t) => {
		const faults = { error: { status: 503 } };
		const { mesh } = await openMesh(t, runtime, ['prefill', 'decode', 'decode'], { engines: [{}, { faults }] });
		const response = await post(`${mesh.url}/v1/chat/completions`, body());
		t.is(response.status, 200);
		t.is(response.headers.get('x-infermesh-target'), 't2');
		await response.text();
		await settled(t, mesh, 4);
		t.deepEqual(mesh.outcomes.filter(({ leg }) => leg === 'decode').map(shape), [
			['t1', 'rejected', 'decode'],
			['t2', 'ok', 'decode'],
		]);
	});

	test(`${runtime}: a client that leaves ends both sides`, async (t) => {
		const faults = { slow: { factor: 1e5 } };
		const { mesh, engines } = await openMesh(t, runtime, ['prefill', 'decode'], { engines: [{ faults }] });
		const cancel = new AbortController();
		const request = fetch(`${mesh.url}/v1/chat/completions`, {
			method: 'POST',
			body: body({ stream: true }),
			headers: { 'content-type': 'application/json' },
			signal: cancel.signal,
		});
		const series = runtime === 'vllm' ? 'vllm:num_requests_running{' : 'sglang:num_running_reqs{';
		const [prefill] = engines;
		const running = async () => metric(prefill as NonNullable<typeof prefill>, series);
		await until('the prefill runs', () => running().then((count) => count === 1), 10_000);
		cancel.abort();
		await t.throwsAsync(request);
		await settled(t, mesh, 2);
		t.deepEqual(
			mesh.outcomes.map(({ status }) => status),
			['cancelled', 'cancelled'],
		);
	});
}

test('vllm: without a prefill target a decode target computes the prompt itself; sglang has no such target', async (t) => {
	const { mesh } = await openMesh(t, 'vllm', ['prefill', 'decode'], {
		engines: [{ faults: { error: { status: 503 } } }],
	});
	const response = await post(`${mesh.url}/v1/chat/completions`, body());
	t.is(response.status, 200);
	t.is(response.headers.get('x-infermesh-target'), 't1');
	await response.text();
	await settled(t, mesh, 3);
	t.deepEqual(shape(mesh.outcomes[2] as AttemptOutcome), ['t1', 'ok', 'whole']);
	const strict = await openMesh(t, 'sglang', ['prefill', 'decode', 'both'], {
		engines: [{ faults: { error: { status: 503 } } }],
	});
	const answered = await post(`${strict.mesh.url}/v1/chat/completions`, body());
	t.is(answered.status, 200);
	t.is(answered.headers.get('x-infermesh-target'), 't2');
	await answered.text();
});

test('a row that does both serves alone when the strategy prefers it for the prefill', async (t) => {
	const { mesh } = await openMesh(t, 'vllm', ['both', 'prefill', 'decode']);
	await (await post(`${mesh.url}/v1/chat/completions`, body())).text();
	await settled(t, mesh, 1);
	t.deepEqual(mesh.outcomes.map(shape), [['t0', 'ok', 'whole']]);
});

test('where all targets do both a strategy may name the pair itself', async (t) => {
	const first = firstRow(3);
	const { mesh } = await openMesh(t, 'vllm', ['both', 'both', 'both'], {
		router: {
			decide: (out, excluded) => {
				first(out, excluded);
				out.prefillRow = excluded.includes(2) ? -1 : 2;
			},
		},
	});
	await (await post(`${mesh.url}/v1/chat/completions`, body())).text();
	await settled(t, mesh, 2);
	t.deepEqual(mesh.outcomes.map(shape), [
		['t2', 'ok', 'prefill'],
		['t0', 'ok', 'decode'],
	]);
});

test('the answer to a request that is wrong is the prefill’s, and what a client says of handovers does not reach engines', async (t) => {
	const { mesh } = await openMesh(t, 'vllm', ['prefill', 'decode']);
	const response = await post(`${mesh.url}/v1/chat/completions`, body({ temperature: 1, messages: [] }));
	t.is(response.status, 400);
	await settled(t, mesh, 2);
	const seen = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'application/json' });
		res.end('{"choices":[],"kv_transfer_params":{"remote_host":"h"}}');
	});
	t.teardown(() => seen.close());
	const pair = await startRouter({
		origins: [seen.origin, seen.origin],
		each: [
			{ runtime: 'vllm', role: 'prefill' },
			{ runtime: 'vllm', role: 'decode' },
		],
	});
	t.teardown(() => pair.close());
	const given = { kv_transfer_params: { do_remote_prefill: true, remote_host: 'evil' }, max_completion_tokens: 9 };
	await (await post(`${pair.url}/v1/chat/completions`, body(given))).text();
	const [prefill, decode] = seen.seen.map((one) => JSON.parse(one.body) as Record<string, unknown>);
	t.like(prefill, {
		stream: false,
		max_tokens: 1,
		max_completion_tokens: 1,
		kv_transfer_params: { do_remote_decode: true },
	});
	t.deepEqual(decode?.['kv_transfer_params'], { remote_host: 'h' });
	t.is(decode?.['max_completion_tokens'], 9);
	t.false(JSON.stringify([prefill, decode]).includes('evil'));
});

test('a target that fetches prefixes is told where one is, others are not', async (t) => {
	const first = firstRow(2);
	let fetches = -1;
	const holder = await engineFor(t, { models: ['m'] });
	const target = await engineFor(t, { models: ['m'] });
	const mesh = await startRouter({
		origins: [target.url, holder.url],
		each: [{ fetchesPrefixes: true }, {}],
		decide: (out, excluded) => {
			first(out, excluded);
			out.fetchFromRow = fetches;
			if (fetches < 0) out.chosen = 1;
		},
	});
	t.teardown(() => mesh.close());
	await (await post(`${mesh.url}/v1/chat/completions`, body())).text();
	fetches = 1;
	const fetched = (await (await post(`${mesh.url}/v1/chat/completions`, body())).json()) as Whole;
	t.true(fetched.usage.prompt_tokens_details.cached_tokens > 400);
	t.is(
		await metric(target, 'vllm:external_prefix_cache_hits_total'),
		fetched.usage.prompt_tokens_details.cached_tokens,
	);
	await until('the requests have left', () => mesh.router.inflight() === 0);
});

test('of a pair it is the prefill that fetches a prefix: it is told where from, and the decode is not', async (t) => {
	const engine = await fakeEngine((_req, res) => {
		res.writeHead(200, { 'content-type': 'application/json' });
		res.end('{"choices":[],"kv_transfer_params":{"remote_host":"h"}}');
	});
	t.teardown(() => engine.close());
	// Row 0 prefills, 1 decodes, and both are told to fetch from 2, which holds the prefix.
	const first = firstRow(3);
	const mesh = await startRouter({
		origins: [engine.origin, engine.origin, `${engine.origin}/holder`],
		each: [
			{ runtime: 'vllm', role: 'prefill', fetchesPrefixes: true },
			{ runtime: 'vllm', role: 'decode', fetchesPrefixes: true },
			{ runtime: 'vllm', role: 'prefill' },
		],
		decide: (out, excluded) => {
			first(out, excluded);
			out.fetchFromRow = 2;
		},
	});
	t.teardown(() => mesh.close());
	await (await post(`${mesh.url}/v1/chat/completions`, body())).text();
	await until('both have ended', () => engine.seen.length === 2 && mesh.router.inflight() === 0);
	t.deepEqual(
		engine.seen.map(({ headers }) => headers['x-infermesh-fetch-from']),
		[`${engine.origin}/holder`, undefined],
	);
});
