// nginx in front of the mesh, and between the mesh and an engine: what operators do. Tokens must pass one by one, and content unchanged.
import type { EngineHandle } from '@infermesh/host';
import test from 'ava';
import { NotFoundError, OpenAI } from 'openai';
import { eventually, MODEL, startTestEngine, startTestMesh } from '../support/mesh.js';
import { startNginx } from '../support/programs.js';
import { ask, Oracle } from '../support/traffic.js';

const unbuffered = 'proxy_buffering off;\n\t\t\tproxy_read_timeout 60s;';

/** Streams one answer slowly; true when its first token came while the engine was still at work on the rest. */
async function arrivesAsItIsMade(
	url: string,
	engine: EngineHandle,
	seed: number,
): Promise<{ early: boolean; text: string; error: string | undefined }> {
	engine.setFaults({ slow: { factor: 100 } });
	let early: Promise<boolean> = Promise.resolve(false);
	const answer = await ask({
		url,
		seed,
		tokens: 60,
		stream: true,
		onFirst: () => {
			early = fetch(`${engine.url}/metrics`)
				.then((response) => response.text())
				.then((text) => /^vllm:num_requests_running\{.*\} 1(\.0)?$/m.test(text))
				.finally(() => engine.setFaults({ slow: null }));
		},
	});
	engine.setFaults({ slow: null });
	return { early: await early, text: answer.text, error: answer.error };
}

test.serial('nginx in front: streams pass token by token, whole answers and errors unchanged', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1 });
	const url = await startNginx(t, mesh.dataUrl, unbuffered);
	const oracle = new Oracle(mesh.engines[0]?.url ?? '');
	const stream = await arrivesAsItIsMade(url, mesh.engines[0] as EngineHandle, 1);
	t.deepEqual(stream, { early: true, text: await oracle.text(1, 60), error: undefined });
	const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
	const { response } = await openai.chat.completions
		.create({ model: MODEL, messages: [{ role: 'user', content: 'hello' }], max_tokens: 3 })
		.withResponse();
	t.truthy(response.headers.get('x-infermesh-decision'));
	await t.throwsAsync(openai.models.retrieve('unknown'), { instanceOf: NotFoundError });
	for (let seed = 2; seed < 30; seed++)
		t.is((await ask({ url, seed, stream: seed % 2 === 0 })).text, await oracle.text(seed));
});

test.serial('nginx in front: a client that goes away frees the engine', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1 });
	const url = await startNginx(t, mesh.dataUrl, unbuffered);
	const gone = new AbortController();
	mesh.engines[0]?.setFaults({ slow: { factor: 50 } });
	await t.throwsAsync(
		ask({ url, seed: 1, tokens: 8000, stream: true, signal: gone.signal, onFirst: () => gone.abort() }).then(
			({ error }) => {
				throw new Error(error);
			},
		),
		{ message: 'AbortError' },
	);
	mesh.engines[0]?.setFaults({ slow: null });
	await eventually('the engine is free', async () => {
		const { running, inFlight } = await mesh.admin.target('engine-1');
		return running === 0 && inFlight === 0;
	});
	t.is(await mesh.admin.metric('infermesh_attempts_total', { outcome: 'cancelled' }), 1);
});

test.serial('nginx behind: an engine behind a proxy is a target like any other', async (t) => {
	const engine = await startTestEngine(t);
	const proxied = await startNginx(t, engine.url, unbuffered);
	const mesh = await startTestMesh(t, { engines: [] });
	await mesh.admin.addTarget({ id: 'proxied', url: proxied });
	await mesh.ready(1);
	t.deepEqual((await mesh.admin.target('proxied')).models, [MODEL]);
	const stream = await arrivesAsItIsMade(mesh.dataUrl, engine, 1);
	t.deepEqual(stream, { early: true, text: await new Oracle(engine.url).text(1, 60), error: undefined });
	t.not((await mesh.admin.target('proxied')).telemetryAgeMs, null, 'its metrics are read through the proxy');
});

test.serial('nginx behind, over HTTP/2: streams, whole answers, signals and cancellation pass', async (t) => {
	const engine = await startTestEngine(t);
	const proxied = await startNginx(t, engine.url, unbuffered, true);
	const mesh = await startTestMesh(t, { engines: [] });
	await mesh.admin.addTarget({ id: 'proxied', url: proxied, http: 'h2' });
	await mesh.ready(1);
	t.deepEqual((await mesh.admin.target('proxied')).models, [MODEL], 'it is asked over HTTP/2');
	const oracle = new Oracle(engine.url);
	const stream = await arrivesAsItIsMade(mesh.dataUrl, engine, 1);
	t.deepEqual(stream, { early: true, text: await oracle.text(1, 60), error: undefined });
	const seeds = Array.from({ length: 40 }, (_, at) => at + 2);
	const texts = await Promise.all(
		seeds.map(async (seed) => (await ask({ url: mesh.dataUrl, seed, stream: seed % 2 === 0 })).text),
	);
	t.deepEqual(texts, await Promise.all(seeds.map((seed) => oracle.text(seed))));
	t.not((await mesh.admin.target('proxied')).telemetryAgeMs, null, 'its metrics are read over HTTP/2');
	const gone = new AbortController();
	engine.setFaults({ slow: { factor: 50 } });
	await t.throwsAsync(
		ask({
			url: mesh.dataUrl,
			seed: 1,
			tokens: 8000,
			stream: true,
			signal: gone.signal,
			onFirst: () => gone.abort(),
		}).then(({ error }) => {
			throw new Error(error);
		}),
		{ message: 'AbortError' },
	);
	engine.setFaults({ slow: null });
	await eventually('the engine is free', async () => {
		const { running, inFlight } = await mesh.admin.target('proxied');
		return running === 0 && inFlight === 0;
	});
});
