// What clients say of KV handovers and ranks: it reaches no engine unless they are trusted, however it is written.
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { handoverUnread, withoutHandover } from './handover.js';
import { answerWhole, type FakeEngine, fakeEngine, startRouter, type TestRouter } from './testing/kit.js';

const evil = { kv_transfer_params: { do_remote_prefill: true, remote_host: 'evil' }, bootstrap_host: 'evil' };
const ranks = { bootstrap_port: 1, bootstrap_room: 2, routed_dp_rank: 3, data_parallel_rank: 4 };

async function open(
	t: ExecutionContext,
	trusted: boolean,
): Promise<{ readonly router: TestRouter; readonly engine: FakeEngine }> {
	const engine = await fakeEngine(answerWhole);
	const router = await startRouter({ origins: [engine.origin], ...(trusted ? {} : { key: 'k' }) });
	t.teardown(async () => {
		await router.close();
		await engine.close();
	});
	return { router, engine };
}

function send(url: string, body: string | Buffer | FormData, type?: string): Promise<Response> {
	const headers = { authorization: 'Bearer k', ...(type === undefined ? {} : { 'content-type': type }) };
	return fetch(url, { method: 'POST', headers, body: body as string });
}

/** Bodies of every dialect whose engines read such members. */
const dialects: readonly (readonly [path: string, body: object])[] = [
	['/v1/chat/completions', { model: 'm', messages: [{ role: 'user', content: 'kv_transfer_params' }] }],
	['/v1/completions', { model: 'm', prompt: 'x', stream: false }],
	['/v1/responses', { model: 'm', input: 'x' }],
	['/v1/messages', { model: 'm', max_tokens: 3, messages: [] }],
	['/v1/embeddings', { model: 'm', input: 'x' }],
	['/v1/rerank', { model: 'm', query: 'x', documents: ['bootstrap_host'] }],
	['/generate', { text: 'x', sampling_params: { max_new_tokens: 4 } }],
];

test('a body that is read loses them in every dialect, and nothing else', async (t) => {
	const { router, engine } = await open(t, false);
	for (const [path, body] of dialects) {
		const plain = await send(`${router.url}${path}`, JSON.stringify(body), 'application/json');
		t.is(plain.status, 200, path);
		t.is(engine.seen.at(-1)?.body, JSON.stringify(body), path);
		const response = await send(
			`${router.url}${path}`,
			JSON.stringify({ ...evil, ...body, ...ranks }),
			'application/json',
		);
		t.is(response.status, 200, path);
		t.is(engine.seen.at(-1)?.body, JSON.stringify(body), path);
	}
});

test('what a trusted caller says is passed on', async (t) => {
	const { router, engine } = await open(t, true);
	for (const [path, body] of dialects) {
		const text = JSON.stringify({ ...body, ...evil, ...ranks });
		await send(`${router.url}${path}`, text, 'application/json');
		t.is(engine.seen.at(-1)?.body, text, path);
	}
});

test('names that are escaped, stand twice or lie in what engines unpack are found', async (t) => {
	const { router, engine } = await open(t, false);
	const kept = '"model":"m","prompt" : "x","seed":12345678901234567890';
	for (const [extra, left] of [
		['"kv\\u005ftransfer_params":{"remote_host":"evil"}', undefined],
		['"bootstrap_host":"a","bootstrap_host":"evil"', undefined],
		['"vllm_xargs":{"a":[1],"kv_transfer_params":{"remote_host":"evil"}}', '"vllm_xargs":{"a":[1]}'],
		['"sampling_params":{"extra_args":{"kv_transfer_params":"evil"}}', '"sampling_params":{"extra_args":{}}'],
	] as const) {
		const response = await send(`${router.url}/v1/completions`, `{${extra},${kept}}`, 'application/json');
		t.is(response.status, 200, extra);
		t.is(engine.seen.at(-1)?.body, `{${left === undefined ? '' : `${left},`}${kept}}`);
	}
});

test('a body that is not read is refused when it names one, and passes when it does not', async (t) => {
	const { router, engine } = await open(t, false);
	const url = `${router.url}/generate`;
	const said = JSON.stringify({ text: 'x', ...evil });
	const form = new FormData();
	form.set('model', 'm');
	form.set('kv_transfer_params', '{}');
	for (const [what, response] of [
		['leading space', await send(url, ` ${said}`, 'application/json')],
		['another type', await send(url, said, 'text/plain')],
		['not JSON to us', await send(url, said.replace('"x"', 'NaN'), 'application/json')],
		['escaped', await send(url, ' {"bootstrap\\u005Fhost":"evil"}', 'application/json')],
		['escaped throughout', await send(url, ` {"text":"${'\\u0061'.repeat(2000)}"}`, 'application/json')],
		[
			'16 bits, escaped',
			await send(url, Buffer.from(' {"bootstrap\\u005Fhost":"evil"}', 'utf16le'), 'application/json'),
		],
		['16 bits', await send(url, Buffer.from(said, 'utf16le'), 'application/json')],
		['form', await send(`${router.url}/v1/audio/transcriptions`, form)],
	] as const) {
		t.deepEqual([response.status, response.headers.get('x-infermesh-error')], [403, 'IM_REQUEST_HANDOVER'], what);
	}
	t.is(engine.seen.length, 0);
	const harmless = ' {"text":"_params \\u005f bootstrap_ _rank"}';
	t.is((await send(url, harmless, 'application/json')).status, 200);
	t.is(engine.seen.at(-1)?.body, harmless);
	t.deepEqual(router.ended.filter(({ code }) => code === 'IM_REQUEST_HANDOVER').length, 8);
});

test('a name that JSON.parse has taken for another is found in the bytes', (t) => {
	const body = Buffer.from('{"kv\\u005ftransfer_params":{"remote_host":"evil"},"a":1}');
	// As V8 13.6 may read an escaped key once an object with the other has been parsed.
	t.is(withoutHandover(body, { 'kv\\u005ftransfer_p': {}, a: 1 }).toString(), '{"a":1}');
});

test('whatever a body is made of, what is left is the same less the members', (t) => {
	const names = fc.constantFrom('kv_transfer_params', 'bootstrap_room', 'vllm_xargs', 'extra_args', 'a', 'é"', '{');
	const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
		tree: fc.oneof(
			{ maxDepth: 3 },
			fc.jsonValue({ maxDepth: 1 }),
			fc.dictionary(names, tie('tree'), { maxKeys: 4 }),
			fc.array(tie('tree'), { maxLength: 3 }),
		),
	}));
	const clean = (value: Record<string, unknown>, depth: number): Record<string, unknown> =>
		Object.fromEntries(
			Object.entries(value)
				.filter(([name]) => name !== 'kv_transfer_params' && name !== 'bootstrap_room')
				.map(([name, inner]) => {
					const enters = depth < 2 && (name === 'vllm_xargs' || name === 'extra_args');
					const isObject = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
					return [name, enters && isObject ? clean(inner as Record<string, unknown>, depth + 1) : inner];
				}),
		);
	fc.assert(
		fc.property(fc.dictionary(names, tree, { maxKeys: 5 }), fc.constantFrom('', '\t', '  '), (object, space) => {
			const body = Buffer.from(JSON.stringify(object, null, space));
			const parsed = JSON.parse(body.toString()) as Record<string, unknown>;
			const left = withoutHandover(body, parsed);
			t.is(JSON.stringify(JSON.parse(left.toString())), JSON.stringify(clean(parsed, 0)), body.toString());
			if (left !== body) t.not(handoverUnread(body), undefined);
		}),
	);
});
