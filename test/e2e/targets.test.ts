// Targets that come, go, drain, fall ill and misbehave while requests flow: no request fails for it, and each is used exactly as its state allows.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as request1 } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { eventually, MODEL, startTestEngine, startTestMesh, type Teardown, type TestMesh } from '../support/mesh.js';
import { fixedRow } from '../support/strategies.js';
import { type Answer, ask, Oracle } from '../support/traffic.js';

/** Keeps `width` requests under way until stopped; answers are checked against what their seed must say. */
function steady(
	t: Teardown,
	mesh: TestMesh,
	width: number,
	tokens = 12,
): { readonly answers: Answer[]; stop(): Promise<void> } {
	const oracle = new Oracle(mesh.engines[0]?.url ?? '');
	const answers: Answer[] = [];
	const fire = { on: true };
	let seed = 0;
	const wrong: string[] = [];
	const one = async (): Promise<void> => {
		while (fire.on) {
			const mine = seed++ % 64;
			const answer = await ask({ url: mesh.dataUrl, seed: mine, tokens, stream: mine % 2 === 0 });
			answers.push(answer);
			const { text } = answer;
			const expected = await oracle.text(mine, tokens);
			if (answer.error === undefined ? text !== expected : !expected.startsWith(text))
				wrong.push(`seed ${mine}: ${answer.status} ${answer.error ?? ''} "${answer.text}"`);
		}
	};
	const running = Promise.all(Array.from({ length: width }, one));
	const end = async (): Promise<void> => {
		fire.on = false;
		await running;
	};
	t.teardown(end);
	return {
		answers,
		stop: async () => {
			await end();
			if (wrong.length > 0) throw new Error(`${wrong.length} wrong answers, the first: ${wrong[0]}`);
		},
	};
}

test.serial('a draining target finishes its streams and gets nothing new; undrained it is used again', async (t) => {
	const mesh = await startTestMesh(t, { engines: 2 });
	await mesh.admin.load(await fixedRow('prefers_first', 0), { activate: true });
	const oracle = new Oracle(mesh.engines[1]?.url ?? '');
	let begun: () => void = () => undefined;
	const first = new Promise<void>((resolve) => {
		begun = resolve;
	});
	mesh.engines[0]?.setFaults({ slow: { factor: 200 } });
	const long = ask({ url: mesh.dataUrl, seed: 1, tokens: 120, stream: true, onFirst: begun });
	await first;
	t.is((await mesh.admin.drain('engine-1')).state, 'draining');
	await eventually('workers see it', async () => (await ask({ url: mesh.dataUrl, seed: 2 })).target === 'engine-2');
	for (let seed = 3; seed < 20; seed++) t.is((await ask({ url: mesh.dataUrl, seed })).target, 'engine-2');
	t.is((await mesh.admin.target('engine-1')).inFlight, 1, 'the stream is still there');
	mesh.engines[0]?.setFaults({ slow: null });
	const answer = await long;
	t.like(answer, { target: 'engine-1', complete: true });
	t.is(answer.text, await oracle.text(1, 120));
	t.is((await mesh.admin.drain('engine-1', false)).state, 'ready');
	await eventually('it is used again', async () => (await ask({ url: mesh.dataUrl, seed: 2 })).target === 'engine-1');
	await t.throwsAsync(mesh.admin.drain('nobody'), { message: /404 IM_TARGET_UNKNOWN/ });
});

test.serial('targets come and go under load: no request fails, newcomers serve, rows are reused', async (t) => {
	const mesh = await startTestMesh(t, { engines: 2, config: { fleet: { targets_max: 16 } } });
	const extra = await startTestEngine(t, { seed: 9 });
	const load = steady(t, mesh, 12);
	for (let round = 0; round < 25; round++) {
		const added = await mesh.admin.addTarget({ id: `extra-${round}`, url: extra.url, models: [MODEL] });
		t.is(added.id, `extra-${round}`);
		const from = load.answers.length;
		await eventually(`extra-${round} serves`, () =>
			load.answers.slice(from).some(({ target }) => target === `extra-${round}`),
		);
		t.is((await mesh.admin.removeTarget(`extra-${round}`)).id, `extra-${round}`);
	}
	await load.stop();
	t.log(`${load.answers.length} requests while 25 targets came and went, with room for 16 rows`);
	t.deepEqual(
		load.answers.filter(({ status }) => status !== 200),
		[],
	);
	t.is((await mesh.admin.targets()).length, 2);
	await t.throwsAsync(mesh.admin.addTarget({ id: 'engine-1', url: extra.url, models: [MODEL] }), {
		message: /409 IM_TARGET_EXISTS/,
	});
	await t.throwsAsync(mesh.admin.addTarget({ id: 'x', url: 'ftp://127.0.0.1/' }), { message: /400 IM_TARGET_INVALID/ });
});

