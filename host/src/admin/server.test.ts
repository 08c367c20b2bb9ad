import { randomBytes } from 'node:crypto';
import test from 'ava';
import type { GroupControl } from '../main/fabric.js';
import { StreamBounds } from '../mesh/stream-bounds.js';
import { lonelyMesh } from '../mesh/testing.js';
import { createLog } from '../telemetry/logger.js';
import { sameSecret } from './auth.js';
import { adminRoutes } from './routes.js';
import { type AdminServer, createAdminServer } from './server.js';
import { streamRoutes } from './streams.js';
import { FakeMesh } from './testing.js';

const silentLog = createLog({ level: 'silent', wallMs: () => 0 });
const HOST = '127.0.0.1:8081';

function open(
	token?: string,
	mesh = new FakeMesh(),
	streams = new StreamBounds(() => undefined),
): { server: AdminServer; mesh: FakeMesh } {
	const server = createAdminServer(
		{
			tokens: token === undefined ? [] : [{ name: 'ann', token }],
			bodyMaxBytes: 4096,
			requestTimeoutMs: 1000,
			version: '0.1.0',
			log: silentLog,
			streams,
		},
		mesh,
	);
	return { server, mesh };
}

interface Answer {
	readonly status: number;
	readonly headers: Record<string, unknown>;
	readonly text: string;
	readonly json: Record<string, unknown>;
	readonly code: string | undefined;
}

async function call(
	server: AdminServer,
	method: 'GET' | 'POST' | 'PUT' | 'DELETE',
	url: string,
	body?: unknown,
	headers: Record<string, string> = {},
): Promise<Answer> {
	const reply = await server.inject({
		method,
		url,
		headers: { host: HOST, ...headers },
		...(body === undefined ? {} : { payload: body as object }),
	});
	let json: Record<string, unknown> = {};
	try {
		json = JSON.parse(reply.body) as Record<string, unknown>;
	} catch {
		// Text answers have no JSON.
	}
	const error = json['error'] as { code: string } | undefined;
	return { status: reply.statusCode, headers: reply.headers, text: reply.body, json, code: error?.code };
}

const everything = [
	...adminRoutes.map((route) => [route.method, route.path.replaceAll(/:\w+/g, 'x')] as const),
	['GET', '/metrics'] as const,
	['GET', '/api/v1/openapi.json'] as const,
	['GET', '/no/such/path'] as const,
];

for (const [method, path] of everything)
	test(`${method} ${path} wants the token when one is configured`, async (t) => {
		const { server } = open('right-token');
		for (const authorization of [
			undefined,
			'Bearer wrong',
			'Bearer',
			'Basic right-token',
			'right-token',
			'Bearer right-token2',
		]) {
			const answer = await call(server, method, path, undefined, authorization === undefined ? {} : { authorization });
			t.is(answer.status, 401, `${authorization}`);
			t.is(answer.code, 'IM_ADMIN_UNAUTHENTICATED');
			t.is(answer.headers['www-authenticate'], 'Bearer realm="infermesh"');
		}
		const answer = await call(server, method, path, undefined, { authorization: 'Bearer right-token' });
		t.not(answer.status, 401);
	});

for (const { path } of streamRoutes)
	test(`GET ${path} wants the token before it begins`, async (t) => {
		const { server } = open('right-token');
		for (const headers of [{}, { authorization: 'Bearer wrong' }])
			t.is((await call(server, 'GET', path, undefined, headers)).code, 'IM_ADMIN_UNAUTHENTICATED');
	});

test('probes and the page are open; the page holds no data', async (t) => {
	const { server, mesh } = open('right-token');
	await mesh.addTarget({ id: 'engine-a', url: 'http://127.0.0.1:1' });
	t.is((await call(server, 'GET', '/healthz')).status, 200);
	t.is((await call(server, 'GET', '/readyz')).status, 200);
	mesh.ready = false;
	const unready = await call(server, 'GET', '/readyz');
	t.is(unready.status, 503);
	t.deepEqual(unready.json['reasons'], ['no worker listens']);
	const page = await call(server, 'GET', '/');
	t.is(page.status, 200);
	t.regex(String(page.headers['content-type']), /^text\/html/);
	t.regex(String(page.headers['content-security-policy']), /default-src 'none'/);
	t.false(page.text.includes('engine-a'));
});

