// Stored responses of several tenants on a mesh of real processes: whoever made one reaches it through any router, also one that was started again; nobody
// else does. And of one node: through all its workers.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { MeshError } from '@infermesh/proto';
import test from 'ava';
import { admitWithoutTrial } from '../support/decider.js';
import { eventually, MODEL, startTestEngine, startTestMesh, type TestMesh } from '../support/mesh.js';
import { type MeshNode, startNodes } from '../support/mesh-nodes.js';

interface Answer {
	readonly status: number;
	readonly code: string | null;
	readonly target: string | null;
	readonly body: { readonly id?: string; readonly status?: string };
}

/** On a connection of its own, so that any worker may have it. */
async function ask(url: string, tenant: string, method: string, path: string, body?: object): Promise<Answer> {
	const response = await fetch(`${url}${path}`, {
		method,
		headers: { 'content-type': 'application/json', connection: 'close', 'x-infermesh-tenant': tenant },
		...(body === undefined ? {} : { body: JSON.stringify(body) }),
	});
	const text = await response.text();
	return {
		status: response.status,
		code: response.headers.get('x-infermesh-error'),
		target: response.headers.get('x-infermesh-target'),
		body: text === '' ? {} : (JSON.parse(text) as Answer['body']),
	};
}

const question = { model: MODEL, input: 'Hello', max_output_tokens: 4 };
const make = (url: string, tenant: string, more: object = {}): Promise<Answer> =>
	ask(url, tenant, 'POST', '/v1/responses', { ...question, ...more });

test.serial('one node: every worker knows whose a response is', async (t) => {
	const mesh = await startTestMesh(t, { engines: 3, config: { data: { workers: 3 } } });
	const made = await Promise.all(Array.from({ length: 6 }, () => make(mesh.dataUrl, 'acme')));
	for (const { body, target } of made) {
		for (let connection = 0; connection < 6; connection++) {
			const path = `/v1/responses/${body.id}`;
			const own = await ask(mesh.dataUrl, 'acme', 'GET', path);
			t.deepEqual([own.status, own.target, own.body.id], [200, target, body.id]);
			const others = await ask(mesh.dataUrl, 'other', 'GET', path);
			t.deepEqual([others.status, others.code, others.target], [404, 'IM_ROUTE_RESPONSE_UNKNOWN', null]);
		}
	}
});

test.serial('one node: what was stored before it was started again is still its tenant’s', async (t) => {
	t.timeout(240_000);
	const keepIn = mkdtempSync(path.join(tmpdir(), 'kept-key-'));
	t.teardown(() => rmSync(keepIn, { recursive: true, force: true }));
	const engine = await startTestEngine(t);
	const config = { data: { workers: 1 }, targets: [{ id: 'engine', url: engine.url, models: [MODEL] }] };
	const start = () => startTestMesh(t, { admit: admitWithoutTrial, engines: 0, keepIn, config });
	const reached = async (mesh: TestMesh, tenant: string, id = ''): Promise<number> => {
		await eventually('the target serves', async () => (await make(mesh.dataUrl, 'early')).status === 200);
		return (await ask(mesh.dataUrl, tenant, 'GET', `/v1/responses/${id}`)).status;
	};
	const first = await start();
	await eventually('the target serves', async () => (await make(first.dataUrl, 'early')).status === 200);
	const { id } = (await make(first.dataUrl, 'acme')).body;
	t.is(await reached(first, 'acme', id), 200);
	await first.close();
	const again = await start();
	t.is(await reached(again, 'acme', id), 200);
	t.is(await reached(again, 'other', id), 404);
	await again.close();
	const file = path.join(keepIn, 'node', 'response-key');
	chmodSync(file, 0o644);
	const error = await t.throwsAsync(start());
	t.is((error as MeshError | undefined)?.code, 'IM_ROUTE_RESPONSE_KEY_FILE');
	rmSync(file);
	const anew = await start();
	t.is(await reached(anew, 'acme', id), 404, 'another key vouches for nobody');
});

test.serial(
	'three routers: a response is its tenant’s at all of them, and after one was killed and started again',
	async (t) => {
		t.timeout(300_000);
		const engines = await Promise.all([startTestEngine(t), startTestEngine(t)]);
		const targets = engines.map(({ url }, at) => ({ id: `engine-${at + 1}`, url, models: [MODEL] }));
		const nodes = await startNodes(t, [{ targets }, {}, {}]);
		const [first, second, third] = nodes as [MeshNode, MeshNode, MeshNode];
		for (const node of nodes)
			await eventually(`${node.name} routes`, async () => (await make(node.data, 'early')).status === 200, {
				withinMs: 60_000,
				everyMs: 50,
			});
		const made = await Promise.all(nodes.map(({ data }) => make(data, 'acme')));
		const reached = async (node: MeshNode): Promise<void> => {
			for (const { body, target } of made) {
				const path = `/v1/responses/${body.id}`;
				const own = await ask(node.data, 'acme', 'GET', path);
				t.deepEqual([own.status, own.target], [200, target], node.name);
				const next = await make(node.data, 'acme', { previous_response_id: body.id });
				t.deepEqual([next.status, next.target], [200, target], 'it goes on where the former was made');
				for (const [method, at, asked] of [
					['GET', path],
					['GET', `${path}/input_items`],
					['POST', `${path}/cancel`],
					['DELETE', path],
					['POST', '/v1/responses', { ...question, previous_response_id: body.id }],
				] as const) {
					const refused = await ask(node.data, 'other', method, at, asked);
					t.deepEqual([refused.status, refused.code], [404, 'IM_ROUTE_RESPONSE_UNKNOWN'], `${method} ${at}`);
				}
			}
		};
		for (const node of nodes) await reached(node);

		await third.end('SIGKILL');
		await third.start();
		await eventually('it routes again', async () => (await make(third.data, 'early')).status === 200, {
			withinMs: 60_000,
			everyMs: 50,
		});
		await reached(third);

		const long = await make(second.data, 'acme', { background: true, max_output_tokens: 100_000, ignore_eos: true });
		const path = `/v1/responses/${long.body.id}`;
		t.is((await ask(first.data, 'acme', 'POST', `${path}/cancel`)).body.status, 'cancelled');
		t.is((await ask(third.data, 'acme', 'DELETE', path)).status, 200);
		t.is((await ask(first.data, 'acme', 'GET', path)).status, 404);
	},
);
