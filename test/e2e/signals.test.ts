// What the mesh sees of its engines: each runtime's own metrics, whatever names it uses, what the router learns from its own traffic, and how
// old all of it is.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadConfig, startMesh } from '@infermesh/host';
import test from 'ava';
import { eventually, MODEL, quietLog, startTestMesh } from '../support/mesh.js';
import { ask } from '../support/traffic.js';

test.serial('vLLM’s names, its old ones and SGLang’s are read alike, with their age', async (t) => {
	const dialects = ['vllm', 'vllm-legacy', 'sglang'] as const;
	const mesh = await startTestMesh(t, {
		engines: dialects.map((metricsDialect) => ({ metricsDialect, models: [metricsDialect] })),
	});
	for (const engine of mesh.engines) engine.setFaults({ slow: { factor: 1000 } });
	const gone = new AbortController();
	const streams = dialects.flatMap((model) =>
		[1, 2].map((seed) => ask({ url: mesh.dataUrl, model, seed, tokens: 500, stream: true, signal: gone.signal })),
	);
	await eventually('each engine reports two requests running and a used cache', async () =>
		(await mesh.admin.targets()).every(({ running, kvUsage }) => running === 2 && kvUsage > 0),
	);
	for (const { telemetryAgeMs, load, inFlight, id } of await mesh.admin.targets()) {
		t.true(telemetryAgeMs !== null && telemetryAgeMs < 20_000, `${id}: ${telemetryAgeMs} ms`);
		t.is(inFlight, 2);
		t.is(load, 2, 'what was sent and what is reported are one thing');
	}
	gone.abort();
	await Promise.allSettled(streams);
	t.true((await mesh.admin.metric('infermesh_scrapes_total', { result: 'ok' })) >= 3);
});

test.serial('a target whose metrics fall silent is degraded but used, and its age shows', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1, config: { fleet: { stale_after_ms: 2000 } } });
	let silent = false;
	const server = createServer((req, res) => {
		const metrics = req.url === '/metrics';
		if (metrics && silent) req.socket.destroy();
		else res.end(metrics ? 'vllm:num_requests_running 0\nvllm:num_requests_waiting 3\n' : '{}');
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => {
		server.closeAllConnections();
		server.close();
	});
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	await mesh.admin.addTarget({ id: 'lonely', url, models: ['other'], runtime: 'vllm' });
	await eventually('it reports', async () => (await mesh.admin.target('lonely')).queueDepth === 3);
	t.is((await mesh.admin.target('lonely')).load, 3);
	silent = true;
	await eventually('it is degraded', async () => (await mesh.admin.target('lonely')).state === 'degraded');
	const { telemetryAgeMs, load, queueDepth } = await mesh.admin.target('lonely');
	t.true((telemetryAgeMs ?? 0) >= 2000);
	t.is(load, 0, 'a stale report adds no load');
	t.is(queueDepth, 3, 'the last value is shown, with its age');
	t.is((await ask({ url: mesh.dataUrl, seed: 1, model: 'other' })).target, 'lonely');
	silent = false;
	await eventually('it is ready again', async () => (await mesh.admin.target('lonely')).state === 'ready');
});

test.serial('the router’s own traffic teaches latency and tokens', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1 });
	for (let seed = 0; seed < 10; seed++) await ask({ url: mesh.dataUrl, seed, tokens: 8, stream: true });
	await eventually('latencies are learned', async () => {
		const { ttftMs, tpotMs } = await mesh.admin.target('engine-1');
		return ttftMs > 0 && tpotMs > 0;
	});
	t.is(await mesh.admin.metric('infermesh_tokens_total', { kind: 'output' }), 80);
	t.is(await mesh.admin.metric('infermesh_time_to_first_token_seconds_count'), 10);
	t.is(await mesh.admin.metric('infermesh_request_duration_seconds_count'), 10);
	t.is(await mesh.admin.metric('infermesh_decisions_total'), 10);
	const { traffic, models } = await mesh.admin.status();
	t.like(traffic, { requestsTotal: 10, failedTotal: 0, inFlight: 0, tokensOutTotal: 80, decisionsTotal: 10 });
	t.deepEqual(models, [MODEL]);
});

test.serial('a mesh that cannot start says why and leaves nothing behind', async (t) => {
	const taken = createServer();
	await new Promise<void>((resolve) => {
		taken.listen(0, '127.0.0.1', resolve);
	});
	t.teardown(() => taken.close());
	const { port } = taken.address() as AddressInfo;
	const start = (config: unknown) =>
		startMesh(loadConfig({ file: 'test.yaml', env: {}, readText: () => JSON.stringify(config) }), {
			log: quietLog(),
			development: false,
		});
	const free = { data: { port: 0, workers: 2 }, admin: { port: 0 } };
	await t.throwsAsync(start({ ...free, admin: { port } }), { message: /EADDRINUSE/ });
	await t.throwsAsync(start({ ...free, data: { port, workers: 1 } }), { message: /EADDRINUSE/ });
	const unknown = await t.throwsAsync(start({ ...free, strategy: { active: 'no_such_strategy' } }));
	t.regex((unknown as { code?: string } | undefined)?.code ?? '', /^IM_/);
	// Threads that were left behind would keep this process alive.
	await eventually('all threads are gone', () => !process.getActiveResourcesInfo().includes('MessagePort'));
	t.pass();
});
