// Targets of HTTP/2 through the router: everything that holds of HTTP/1.1 (streams event by event, usage, retries, timeouts, cancellation, copies) holds of a real
// `node:http2` engine too.
import type { ServerHttp2Stream } from 'node:http2';
import test, { type ExecutionContext } from 'ava';
import { hedgingDefaults } from './hedge/options.js';
import { type FakeHttp2, fakeHttp2, type StreamHandler } from './testing/http2.js';
import {
	answer,
	answerStream,
	answerWhole,
	chatBody,
	chunkEvent,
	doneEvent,
	errorOf,
	fakeEngine,
	firstRow,
	post,
	startRouter,
	type TestRouter,
	type TestRouterOptions,
	until,
	usageEvent,
} from './testing/kit.js';

const JSON_HEAD = { ':status': 200, 'content-type': 'application/json' };
const SSE_HEAD = { ':status': 200, 'content-type': 'text/event-stream' };
const CANCEL = 8;
/** A budget of copies that never runs out, earned by one served token. */
const generous = { ...hedgingDefaults, budgetRatio: 1e6, budgetTokensMax: 1e9, delayMsMin: 1 };

/** Calls `then` with the whole body. */
function whole(stream: ServerHttp2Stream, then: (body: string) => void): void {
	const chunks: Buffer[] = [];
	stream.on('data', (chunk: Buffer) => chunks.push(chunk));
	stream.on('end', () => then(Buffer.concat(chunks).toString()));
}

const good: StreamHandler = (stream) =>
	whole(stream, (body) => {
		const { stream: streamed, stream_options: options } = JSON.parse(body) as {
			stream?: boolean;
			stream_options?: { include_usage?: boolean };
		};
		if (streamed !== true) {
			stream.respond(JSON_HEAD);
			return stream.end(JSON.stringify(answer));
		}
		stream.respond(SSE_HEAD);
		stream.write(chunkEvent('hel'));
		stream.write(chunkEvent('lo'));
		if (options?.include_usage === true) stream.write(usageEvent);
		return stream.end(doneEvent);
	});

interface Rig {
	readonly mesh: TestRouter;
	readonly engines: readonly FakeHttp2[];
	readonly chat: (more?: Readonly<Record<string, unknown>>, init?: RequestInit) => Promise<Response>;
	readonly settled: () => Promise<readonly string[]>;
}

/** A router before engines of HTTP/2 that do what these handlers say; all of it ends with the test. */
async function rig(
	t: ExecutionContext,
	handlers: readonly StreamHandler[],
	more: Partial<TestRouterOptions> = {},
): Promise<Rig> {
	const engines = await Promise.all(handlers.map((handler) => fakeHttp2(handler)));
	const mesh = await startRouter({ origins: engines.map(({ origin }) => origin), targets: { http: 'h2' }, ...more });
	t.teardown(async () => {
		await mesh.close();
		await Promise.all(engines.map((engine) => engine.close()));
	});
	return {
		mesh,
		engines,
		chat: (body = {}, init = {}) =>
			fetch(`${mesh.url}/v1/chat/completions`, {
				method: 'POST',
				headers: { 'content-type': 'application/json' },
				body: chatBody(body),
				...init,
			}),
		settled: async () => {
			await until('nothing is in flight', () => mesh.router.inflight() === 0);
			t.deepEqual([mesh.open(), mesh.endedTwice(), mesh.errors], [0, 0, []]);
			return mesh.outcomes.map((outcome) => `${outcome.target.id} ${outcome.status}`);
		},
	};
}

test('a whole answer, with its usage, and what the engine is sent', async (t) => {
	const { mesh, engines, chat, settled } = await rig(t, [good]);
	const response = await chat();
	t.deepEqual(await response.json(), answer);
	t.is(response.headers.get('content-length'), String(JSON.stringify(answer).length));
	t.deepEqual(await settled(), ['t0 ok']);
	t.like(mesh.outcomes[0], { tokensIn: 3, tokensOut: 2 });
	t.like(engines[0]?.seen[0], {
		':method': 'POST',
		':path': '/v1/chat/completions',
		'content-type': 'application/json',
		'content-length': String(chatBody().length),
	});
	t.is(engines[0]?.seen[0]?.['connection'], undefined);
});

