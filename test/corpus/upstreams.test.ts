// What upstreams send that is no response, two, or none in time, through a real mesh: the client gets one clear answer, the cost is bounded, and no byte of it
// reaches another request, on whatever connection.
import type { Socket } from 'node:net';
import test from 'ava';
import { eventually, startTestMesh } from '../support/mesh.js';
import { echo, markerOf, type SeenRequest, type StrictEngine, startStrictEngine } from './strict-engine.js';

const MODEL = 'corpus';

let engine: StrictEngine;
let url = '';
const teardowns: (() => Promise<void> | void)[] = [];

test.before(async () => {
	engine = await startStrictEngine();
	const mesh = await startTestMesh(
		{ teardown: (fn) => void teardowns.push(fn) },
		{
			engines: [],
			config: {
				data: {
					port: 0,
					workers: 1,
					upstream: { first_byte_timeout_ms: 2000, idle_timeout_ms: 2000 },
					retry: { attempts_max: 1 },
				},
				strategy: { active: 'least_queue' },
				// Every case would count against the target.
				outlier: { consecutive_failures: 10_000, error_ratio: 1, requests_min: 1_000_000 },
				targets: [{ id: 'strict', url: engine.url, models: [MODEL], metrics_path: '', health_path: '' }],
			},
		},
	);
	url = mesh.dataUrl;
	await eventually('the mesh serves', async () => (await ask('first')).status === 200);
});

test.after.always(async () => {
	for (const fn of teardowns.reverse()) await fn();
	await engine.close();
});

interface Asked {
	readonly status: number;
	readonly code: string | null;
	/** Undefined when the answer was cut. */
	readonly text: string | undefined;
}

async function ask(marker: string, stream = false): Promise<Asked> {
	const response = await fetch(`${url}/v1/chat/completions`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ model: MODEL, marker, stream }),
		signal: AbortSignal.timeout(60_000),
	});
	const text = await response.text().catch(() => undefined);
	return { status: response.status, code: response.headers.get('x-infermesh-error'), text };
}

type Send = (socket: Socket, request: SeenRequest) => void;
const bytes =
	(text: string, then: 'open' | 'end' | 'reset' = 'open'): Send =>
	(socket) => {
		if (then === 'reset') socket.write(text, 'latin1', () => void socket.resetAndDestroy());
		else if (then === 'end') socket.end(text, 'latin1');
		else socket.write(text, 'latin1');
	};