test('without a token only loopback names are answered, and no other site', async (t) => {
	const { server } = open();
	t.is((await call(server, 'GET', '/api/v1/status')).status, 200);
	t.is((await call(server, 'GET', '/api/v1/status', undefined, { host: '[::1]:8081' })).status, 200);
	t.is((await call(server, 'GET', '/api/v1/status', undefined, { host: 'localhost:8081' })).status, 200);
	t.is((await call(server, 'GET', '/api/v1/status', undefined, { host: 'rebound.example:8081' })).status, 403);
	t.is((await call(server, 'POST', '/api/v1/rollback', {}, { origin: 'https://evil.example' })).status, 403);
	t.is((await call(server, 'POST', '/api/v1/rollback', {}, { origin: 'null' })).status, 403);
	t.is((await call(server, 'POST', '/api/v1/rollback', {}, { origin: `http://${HOST}` })).status, 200);
});

test('targets: add, list, drain, undrain, remove', async (t) => {
	const { server } = open();
	const added = await call(server, 'POST', '/api/v1/targets', { id: 'a', url: 'http://127.0.0.1:8100', weight: 2 });
	t.is(added.status, 201);
	t.like(added.json, { id: 'a', weight: 2 });
	t.is(((await call(server, 'GET', '/api/v1/targets')).json['items'] as unknown[]).length, 1);
	t.like((await call(server, 'POST', '/api/v1/targets/a/drain')).json, { draining: true });
	t.like((await call(server, 'POST', '/api/v1/targets/a/undrain')).json, { draining: false });
	t.is((await call(server, 'DELETE', '/api/v1/targets/a')).status, 200);
	const gone = await call(server, 'DELETE', '/api/v1/targets/a');
	t.is(gone.status, 404);
	t.is(gone.code, 'IM_TEST_UNKNOWN');
	t.is(gone.headers['x-infermesh-error'], 'IM_TEST_UNKNOWN');
	t.like(gone.json['error'], { message: 'no target a', hint: 'list first' });
});

test('strategies: load, stage, roll back, unload', async (t) => {
	const { server, mesh } = open();
	const module = Buffer.from('\0asm\x01\0\0\0', 'latin1').toString('base64');
	const loaded = await call(server, 'POST', '/api/v1/strategies', {
		module,
		settings: { wait_weight: 2 },
		activate: true,
	});
	t.is(loaded.status, 201);
	t.like(loaded.json['strategy'], { name: 'mine', stage: 'active' });
	t.deepEqual(mesh.loads[0]?.settings, { wait_weight: 2 });
	t.deepEqual([...(mesh.loads[0]?.module ?? [])], [0, 97, 115, 109, 1, 0, 0, 0]);
	const staged = await call(server, 'POST', '/api/v1/strategies/mine/stage', { stage: 'canary', percent: 5 });
	t.like(staged.json, { stage: 'canary', canaryPercent: 5 });
	t.is((await call(server, 'POST', '/api/v1/rollback', { model: 'llama' })).status, 200);
	t.is((await call(server, 'DELETE', '/api/v1/strategies/mine%401.0.0')).status, 200);
	t.deepEqual(mesh.calls, ['rollback llama', 'unload mine@1.0.0']);
});

test('explain, config, log level, metrics, OpenAPI', async (t) => {
	const { server, mesh } = open();
	t.like((await call(server, 'GET', '/api/v1/decisions/d-1')).json, { chosen: 'engine-a', margin: 12.5 });
	t.is((await call(server, 'GET', '/api/v1/decisions/d-2')).code, 'IM_ADMIN_DECISION_UNKNOWN');
	t.deepEqual((await call(server, 'GET', '/api/v1/config')).json['items'], mesh.config());
	t.deepEqual((await call(server, 'PUT', '/api/v1/log-level', { level: 'debug' })).json, { level: 'debug' });
	t.is((await call(server, 'PUT', '/api/v1/log-level', { level: 'loud' })).code, 'IM_ADMIN_INVALID_REQUEST');
	const metrics = await call(server, 'GET', '/metrics');
	t.regex(String(metrics.headers['content-type']), /^text\/plain; version=0\.0\.4/);
	t.is(metrics.text, await mesh.metrics());
	const { json: openApi } = await call(server, 'GET', '/api/v1/openapi.json');
	t.is(openApi['openapi'], '3.1.0');
	const paths = openApi['paths'] as Record<string, Record<string, { operationId: string }>>;
	t.truthy(paths['/api/v1/targets/{id}/drain']?.['post']);
	const ids = Object.values(paths).flatMap((methods) =>
		Object.values(methods).map((operation) => operation.operationId),
	);
	t.is(ids.length, adminRoutes.length + streamRoutes.length);
	t.is(new Set(ids).size, ids.length);
});

