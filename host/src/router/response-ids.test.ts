// Who may reach a stored response: the tenant that made it, through any router that has the mesh's key. For everybody else it is as if it had never been.
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { ResponseIds, targetTag } from './response-ids.js';
import { markedBody, markedEvents } from './response-marks.js';
import { type EngineHandler, type FakeEngine, fakeEngine, startRouter, type TestRouter } from './testing/kit.js';

const KEY = 'of this mesh';
const json = { 'content-type': 'application/json' };
const tag = targetTag('t0');

/** An engine that stores what it answers and believes its clients as vLLM does: the id they choose, the metadata they send. */
function storing(): EngineHandler {
	let made = 0;
	const stored = new Map<string, object>();
	return (req, res, body) => {
		const asked = body.length === 0 ? {} : (JSON.parse(body.toString()) as Record<string, unknown>);
		const answer = (status: number, value: unknown): void =>
			void res.writeHead(status, json).end(JSON.stringify(value));
		const id = req.url?.split('/')[3] ?? '';
		if (id !== '') {
			const found = stored.get(id);
			if (found === undefined) return answer(404, { error: { message: `Response with id '${id}' not found.` } });
			if (req.method === 'DELETE') stored.delete(id);
			return answer(200, found);
		}
		const previous = asked['previous_response_id'];
		if (previous !== undefined && !stored.has(previous as string))
			return answer(404, { error: { message: 'not found' } });
		const response = {
			id: asked['request_id'] ?? `resp_${++made}`,
			object: 'response',
			previous_response_id: previous ?? null,
			metadata: asked['metadata'] ?? {},
			input: asked['input'],
		};
		if (asked['store'] !== false) stored.set(response.id as string, response);
		if (asked['stream'] !== true) return answer(200, response);
		res.writeHead(200, { 'content-type': 'text/event-stream' });
		res.write(`event: response.created\ndata: ${JSON.stringify({ type: 'response.created', response })}\n\n`);
		res.end(`event: response.completed\ndata: ${JSON.stringify({ type: 'response.completed', response })}\n\n`);
	};
}

interface Rig {
	readonly engine: FakeEngine;
	readonly routers: readonly TestRouter[];
}

async function rig(t: ExecutionContext, keys: readonly (string | undefined)[] = [KEY, KEY]): Promise<Rig> {
	const engine = await fakeEngine(storing());
	const routers = await Promise.all(
		keys.map((responseKey) => startRouter({ origins: [engine.origin], ports: { responseKey } })),
	);
	t.teardown(async () => {
		await Promise.all(routers.map((router) => router.close()));
		await engine.close();
	});
	return { engine, routers };
}

const as = (tenant: string): Record<string, string> => ({ ...json, 'x-infermesh-tenant': tenant });

async function make(url: string, tenant: string, more: object = {}): Promise<string> {
	const body = JSON.stringify({ model: 'm', input: 'x', ...more });
	const response = await fetch(`${url}/v1/responses`, { method: 'POST', headers: as(tenant), body });
	return ((await response.json()) as { id: string }).id;
}

interface Refusal {
	readonly status: number;
	readonly code: string | null;
	readonly body: string;
}

async function ask(url: string, tenant: string, method: string, path: string, body?: object): Promise<Refusal> {
	const response = await fetch(`${url}${path}`, {
		method,
		headers: as(tenant),
		...(body === undefined ? {} : { body: JSON.stringify(body) }),
	});
	// What differs from request to request is its own id, and says nothing.
	const text = (await response.text()).replaceAll(response.headers.get('x-request-id') ?? '-', 'ID');
	return { status: response.status, code: response.headers.get('x-infermesh-error'), body: text };
}