test.serial(
	'targets listed in a file come and go with it under load: a stream ends by itself, no request fails',
	async (t) => {
		const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-discovery-'));
		t.teardown(() => rmSync(folder, { recursive: true, force: true }));
		const file = path.join(folder, 'targets.yaml');
		const list = (...targets: readonly { readonly id: string; readonly url: string }[]): void => {
			writeFileSync(`${file}.new`, JSON.stringify({ targets }));
			renameSync(`${file}.new`, file);
		};
		const extra = await startTestEngine(t, { seed: 9 });
		list();
		const mesh = await startTestMesh(t, {
			engines: 1,
			config: { discovery: { files: [{ path: file, period_ms: 100 }], remove_after_ms: 1000 } },
		});
		const load = steady(t, mesh, 6);
		list({ id: 'found', url: extra.url });
		await eventually('it is found, asked for its models, and serves', () =>
			load.answers.some(({ target }) => target === 'found'),
		);
		list();
		await eventually('it takes no new requests', async () => (await mesh.admin.target('found')).state === 'draining');
		await eventually('it is gone', async () => !(await mesh.admin.targets()).some(({ id }) => id === 'found'));
		rmSync(file);
		await eventually('a file that is gone is told of', () => mesh.log.some(({ code }) => code === 'IM_DISCOVERY_READ'));
		t.is((await mesh.admin.targets()).length, 1);
		await load.stop();
		t.deepEqual(
			load.answers.filter(({ status }) => status !== 200),
			[],
		);
	},
);

test.serial('a target that names no model is asked for them; one that cannot answer is refused', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1 });
	const other = await startTestEngine(t, { models: ['other-model'] });
	t.deepEqual((await mesh.admin.addTarget({ id: 'other', url: `${other.url}/v1/` })).models, ['other-model']);
	await eventually('it serves', async () => (await mesh.admin.target('other')).state === 'ready');
	await eventually(
		'workers see it',
		async () => (await ask({ url: mesh.dataUrl, seed: 1, model: 'other-model' })).target === 'other',
	);
	await other.close();
	await t.throwsAsync(mesh.admin.addTarget({ id: 'gone', url: other.url }), {
		message: /502 IM_TARGET_MODELS_UNKNOWN/,
	});
});

test.serial('a target that fails live requests is ejected, left alone, and taken back', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: 2,
		config: {
			outlier: { consecutive_failures: 4, ejection_ms: 5000, ejected_max_ratio: 0.5 },
			fleet: { slow_start_ms: 0 },
			data: { retry: { budget_ratio: 1, budget_burst: 1000 } },
		},
	});
	await mesh.admin.load(await fixedRow('prefers_first', 0), { activate: true });
	mesh.engines[0]?.setFaults({ error: { status: 500 } });
	for (let seed = 0; seed < 8; seed++) t.is((await ask({ url: mesh.dataUrl, seed })).status, 200);
	await eventually('it is ejected', async () => (await mesh.admin.target('engine-1')).state === 'ejected');
	const retries = await mesh.admin.metric('infermesh_retries_total');
	for (let seed = 0; seed < 8; seed++) {
		const { status, target } = await ask({ url: mesh.dataUrl, seed });
		t.like({ status, target }, { status: 200, target: 'engine-2' });
	}
	t.is(await mesh.admin.metric('infermesh_retries_total'), retries, 'nobody had to try it first');
	await eventually(
		'it is counted once',
		async () => (await mesh.admin.metric('infermesh_ejections_total', { target: 'engine-1' })) === 1,
	);
	mesh.engines[0]?.setFaults({ error: null });
	await eventually('it comes back', async () => (await ask({ url: mesh.dataUrl, seed: 1 })).target === 'engine-1');
});

test.serial('ejection never empties a pool: a fleet in which all fail keeps being asked', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: 2,
		config: { outlier: { consecutive_failures: 2, ejection_ms: 60_000, ejected_max_ratio: 0.5 } },
	});
	for (const engine of mesh.engines) engine.setFaults({ error: { status: 500 } });
	for (let seed = 0; seed < 12; seed++) await ask({ url: mesh.dataUrl, seed });
	await eventually('one is ejected', async () => (await mesh.admin.metric('infermesh_ejections_total')) === 1);
	const states = (await mesh.admin.targets()).map(({ state }) => state).sort();
	t.deepEqual(states, ['ejected', 'ready']);
});