const badRequests: [string, unknown, Record<string, string>, number, string][] = [
	['unknown field', { url: 'http://a:1', wieght: 2 }, {}, 400, 'IM_ADMIN_INVALID_REQUEST'],
	['missing field', { id: 'a' }, {}, 400, 'IM_ADMIN_INVALID_REQUEST'],
	['wrong type', { url: 'http://a:1', weight: '2' }, {}, 400, 'IM_ADMIN_INVALID_REQUEST'],
	['no body', undefined, {}, 400, 'IM_ADMIN_INVALID_REQUEST'],
	['broken JSON', '{"url":', { 'content-type': 'application/json' }, 400, 'IM_ADMIN_INVALID_REQUEST'],
	['another type', 'url=x', { 'content-type': 'text/plain' }, 400, 'IM_ADMIN_INVALID_REQUEST'],
	[
		'prototype poisoning',
		'{"__proto__":{"a":1},"url":"http://a:1"}',
		{ 'content-type': 'application/json' },
		400,
		'IM_ADMIN_INVALID_REQUEST',
	],
	['too large', { url: `http://${'a'.repeat(8000)}` }, {}, 413, 'IM_ADMIN_BODY_TOO_LARGE'],
];
for (const [what, body, headers, status, code] of badRequests)
	test(`a bad request is refused by name: ${what}`, async (t) => {
		const { server, mesh } = open();
		const answer = await call(server, 'POST', '/api/v1/targets', body, headers);
		t.is(answer.status, status, answer.text);
		t.is(answer.code, code);
		t.is(mesh.targets.size, 0);
	});

test('a module that is not base64 is refused, and one the mesh refuses keeps its code', async (t) => {
	const { server } = open();
	t.is((await call(server, 'POST', '/api/v1/strategies', { module: '%%%' })).code, 'IM_ADMIN_INVALID_REQUEST');
	t.is((await call(server, 'POST', '/api/v1/strategies', { module: 'aGVsbG8=' })).code, 'IM_TEST_REFUSED');
});

test('what breaks inside is logged and not told', async (t) => {
	const lines: string[] = [];
	const log = createLog({
		level: 'error',
		destination: { write: (line: string) => lines.push(line) },
		wallMs: () => 0,
	});
	const server = createAdminServer(
		{
			tokens: [],
			bodyMaxBytes: 4096,
			requestTimeoutMs: 1000,
			version: '0.1.0',
			log,
			streams: new StreamBounds(() => undefined),
		},
		new FakeMesh(),
	);
	const answer = await call(server, 'DELETE', '/api/v1/strategies/crash');
	t.is(answer.status, 500);
	t.is(answer.code, 'IM_ADMIN_INTERNAL');
	t.false(answer.text.includes('secret detail'));
	t.true(lines.join('').includes('secret detail'));
});

test('event streams have a bound, and one that ends makes room', async (t) => {
	let count = 0;
	const ended = Promise.withResolvers<void>();
	const streams = new StreamBounds(
		(now) => {
			if (now < count) ended.resolve();
			count = now;
		},
		{ perCaller: 1 },
	);
	const { server } = open(undefined, new FakeMesh(), streams);
	const url = `${await server.listen({ host: '127.0.0.1', port: 0 })}/api/v1/events`;
	const first = new AbortController();
	t.is((await fetch(url, { signal: first.signal })).status, 200);
	const refused = await fetch(url);
	t.is(refused.status, 429);
	t.is(refused.headers.get('x-infermesh-error'), 'IM_NODE_STREAMS_MAX');
	first.abort();
	await ended.promise;
	const second = new AbortController();
	t.is((await fetch(url, { signal: second.signal })).status, 200);
	second.abort();
	await server.close();
});