test('the same answers and the same outcomes as over HTTP/1.1', async (t) => {
	const one = await fakeEngine((req, res, body) =>
		(body.includes('"stream":true') ? answerStream(['hel', 'lo']) : answerWhole)(req, res, body),
	);
	const mesh1 = await startRouter({ origins: [one.origin] });
	const { mesh: mesh2 } = await rig(t, [good]);
	const seen = await Promise.all(
		[mesh1, mesh2].map(async (mesh) => {
			const texts: string[] = [];
			for (const more of [{}, { stream: true }, { stream: true, stream_options: { include_usage: true } }]) {
				const response = await post(`${mesh.url}/v1/chat/completions`, chatBody(more));
				texts.push(`${response.status} ${response.headers.get('content-type')} ${await response.text()}`);
			}
			await until('nothing is in flight', () => mesh.router.inflight() === 0);
			const outcomes = mesh.outcomes.map(({ status, tokensIn, tokensOut }) => ({ status, tokensIn, tokensOut }));
			return { texts, outcomes };
		}),
	);
	await mesh1.close();
	await one.close();
	t.deepEqual(seen[1], seen[0]);
	t.is(seen[1]?.texts.length, 3);
});

test('events of a stream pass as they are made', async (t) => {
	let go = (): void => undefined;
	const { chat, settled } = await rig(t, [
		(stream) => {
			stream.respond(SSE_HEAD);
			stream.write(chunkEvent('a'));
			go = () => void stream.end(chunkEvent('b') + doneEvent);
		},
	]);
	const response = await chat({ stream: true });
	const reader = (response.body as ReadableStream<Uint8Array>).getReader();
	t.is(Buffer.from((await reader.read()).value ?? []).toString(), chunkEvent('a'));
	go();
	let rest = '';
	for (let read = await reader.read(); !read.done; read = await reader.read())
		rest += Buffer.from(read.value).toString();
	t.is(rest, chunkEvent('b') + doneEvent);
	t.deepEqual(await settled(), ['t0 ok']);
});

test('a client that goes away cancels the engine’s work, before and inside the answer', async (t) => {
	let began = 0;
	const { engines, chat, settled } = await rig(t, [
		(stream, headers) => {
			began++;
			if (headers['x-late'] === undefined) return;
			stream.respond(SSE_HEAD);
			stream.write(chunkEvent('a'));
		},
	]);
	const before = new AbortController();
	const asked = chat({}, { signal: before.signal });
	await until('it has begun', () => began === 1);
	before.abort();
	await t.throwsAsync(asked);
	await until('the engine knows', () => engines[0]?.resets.length === 1);
	const inside = new AbortController();
	const headers = { 'content-type': 'application/json', 'x-late': '1' };
	await chat({ stream: true }, { signal: inside.signal, headers });
	inside.abort();
	await until('the engine knows', () => engines[0]?.resets.length === 2);
	t.deepEqual(engines[0]?.resets, [CANCEL, CANCEL]);
	t.deepEqual(await settled(), ['t0 cancelled', 't0 cancelled']);
	t.is(engines[0]?.sessions.size, 1, 'the session lives on');
});

const failing: readonly [what: string, handler: StreamHandler][] = [
	['its process dies before the head', (_stream, _headers, engine) => engine.kill()],
	[
		'its process dies after the head, before an event',
		(stream, _headers, engine) => {
			stream.respond(SSE_HEAD);
			stream.write(': soon\n\n', () => engine.kill());
		},
	],
	['it resets the stream', (stream) => stream.destroy(new Error('engine error'))],
	['it is told to go', (stream) => stream.session?.goaway(0, 0)],
	[
		'it answers 503',
		(stream) => {
			stream.respond({ ':status': 503, 'content-type': 'application/json' });
			stream.end('{}');
		},
	],
	['it says nothing for too long', () => undefined],
];

