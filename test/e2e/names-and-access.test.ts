// Names of models and who may use them: aliases, weighted revisions and fallbacks; API keys, trusted callers, the admin token; and the mesh's end.
import test from 'ava';
import { AuthenticationError } from 'openai';
import { AdminClient } from '../support/admin.js';
import { eventually, MODEL, startTestMesh } from '../support/mesh.js';
import { ask, keyOf, Oracle } from '../support/traffic.js';

test.serial('aliases, weighted revisions and fallbacks lead where the configuration says', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: [{ models: ['big'] }, { models: ['small'] }, { models: ['next'] }],
		config: {
			models: {
				aliases: { 'gpt-4': 'big', fleet: 'chat' },
				revisions: {
					chat: [
						{ model: 'big', weight: 3 },
						{ model: 'next', weight: 1 },
					],
				},
				fallbacks: { big: ['small'] },
			},
		},
	});
	const models: string[] = [];
	for await (const model of mesh.openai.models.list()) models.push(model.id);
	t.deepEqual(models, ['big', 'chat', 'fleet', 'gpt-4', 'next', 'small']);
	t.is((await ask({ url: mesh.dataUrl, seed: 1, model: 'gpt-4' })).target, 'engine-1');

	const shares = new Map<string, number>();
	const drawn = await Promise.all(
		Array.from({ length: 200 }, (_, seed) => ask({ url: mesh.dataUrl, seed, model: 'fleet', tokens: 1 })),
	);
	for (const { target } of drawn) shares.set(target, (shares.get(target) ?? 0) + 1);
	// 150 expected with a standard deviation of 6; six of them.
	t.true(Math.abs((shares.get('engine-1') ?? 0) - 150) < 37, JSON.stringify([...shares]));
	t.is((shares.get('engine-1') ?? 0) + (shares.get('engine-3') ?? 0), 200);
	const session = await Promise.all(
		Array.from({ length: 20 }, (_, seed) =>
			ask({ url: mesh.dataUrl, seed, model: 'chat', tokens: 1, headers: { 'x-infermesh-session': 'one-user' } }),
		),
	);
	t.is(new Set(session.map(({ target }) => target)).size, 1, 'a session keeps its revision');

	await mesh.admin.drain('engine-1');
	const fallen = await ask({ url: mesh.dataUrl, seed: 2, model: 'big' });
	t.like(fallen, { status: 200, target: 'engine-2' });
	const alone = await ask({ url: mesh.dataUrl, seed: 2, model: 'nobody-serves-this' });
	t.like(alone, { status: 404, error: 'model_not_found' });
});

test.serial('with API keys configured, only they open the data plane, and trust decides who may steer', async (t) => {
	const [alice, bob] = [keyOf('sk-alice'), keyOf('sk-bob')];
	const mesh = await startTestMesh(t, {
		engines: [{ apiKey: 'engine-secret', target: { api_key: 'engine-secret' } }, {}],
		config: {
			keys: [
				{ id: 'alice', sha256: alice.sha256, tenant: 'a', trusted: true },
				{ id: 'bob', sha256: bob.sha256, tenant: 'b' },
			],
		},
	});
	const request = { model: MODEL, messages: [{ role: 'user' as const, content: 'hello' }], max_tokens: 2 };
	for (const key of ['none', 'sk-Alice', alice.sha256, 'x'.repeat(5000)]) {
		const error = await t.throwsAsync(mesh.client(key).chat.completions.create(request), {
			instanceOf: AuthenticationError,
		});
		t.is(error?.code, 'invalid_api_key');
	}
	await t.throwsAsync(mesh.client('none').models.list(), { instanceOf: AuthenticationError });
	t.truthy((await mesh.client(bob.key).chat.completions.create(request)).choices[0]);

	const steered = (key: string) =>
		ask({
			url: mesh.dataUrl,
			seed: 3,
			headers: { authorization: `Bearer ${key}`, 'x-infermesh-target': 'engine-1', 'x-infermesh-tenant': 'b' },
		});
	for (let round = 0; round < 5; round++)
		t.like(await steered(alice.key), { target: 'engine-1', strategy: 'forced@host', status: 200 });
	const untrusted = await Promise.all(Array.from({ length: 10 }, () => steered(bob.key)));
	t.false(untrusted.some(({ strategy }) => strategy === 'forced@host'));
	t.true((await mesh.admin.metric('infermesh_tokens_total', { tenant: 'b' })) > 0);

	const text = JSON.stringify([await mesh.admin.call('GET', '/api/v1/config'), mesh.log]);
	for (const secret of ['engine-secret', 'sk-alice', 'sk-bob']) t.false(text.includes(secret), secret);
});

test.serial('with a token configured, the admin API answers nobody else', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: 1,
		config: { admin: { port: 0, token: 'admin-token-of-32-characters-xxx' } },
	});
	const paths = ['/api/v1/status', '/api/v1/targets', '/api/v1/strategies', '/api/v1/config', '/metrics'];
	for (const path of paths) {
		const refused = await fetch(`${mesh.admin.url}${path}`);
		t.is(refused.status, 401, path);
		t.is((await fetch(`${mesh.admin.url}${path}`, { headers: { authorization: 'Bearer wrong' } })).status, 401);
	}
	const admin = new AdminClient(mesh.admin.url, 'admin-token-of-32-characters-xxx');
	t.is((await admin.targets()).length, 1);
	t.is((await fetch(`${mesh.admin.url}/healthz`)).status, 200, 'probes need no token');
});

test.serial('close lets a stream finish and takes no new connection', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1, config: { data: { shutdown_grace_ms: 5000 } } });
	const oracle = new Oracle(mesh.engines[0]?.url ?? '');
	const expected = await oracle.text(1, 150);
	let begun: () => void = () => undefined;
	const first = new Promise<void>((resolve) => {
		begun = resolve;
	});
	mesh.engines[0]?.setFaults({ slow: { factor: 20 } });
	const stream = ask({ url: mesh.dataUrl, seed: 1, tokens: 150, stream: true, onFirst: begun });
	await first;
	const closing = mesh.close();
	await eventually('new requests are refused', () =>
		ask({ url: mesh.dataUrl, seed: 2 }).then(
			() => false,
			() => true,
		),
	);
	t.is(closing, mesh.close(), 'closing twice is closing once');
	mesh.engines[0]?.setFaults({ slow: null });
	t.like(await stream, { text: expected, complete: true });
	await closing;
});

test.serial('a stream that outlasts the grace is cut with the mesh, and the engine is told', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1, config: { data: { shutdown_grace_ms: 100 } } });
	let begun: () => void = () => undefined;
	const first = new Promise<void>((resolve) => {
		begun = resolve;
	});
	const stream = ask({ url: mesh.dataUrl, seed: 1, tokens: 8000, stream: true, onFirst: begun });
	mesh.engines[0]?.setFaults({ slow: { factor: 1000 } });
	await first;
	await mesh.close();
	const { complete, error } = await stream;
	t.false(complete);
	t.truthy(error);
	await eventually('the engine has stopped', async () => {
		const text = await (await fetch(`${mesh.engines[0]?.url}/metrics`)).text();
		return /^vllm:num_requests_running\{.*\} 0(\.0)?$/m.test(text);
	});
});