test.serial('a target whose engine ends is found out, avoided, and used again when the engine is back', async (t) => {
	const mesh = await startTestMesh(t, { engines: 2, config: { outlier: { ejection_ms: 200 } } });
	const load = steady(t, mesh, 8);
	const { port } = mesh.engines[1] as (typeof mesh.engines)[number];
	await eventually('both serve', () => new Set(load.answers.map(({ target }) => target)).size === 2);
	await mesh.engines[1]?.close();
	await eventually('it is unhealthy', async () => (await mesh.admin.target('engine-2')).state === 'unhealthy');
	t.is((await mesh.admin.call<{ ready: boolean }>('GET', '/readyz')).ready, true);
	await startTestEngine(t, { port });
	await mesh.ready(2);
	const from = load.answers.length;
	await eventually('it is used', () => load.answers.slice(from).some(({ target }) => target === 'engine-2'));
	await load.stop();
	// Streams that had begun on the engine when it was closed are cut, and say so; nothing else may be wrong.
	const wrong = load.answers.filter(({ status, error }) => status !== 200 || error !== undefined);
	t.true(wrong.length <= 8, `${wrong.length} answers are wrong`);
	for (const answer of wrong) t.like(answer, { status: 200, target: 'engine-2', error: 'IM_UPSTREAM_DIED' });
});

test.serial('checks that fail of all targets at once cost no request: one is tried all the same', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: [{ target: { health_path: '/no-such-path' } }, { target: { health_path: '/no-such-path' } }],
		config: { health: { period_ms: 50, unhealthy_after: 1 } },
	});
	await eventually('both are unhealthy', async () =>
		(await mesh.admin.targets()).every(({ state }) => state === 'unhealthy'),
	);
	for (let seed = 0; seed < 8; seed++) {
		const { status, strategy } = await ask({ url: mesh.dataUrl, seed });
		t.deepEqual([status, strategy], [200, 'least_queue@builtin']);
	}
	t.is(await mesh.admin.metric('infermesh_fallbacks_total', { cause: 'all_unhealthy' }), 8);
	await mesh.admin.drain('engine-1');
	for (let seed = 0; seed < 4; seed++) t.is((await ask({ url: mesh.dataUrl, seed })).target, 'engine-2');
});

test.serial('with no serving target a request is 503 and the mesh says it is not ready', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1 });
	await mesh.engines[0]?.close();
	await eventually('it is unhealthy', async () => (await mesh.admin.target('engine-1')).state === 'unhealthy');
	await eventually('workers see it', async () => (await ask({ url: mesh.dataUrl, seed: 1 })).status === 503);
	const refused = await fetch(`${mesh.dataUrl}/v1/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ model: MODEL, prompt: 'hello' }),
	});
	t.is(refused.status, 503);
	t.is(refused.headers.get('x-infermesh-error'), 'IM_ROUTE_NO_TARGET');
	t.truthy(refused.headers.get('retry-after'));
	const ready = await fetch(`${mesh.admin.url}/readyz`);
	t.is(ready.status, 503);
	t.deepEqual(((await ready.json()) as { reasons: string[] }).reasons, ['no target is serving']);
});

/** Speaks HTTP/2 alone, in the clear, for an engine that speaks HTTP/1.1. */
async function overHttp2(t: Teardown, engineUrl: string): Promise<string> {
	const server = createHttp2Server((req, res) => {
		const fields = Object.entries(req.headers).filter(([name]) => !name.startsWith(':'));
		const inner = request1(
			new URL(req.url, engineUrl),
			{ method: req.method, headers: Object.fromEntries(fields) },
			(answer) => {
				const { 'transfer-encoding': _coding, connection: _kept, 'keep-alive': _hint, ...rest } = answer.headers;
				res.writeHead(answer.statusCode ?? 502, rest);
				answer.pipe(res);
			},
		);
		inner.on('error', () => res.stream.close());
		req.pipe(inner);
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => void server.close());
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.serial('a target that speaks HTTP/2 alone is asked, scraped, checked and served over it', async (t) => {
	const engine = await startTestEngine(t);
	const mesh = await startTestMesh(t, { engines: [] });
	await mesh.admin.addTarget({ id: 'two', url: await overHttp2(t, engine.url), http: 'h2' });
	await mesh.ready(1);
	t.deepEqual((await mesh.admin.target('two')).models, [MODEL]);
	const oracle = new Oracle(engine.url);
	for (const seed of [1, 2, 3, 4])
		t.is((await ask({ url: mesh.dataUrl, seed, stream: seed % 2 === 0 })).text, await oracle.text(seed));
	await eventually('its metrics are read', async () => (await mesh.admin.target('two')).telemetryAgeMs !== null);
});