const poison = '{"choices":[{"message":{"content":"poison"}}]}';
const poisoned = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${poison.length}\r\n\r\n${poison}`;
const ok = (fields: readonly string[], body = ''): string =>
	`${['HTTP/1.1 200 OK', 'content-type: application/json', ...fields].join('\r\n')}\r\n\r\n${body}`;

/** Sends `first`, then `more` for as long as the other side takes it. */
const endless =
	(first: string, more: string): Send =>
	(socket) => {
		socket.write(first, 'latin1');
		const go = (): void => {
			while (!socket.destroyed && socket.writable)
				if (!socket.write(more, 'latin1')) return void socket.once('drain', go);
		};
		go();
	};

const protocol: readonly (readonly [string, Send])[] = [
	['nonsense', bytes('nonsense\r\n\r\n')],
	['another protocol', bytes('220 mail.example ESMTP\r\n')],
	['HTTP/2', bytes('\u0000\u0000\u0012\u0004\u0000\u0000\u0000\u0000\u0000')],
	['HTTP/0.9', bytes('<html>hello</html>', 'end')],
	['a status that is none', bytes('HTTP/1.1 abc OK\r\n\r\n')],
	['a status of four digits', bytes('HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n')],
	['a status of 099', bytes('HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n')],
	['both lengths', bytes(ok(['content-length: 3', 'transfer-encoding: chunked'], `0\r\n\r\n${poisoned}`))],
	['two lengths', bytes(ok(['content-length: 2', 'content-length: 200'], `{}${poisoned}`))],
	['a list of lengths', bytes(ok(['content-length: 2, 2'], '{}'))],
	['a signed length', bytes(ok(['content-length: +2'], '{}'))],
	['a negative length', bytes(ok(['content-length: -1'], '{}'))],
	['a hexadecimal length', bytes(ok(['content-length: 0x2'], '{}'))],
	['a length too large', bytes(ok(['content-length: 99999999999999999999'], '{}'))],
	['an unknown encoding', bytes(ok(['transfer-encoding: cow'], `0\r\n\r\n${poisoned}`))],
	['an encoding twice', bytes(ok(['transfer-encoding: chunked, chunked'], `0\r\n\r\n${poisoned}`))],
	['a folded length', bytes(ok(['content-length:', ' 2'], `{}${poisoned}`))],
	['a folded field', bytes(ok(['x-a: b', '\tc', 'content-length: 2'], '{}'))],
	['bare line feeds', bytes('HTTP/1.1 200 OK\ncontent-length: 2\n\n{}')],
	['a bare carriage return in a value', bytes(ok(['x-a: b\rset-cookie: c', 'content-length: 2'], '{}'))],
	['a NUL in a value', bytes(ok(['x-a: b\0c', 'content-length: 2'], '{}'))],
	['a space before a colon', bytes(ok(['content-length : 2'], '{}'))],
	['a field without a colon', bytes(ok(['nonsense', 'content-length: 2'], '{}'))],
	['a bad chunk size', bytes(ok(['transfer-encoding: chunked'], `zz\r\n{}\r\n0\r\n\r\n${poisoned}`))],
	['a chunk size too large', bytes(ok(['transfer-encoding: chunked'], `fffffffffffffffff\r\n{}`))],
	['a chunk longer than its size', bytes(ok(['transfer-encoding: chunked'], `2\r\n{}{}\r\n0\r\n\r\n`))],
	['a chunk with a bare line feed', bytes(ok(['transfer-encoding: chunked'], `2\n{}\n0\n\n`))],
	[
		'a switch of protocols',
		bytes(`HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n${poisoned}`),
	],
	['an endless header', endless('HTTP/1.1 200 OK\r\nx-a: ', 'a'.repeat(8192))],
	['endless headers', endless('HTTP/1.1 200 OK\r\n', 'x-a: b\r\n'.repeat(512))],
	['an endless status', endless('HTTP/1.1 200 ', 'a'.repeat(8192))],
	['endless interim answers', endless('', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(256))],
	['an endless chunk extension', endless(ok(['transfer-encoding: chunked'], '2;'), 'a'.repeat(8192))],
	['endless trailers', endless(ok(['transfer-encoding: chunked'], '2\r\n{}\r\n0\r\n'), 'x-a: b\r\n'.repeat(512))],
];

const deaths: readonly (readonly [string, Send])[] = [
	['nothing, and the end', bytes('', 'end')],
	['nothing, and a reset', bytes('', 'reset')],
	['half a head', bytes('HTTP/1.1 200 OK\r\ncontent-', 'end')],
	['half a body', bytes(ok(['content-length: 200'], '{"a":'), 'end')],
	['half a chunk', bytes(ok(['transfer-encoding: chunked'], 'ff\r\n{"a":'), 'end')],
	['chunks without an end', bytes(ok(['transfer-encoding: chunked'], '2\r\n{}\r\n'), 'end')],
	['half a body, and a reset', bytes(ok(['content-length: 200'], '{"a":'), 'reset')],
	['half a body, and silence', bytes(ok(['content-length: 200'], '{"a":'))],
	['silence', () => undefined],
];

/** Markers come back to who sent them, one at a time and many at once. */
async function undisturbed(name: string): Promise<readonly (string | undefined)[]> {
	engine.answer = echo;
	const markers = Array.from({ length: 6 }, (_, at) => `${name.replaceAll(/[^a-z]/gi, '-')}-${at}`);
	const asked = [
		await ask(markers[0] as string),
		...(await Promise.all(markers.slice(1).map((marker) => ask(marker)))),
	];
	return asked.flatMap(({ text }, at) =>
		text?.includes(`"${markers[at]}"`) === true ? [] : [`${markers[at]}: ${text}`],
	);
}

for (const [kind, cases] of [
	['no response', protocol],
	['death', deaths],
] as const)
	for (const [name, send] of cases)
		test.serial(`upstream, ${kind}: ${name}`, async (t) => {
			engine.answer = send;
			const answer = await ask('victim');
			t.true([502, 503, 504].includes(answer.status), `${answer.status} ${answer.text}`);
			t.regex(answer.code ?? '', /^IM_(UPSTREAM|ROUTE)_/);
			t.false(answer.text?.includes('poison'), answer.text);
			t.deepEqual(await undisturbed(name), []);
			t.deepEqual(engine.violations, []);
		});

test.serial('more than one answer: what follows a whole one is nobody’s', async (t) => {
	const own = (request: SeenRequest): string => {
		const body = `{"choices":[{"message":{"content":"${markerOf(request)}"}}]}`;
		return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
	};
	for (const [name, after] of [
		['in the same bytes', (socket: Socket, request: SeenRequest) => void socket.write(own(request) + poisoned)],
		['many', (socket: Socket, request: SeenRequest) => void socket.write(own(request) + poisoned.repeat(50))],
	] as const) {
		engine.answer = after;
		const answers = await Promise.all(Array.from({ length: 4 }, (_, at) => ask(`own-${at}`)));
		for (const [at, { status, text }] of answers.entries()) {
			t.is(status, 200, name);
			t.true(text?.includes(`"own-${at}"`), `${name}: ${text}`);
		}
		t.deepEqual(await undisturbed(name), [], name);
	}
});

test.serial('an engine that talks before it is asked loses the connection', async (t) => {
	engine.answer = echo;
	await Promise.all(Array.from({ length: 4 }, (_, at) => ask(`warm-${at}`)));
	t.true(engine.open() > 0, 'connections are kept');
	engine.volunteer(poisoned);
	await eventually('they are closed', () => Promise.resolve(engine.open() === 0));
	t.deepEqual(await undisturbed('volunteer'), []);
});

test.serial('a stream that dies in its middle is cut, never ended, and its connection is not used again', async (t) => {
	const event = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n';
	const chunk = `${event.length.toString(16)}\r\n${event}\r\n`;
	const begin = `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n${chunk}`;
	for (const [name, send] of [
		['the end', bytes(begin, 'end')],
		['a reset', bytes(begin, 'reset')],
		['silence', bytes(begin)],
		['nonsense', bytes(`${begin}zz\r\n${poisoned}`)],
		['half an event, and the end', bytes(`${begin}ff\r\ndata: {"cho`, 'end')],
		['a second response in its place', bytes(`${begin}${poisoned}`)],
	] as const) {
		engine.answer = send;
		const { status, text } = await ask('stream', true);
		t.is(status, 200, name);
		t.false(text?.includes('[DONE]') === true, `${name}: ${text}`);
		t.false(text?.includes('poison') === true, `${name}: ${text}`);
		t.true(text === undefined || /"code":"IM_|"error"/.test(text), `${name}: cut, or ended by an error event: ${text}`);
		t.deepEqual(await undisturbed(name), [], name);
	}
});