for (const [what, handler] of failing)
	test(`a request is not lost when its target fails: ${what}`, async (t) => {
		const { chat, settled } = await rig(t, [handler, good], {
			options: { upstream: { firstByteTimeoutMs: 300 }, retry: { staleConnectionMs: 0 } },
		});
		const response = await chat({ stream: true });
		t.is(response.headers.get('x-infermesh-target'), 't1');
		t.is(await response.text(), chunkEvent('hel') + chunkEvent('lo') + doneEvent);
		const [first, last] = await settled();
		t.not(first, 't0 ok');
		t.is(last, 't1 ok');
	});

test('a silent target’s stream is cancelled when its time is over', async (t) => {
	const { engines, chat } = await rig(t, [() => undefined], {
		options: { upstream: { firstByteTimeoutMs: 100 }, retry: { backoffMs: 0 } },
	});
	const response = await chat();
	t.is((await errorOf(response)).code, 'IM_UPSTREAM_FIRST_BYTE_TIMEOUT');
	await until('the engine knows', () => engines[0]?.resets.length === 1);
	t.deepEqual(engines[0]?.resets, [CANCEL]);
});

test('a stream that is cut inside ends with an error event, and the connection with it', async (t) => {
	const { chat, settled } = await rig(t, [
		(stream, _headers, engine) => {
			stream.respond(SSE_HEAD);
			stream.write(chunkEvent('a'), () => setImmediate(() => engine.kill()));
		},
	]);
	const response = await chat({ stream: true });
	let text = '';
	await t.throwsAsync(async () => {
		for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>)
			text += Buffer.from(bytes).toString();
	});
	t.true(text.startsWith(chunkEvent('a')));
	t.regex(text, /IM_UPSTREAM_DIED/);
	t.deepEqual(await settled(), ['t0 upstream_error']);
});

test('a copy wins over a slow target, whose stream is cancelled', async (t) => {
	let hedging = false;
	const { mesh, engines, chat, settled } = await rig(t, [() => undefined, good], {
		options: { hedge: generous },
		decide: (out, excluded) => {
			firstRow(2)(out, excluded);
			out.chosen = hedging ? 0 : 1;
			out.hedgeDelayMs = 5;
			out.hedgeCopies = hedging ? 1 : 0;
		},
	});
	await (await chat({ stream: true })).text();
	hedging = true;
	const response = await chat({ stream: true });
	t.is(response.headers.get('x-infermesh-target'), 't1');
	t.is(await response.text(), chunkEvent('hel') + chunkEvent('lo') + doneEvent);
	await settled();
	await until('the engine knows', () => engines[0]?.resets.length === 1);
	t.deepEqual([engines[0]?.resets, mesh.hedges], [[CANCEL], ['sent', 'won']]);
});

test('a full target’s plea for calm sends the request elsewhere', async (t) => {
	const { chat, settled } = await rig(t, [(stream) => stream.close(11), good]);
	const response = await chat();
	t.is(response.headers.get('x-infermesh-target'), 't1');
	t.is((await settled())[1], 't1 ok');
});

test('targets of both versions serve one model', async (t) => {
	const one = await fakeEngine(answerWhole);
	const two = await fakeHttp2(good);
	let turn = 0;
	const mesh = await startRouter({
		origins: [one.origin, two.origin],
		each: [{}, { http: 'h2' }],
		decide: (out, excluded) => {
			firstRow(2)(out, excluded);
			out.chosen = turn++ % out.count;
		},
	});
	t.teardown(async () => {
		await mesh.close();
		await one.close();
		await two.close();
	});
	const targets = new Set<string | null>();
	for (let n = 0; n < 10; n++) {
		const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
		t.is(response.status, 200);
		t.deepEqual(await response.json(), answer);
		targets.add(response.headers.get('x-infermesh-target'));
	}
	t.deepEqual(targets, new Set(['t0', 't1']));
	t.is(two.sessions.size, 1);
});