test('only the tenant that made a response reaches it, by every way there is, at every router', async (t) => {
	const { engine, routers } = await rig(t);
	const [first, second] = routers as [TestRouter, TestRouter];
	const id = await make(first.url, 'acme');
	const ways = [
		['GET', `/v1/responses/${id}`],
		['HEAD', `/v1/responses/${id}`],
		['GET', `/v1/responses/${id}/input_items`],
		['POST', `/v1/responses/${id}/cancel`],
		['POST', '/v1/responses', { model: 'm', input: 'and?', previous_response_id: id }],
		['DELETE', `/v1/responses/${id}`],
	] as const;
	for (const { url } of routers) {
		const before = engine.seen.length;
		for (const [method, path, body] of ways) {
			const refused = await ask(url, 'other', method, path, body);
			t.deepEqual([refused.status, refused.code], [404, 'IM_ROUTE_RESPONSE_UNKNOWN'], `${method} ${path}`);
		}
		t.is(engine.seen.length, before, 'no engine is asked for somebody else');
	}
	for (const [method, path, body] of ways) t.is((await ask(second.url, 'acme', method, path, body)).status, 200, path);
	t.is((await ask(first.url, 'acme', 'GET', `/v1/responses/${id}`)).status, 404, 'it is deleted');
});

test('one of somebody else’s, one that was never made, one without marks and one with others’ look the same', async (t) => {
	const { engine, routers } = await rig(t);
	const [router] = routers as [TestRouter];
	const id = await make(router.url, 'acme');
	const before = engine.seen.length;
	const forged = `resp_${new ResponseIds('a guess').mark(tag, 'other', 'resp_1')}1`;
	const nowhere = `resp_${new ResponseIds(KEY).mark(targetTag('gone'), 'other', 'resp_1')}1`;
	const names = [
		id,
		id.replace(/.$/, '9'),
		'resp_1',
		`resp_im${tag}_1`,
		forged,
		nowhere,
		'x',
		`${id}${'y'.repeat(400)}`,
	];
	const answers = await Promise.all(names.map((name) => ask(router.url, 'other', 'GET', `/v1/responses/${name}`)));
	t.is(answers[0]?.status, 404);
	for (const answer of answers) t.deepEqual(answer, answers[0] as Refusal);
	const previous = await Promise.all(
		names.map((name) =>
			ask(router.url, 'other', 'POST', '/v1/responses', { model: 'm', input: 'x', previous_response_id: name }),
		),
	);
	for (const answer of previous) t.deepEqual(answer, previous[0] as Refusal);
	t.is(engine.seen.length, before);
});