test('a snapshot that its reader leaves is let go of', async (t) => {
	const closed = Promise.withResolvers<void>();
	const group: GroupControl = {
		transferLeadership: () => Promise.reject(new Error('nobody asks in this test')),
		leads: () => true,
		saveSnapshot: () =>
			Promise.resolve({
				clusterId: 'mesh',
				revision: 1,
				appliedIndex: 1,
				appliedHash: 'ab'.repeat(32),
				pieces: (async function* () {
					for (;;) yield await Promise.resolve(randomBytes(65_536));
				})(),
				close: () => Promise.resolve(closed.resolve()),
			}),
	};
	const { server } = open(undefined, Object.assign(new FakeMesh(), { mesh: lonelyMesh({ group }).operations }));
	const url = await server.listen({ host: '127.0.0.1', port: 0 });
	const reader = new AbortController();
	const answer = await fetch(`${url}/api/v1/snapshot`, { signal: reader.signal });
	t.is(answer.status, 200);
	reader.abort();
	await closed.promise;
	await server.close();
});

test('it listens on a free port and closes', async (t) => {
	const { server } = open();
	const url = await server.listen({ host: '127.0.0.1', port: 0 });
	const answer = await fetch(`${url}/healthz`);
	t.deepEqual(await answer.json(), { status: 'ok' });
	await server.close();
	await t.throwsAsync(fetch(`${url}/healthz`));
});

test('secrets are compared whole', (t) => {
	t.true(sameSecret('abc', 'abc'));
	t.false(sameSecret('abc', 'abcd'));
	t.false(sameSecret('', 'abc'));
});

test('a change is logged with who made it: the name of the token, or loopback where none is asked', async (t) => {
	const lines: string[] = [];
	const log = createLog({ level: 'info', destination: { write: (line: string) => lines.push(line) }, wallMs: () => 0 });
	const streams = new StreamBounds(() => undefined);
	const options = { bodyMaxBytes: 4096, requestTimeoutMs: 1000, version: '0.1.0', log, streams };
	const tokens = [
		{ name: 'ann', token: 'token-of-ann' },
		{ name: 'bob', token: 'token-of-bob' },
	];
	const guarded = createAdminServer({ ...options, tokens }, new FakeMesh());
	const open = createAdminServer({ ...options, tokens: [] }, new FakeMesh());
	const bob = { authorization: 'Bearer token-of-bob' };
	const target = { url: 'http://127.0.0.1:9', id: 't' };
	t.is((await call(guarded, 'POST', '/api/v1/targets', target, bob)).status, 201);
	t.is((await call(guarded, 'DELETE', '/api/v1/targets/t', undefined, bob)).status, 200);
	t.is((await call(guarded, 'DELETE', '/api/v1/targets/t', undefined, bob)).status, 404);
	await call(open, 'POST', '/api/v1/join-tokens', { ttlMs: 60_000, label: 'rack 7' });
	t.deepEqual(
		lines
			.map((line) => JSON.parse(line) as { by: string; action: string; object: string; reason?: string })
			.map(({ by, action, object, reason = '' }) => `${by} ${action} ${object} ${reason}`.trim()),
		['token:bob target.add t', 'token:bob target.remove t', 'loopback join-token.create id rack 7'],
	);
});

test('every change is audited, by the operation or by its route', (t) => {
	const silent = adminRoutes
		.filter(({ method, run, audit }) => method !== 'GET' && audit === undefined && !/\basker\b/.test(run.toString()))
		.map(({ method, path }) => `${method} ${path}`);
	t.deepEqual(silent, ['POST /api/v1/experiments/plan'], 'a question with a body changes nothing');
});

test('decisions about the mesh bear the name of the token', async (t) => {
	const { server, mesh } = open('token-of-ann');
	const ann = { authorization: 'Bearer token-of-ann' };
	const placement = { value: { models: ['*'], zones: ['z'] } };
	t.is((await call(server, 'PUT', '/api/v1/policies/placement/eu', placement, ann)).status, 200);
	const node = await call(server, 'POST', '/api/v1/nodes/one/cordon', { reason: 'kernel' }, ann);
	t.is(node.json['changedBy'], 'token:ann');
	t.is(mesh.mesh.nodes.find('one').changedBy, 'token:ann');
});