test('nobody has the router vouch for an id of another’s: neither by choosing one nor by having the engine repeat one', async (t) => {
	const { engine, routers } = await rig(t, [KEY]);
	const [router] = routers as [TestRouter];
	await make(router.url, 'acme');
	const chosen = await make(router.url, 'other', { request_id: 'resp_1', store: false });
	t.is(chosen, `resp_${new ResponseIds(KEY).mark(tag, 'other', 'resp_2')}2`, 'the engine chose it');
	t.false(engine.seen.at(-1)?.body.includes('request_id'));
	await fetch(`${router.url}/v1/responses`, {
		method: 'POST',
		headers: as('other'),
		body: '{"model":"m","input":"x","request\\u005fid":"resp_1","previous_response_id":null}',
	});
	t.false(engine.seen.at(-1)?.body.includes('005fid'));
	const metadata = { id: 'resp_1', response_id: 'resp_1', response: { id: 'resp_1' } };
	for (const stream of [false, true]) {
		const body = JSON.stringify({ model: 'm', input: [{ id: 'resp_1' }], metadata, stream });
		const response = await fetch(`${router.url}/v1/responses`, { method: 'POST', headers: as('other'), body });
		const text = await response.text();
		t.is(text.match(/"id":"resp_im/g)?.length, stream ? 2 : 1, text);
		t.true(text.includes('"metadata":{"id":"resp_1","response_id":"resp_1","response":{"id":"resp_1"}}'), text);
	}
});

test('a router without the mesh’s key says so, until it has it; with another it vouches for nothing of before', async (t) => {
	const { routers } = await rig(t, [KEY, undefined]);
	const [known, late] = routers as [TestRouter, TestRouter];
	const id = await make(known.url, 'acme');
	for (const [method, path, body] of [
		['GET', `/v1/responses/${id}`],
		['POST', '/v1/responses', { model: 'm', input: 'x' }],
	] as const) {
		const refused = await ask(late.url, 'acme', method, path, body);
		t.deepEqual([refused.status, refused.code], [503, 'IM_ROUTE_RESPONSE_KEY']);
	}
	t.is((await ask(late.url, 'acme', 'POST', '/v1/completions', { model: 'm', prompt: 'x' })).status, 200);
	late.router.setResponseKey(KEY);
	t.is((await ask(late.url, 'acme', 'GET', `/v1/responses/${id}`)).status, 200);
	late.router.setResponseKey('another');
	t.is((await ask(late.url, 'acme', 'GET', `/v1/responses/${id}`)).code, 'IM_ROUTE_RESPONSE_UNKNOWN');
});

test('what is owned is what was marked, for that tenant, target and id alone', (t) => {
	const ids = new ResponseIds(KEY);
	const text = fc.string({ minLength: 1, maxLength: 40 }).filter((one) => !/[\n\r\u2028\u2029]/.test(one));
	fc.assert(
		fc.property(text, text, text, text, (rest, tenant, otherTenant, otherRest) => {
			const name = `resp_${ids.mark(tag, tenant, `resp_${rest}`)}${rest}`;
			const owned = ids.owned(name, tenant);
			if (owned?.id !== `resp_${rest}` || owned.tag !== tag) return false;
			if (otherTenant !== tenant && ids.owned(name, otherTenant) !== undefined) return false;
			const moved = `${name.slice(0, name.length - rest.length)}${otherRest}`;
			return otherRest === rest || ids.owned(moved, tenant) === undefined;
		}),
		{ numRuns: 500 },
	);
	const at = 'resp_im'.length;
	const name = `resp_${ids.mark(tag, 'acme', 'resp_1')}1`;
	for (let changed = at; changed < name.indexOf('_', at + 24); changed++) {
		const other = name[changed] === 'A' ? 'B' : 'A';
		t.is(ids.owned(`${name.slice(0, changed)}${other}${name.slice(changed + 1)}`, 'acme'), undefined);
	}
});

test('marks of two routers on the way lie around each other', (t) => {
	const [inner, outer] = [new ResponseIds('inner'), new ResponseIds('outer')];
	const through = (ids: ResponseIds, target: string, body: Buffer): Buffer =>
		markedBody(body, (id) => ids.mark(targetTag(target), 'acme', id));
	const twice = through(outer, 'cell', through(inner, 'engine', Buffer.from('{"id":"resp_a"}')));
	const at = outer.owned((JSON.parse(twice.toString()) as { id: string }).id, 'acme');
	t.is(at?.tag, targetTag('cell'));
	t.deepEqual(inner.owned(at?.id ?? '', 'acme'), { tag: targetTag('engine'), id: 'resp_a' });
});

test('ids are marked where the engine names a response, and nothing else is touched, whole or cut', (t) => {
	const mark = (id: string): string => `<${id}>`;
	const body =
		'{"x":{"id":"resp_x"},"id": "resp_a","said":"\\"id\\":\\"resp_c\\"","response":{"id":"resp_d","metadata":{"id":"resp_e"}}}';
	t.is(
		markedBody(Buffer.from(body), mark).toString(),
		body.replace('"resp_a', '"resp_<resp_a>a').replace('"resp_d', '"resp_<resp_d>d'),
	);
	for (const other of [
		'["resp_1"]',
		'"resp_1"',
		'{"id":["resp_1"]}',
		'{"id":"resp_1',
		'{"id":"resp_1"',
		'x "resp_',
		'{"id"',
	])
		t.is(markedBody(Buffer.from(other), mark).toString(), other);
	const events = `: "id":"resp_0"\r\nevent: a\r\ndata: {"id":"resp_1"}\r\n\r\ndata:{"response":{"id":"resp_2"}}\n\ndata: [DONE]\n\n`;
	t.is(
		markedEvents(Buffer.from(events), mark).toString(),
		events.replace('"resp_1', '"resp_<resp_1>1').replace('"resp_2', '"resp_<resp_2>2'),
	);
	fc.assert(
		fc.property(fc.json(), fc.nat(), (value, cut) => {
			const bytes = Buffer.from(`{"id":"resp_1","more":${value}}`);
			const part = bytes.subarray(0, cut % (bytes.length + 1));
			const marked = markedBody(part, mark).toString();
			return marked.replace('<resp_1>', '') === part.toString();
		}),
		{ numRuns: 500 },
	);
});
