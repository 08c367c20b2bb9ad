// The scoring API in streams over HTTP/1.1 and HTTP/2: the same answers as one by one, in order, errors in band, admissions held while the stream is open, bounds, rights,
// backpressure, and a router that closes.
import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { Duplex } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import { chatBody, post, type TestRouter, until } from '../testing/kit.js';
import { LineReader, readLine } from './line-reader.js';
import { flood, scoringRouter } from './testing.js';

const SCORE = '/api/v1/score';
const ADMIT = '/api/v1/admit';
const OUTCOME = '/api/v1/outcome';
const CHAT = '/v1/chat/completions';
const lines = { 'content-type': 'application/x-ndjson' };

type Answer = Readonly<Record<string, unknown>> & { readonly error?: { readonly code: string } };

interface Stream {
	readonly answers: readonly Answer[];
	say(...said: unknown[]): void;
	end(): void;
	/** Breaks it. */
	kill(): void;
	/** Resolves when the response has ended as it should, with the status; or `broken`. */
	readonly over: Promise<number | 'broken'>;
}

type Version = '1.1' | '2';
const versions: readonly Version[] = ['1.1', '2'];

/** Opens a stream; `said` goes as one line each, texts as they are. */
function open(
	t: ExecutionContext,
	made: TestRouter,
	version: Version,
	path: string,
	more: Readonly<Record<string, string>> = {},
): Stream {
	return version === '2' ? open2(t, made, path, { ...lines, ...more }) : open1(t, made, path, { ...lines, ...more });
}

function collect(from: Duplex | IncomingMessage, answers: Answer[]): void {
	let rest = '';
	from.setEncoding('utf8');
	from.on('data', (text: string) => {
		const parts = (rest + text).split('\n');
		rest = parts.pop() as string;
		for (const part of parts) answers.push(JSON.parse(part) as Answer);
	});
}

function says(to: ClientRequest | ClientHttp2Stream): (...said: unknown[]) => void {
	return (...said) => {
		for (const one of said) to.write(typeof one === 'string' ? one : `${JSON.stringify(one)}\n`);
	};
}

function open1(t: ExecutionContext, made: TestRouter, path: string, headers: Readonly<Record<string, string>>): Stream {
	const answers: Answer[] = [];
	const req = httpRequest(`${made.url}${path}`, { method: 'POST', headers, agent: false });
	t.teardown(() => req.destroy());
	const over = new Promise<number | 'broken'>((resolve) => {
		req.on('error', () => resolve('broken'));
		req.on('response', (res) => {
			collect(res, answers);
			res.on('error', () => undefined);
			res.on('close', () => resolve(res.complete ? (res.statusCode ?? 0) : 'broken'));
		});
	});
	req.flushHeaders();
	return { answers, say: says(req), end: () => req.end(), kill: () => req.destroy(), over };
}

function open2(t: ExecutionContext, made: TestRouter, path: string, headers: Readonly<Record<string, string>>): Stream {
	const answers: Answer[] = [];
	const session = connect(made.url);
	session.on('error', () => undefined);
	t.teardown(() => session.destroy());
	const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
	let status = 0;
	stream.on('response', (head) => void (status = Number(head[':status'])));
	stream.on('error', () => undefined);
	collect(stream, answers);
	const over = once(stream, 'close').then(() => (stream.rstCode === 0 ? status : ('broken' as const)));
	return {
		answers,
		say: says(stream),
		end: () => stream.end(),
		kill: () => stream.close(constants.NGHTTP2_CANCEL),
		over,
	};
}

const question = (id?: unknown, more: Readonly<Record<string, unknown>> = {}, headers?: object): object => ({
	id,
	path: CHAT,
	headers,
	body: JSON.parse(chatBody(more)) as unknown,
});

const codes = ({ answers }: Stream): readonly unknown[] => answers.map(({ error }) => error?.code ?? 'ok');

for (const version of versions) {
	test(`answers are those of single questions, in order, with what is wrong in its place: HTTP/${version}`, async (t) => {
		const made = await scoringRouter(t);
		const single = (await (await post(`${made.url}${SCORE}${CHAT}`, chatBody({ max_tokens: 7 }))).json()) as object;
		const stream = open(t, made, version, SCORE);
		stream.say(
			question(1, { max_tokens: 7 }),
			'\n  \r\n',
			'{"id": "no json", \n',
			question('two', { model: 'nobody' }),
		);
		stream.say({ id: 3, path: '/nowhere' }, { id: 4, path: '/api/v1/secret', body: {} }, question({ deep: 1 }));
		stream.say({ id: 5, path: CHAT, bodyBase64: Buffer.from(chatBody({ max_tokens: 7 })).toString('base64') });
		stream.say({ id: 6, path: CHAT, headers: { 'x-request-id': 7 }, body: {} }, { decision: 'x', id: 7, status: 'ok' });
		stream.say(JSON.stringify(question(8)));
		stream.end();
		t.is(await stream.over, 200);
		t.deepEqual(stream.answers[0], { id: 1, ...single });
		t.deepEqual(stream.answers[6], { id: 5, ...single });
		t.deepEqual(codes(stream), [
			'ok',
			'IM_REQUEST_JSON',
			'IM_ROUTE_MODEL_UNKNOWN',
			'IM_REQUEST_FIELD',
			'IM_REQUEST_PATH',
			'IM_REQUEST_FIELD',
			'ok',
			'IM_REQUEST_FIELD',
			'IM_SCORING_DECISION_UNKNOWN',
			'ok',
		]);
		t.deepEqual([made.open(), made.remembered, made.outcomes], [0, [], []]);
	});

	test(`what a stream admits is reported on it, and what is left when it breaks ends with it: HTTP/${version}`, async (t) => {
		const made = await scoringRouter(t);
		const stream = open(t, made, version, ADMIT);
		for (let id = 0; id < 5; id++) stream.say(question(id));
		await until('all are admitted', () => stream.answers.length === 5);
		t.like(stream.answers[4], { id: 4, target: 't1', model: 'm', strategy: 'second@1.0.0' });
		const [first, again, given, ...left] = stream.answers.map(({ decision }) => String(decision));
		stream.say({ id: 'a', decision: first, event: 'first_token' }, { id: 'b', decision: again, event: 'renew' });
		stream.say({ decision: given, event: 'release' }, { decision: first, status: 'ok', tokensOut: 12 });
		stream.say({ decision: again, event: 'guess' });
		await until('all reports are answered', () => stream.answers.length === 10);
		t.deepEqual(stream.answers.slice(5, 9), [
			{ id: 'a', decision: first, open: true },
			{ id: 'b', decision: again, open: true },
			{ decision: given, open: false },
			{ decision: first, open: false },
		]);
		t.is(stream.answers[9]?.error?.code, 'IM_REQUEST_FIELD');
		t.like(made.outcomes[1], { decisionId: first, status: 'ok', tokensOut: 12 });
		t.is(made.open(), 3);
		stream.kill();
		await until('the rest has ended', () => made.open() === 0);
		t.deepEqual(made.admissionEnds, ['released', 'reported', 'disconnected', 'disconnected', 'disconnected']);
		t.deepEqual(
			made.outcomes.slice(2).map(({ decisionId, status }) => [decisionId, status]),
			[again, ...left].map((id) => [id, 'cancelled']),
		);
		t.is(made.endedTwice(), 0);
	});

	test(`a stream that ends well leaves what it admitted to be reported on, and to its connection where that is asked: HTTP/${version}`, async (t) => {
		const made = await scoringRouter(t);
		const loose = open(t, made, version, ADMIT);
		loose.say(question(1), question(2));
		loose.end();
		t.is(await loose.over, 200);
		loose.kill();
		const [one, two] = loose.answers.map(({ decision }) => decision);
		const reports = open(t, made, version, OUTCOME);
		reports.say({ decision: one, status: 'ok' }, question(1));
		reports.end();
		t.is(await reports.over, 200);
		t.deepEqual(reports.answers[0], { decision: one, open: false });
		t.is(reports.answers[1]?.error?.code, 'IM_REQUEST_FIELD');
		t.deepEqual([made.open(), made.admissionEnds], [1, ['reported']]);
		t.is((await post(`${made.url}${OUTCOME}`, JSON.stringify({ decision: two, event: 'release' }))).status, 200);
	});

	test(`a line beyond the bound, and one there is no room for, end the stream by name, and what it held: HTTP/${version}`, async (t) => {
		const made = await scoringRouter(t, { options: { bodyBytesMax: 1000 } });
		const long = open(t, made, version, ADMIT);
		long.say(question(1));
		await until('it is admitted', () => made.open() === 1);
		long.say('x'.repeat(70_000));
		await until('the stream has ended', () => made.ended.length === 1 && long.answers.length === 2);
		await until('what was admitted has ended', () => made.open() === 0);
		t.deepEqual(codes(long), ['ok', 'IM_REQUEST_BODY_SIZE']);
		t.like(made.ended[0], { status: 200, code: 'IM_REQUEST_BODY_SIZE' });
		const full = await scoringRouter(t, { options: { bodyBytesTotalMax: 3000 } });
		const many = open(t, full, version, SCORE);
		many.say('{"path":"', 'x'.repeat(4000));
		await until('there is no room for it', () => full.ended.length === 1 && many.answers.length === 1);
		t.deepEqual(codes(many), ['IM_ROUTE_SATURATED']);
	});

	test(`a router that closes ends streams well, and what was admitted: HTTP/${version}`, async (t) => {
		const made = await scoringRouter(t);
		const stream = open(t, made, version, ADMIT);
		stream.say(question(1));
		await until('it is admitted', () => stream.answers.length === 1);
		const closing = made.router.close({ graceMs: 20_000 });
		t.is(await stream.over, 200);
		stream.end();
		await closing;
		t.deepEqual([made.open(), made.outcomes.at(-1)?.status], [0, 'cancelled']);
	});
}

test('with x-infermesh-hold the connection holds what its stream admitted, once that has ended well', async (t) => {
	const made = await scoringRouter(t);
	const session = connect(made.url);
	session.on('error', () => undefined);
	t.teardown(() => session.destroy());
	const stream = session.request({
		':method': 'POST',
		':path': ADMIT,
		...lines,
		'x-infermesh-hold': 'connection',
	});
	stream.end(`${JSON.stringify(question(1))}\n`);
	await once(stream.resume(), 'close');
	t.is(made.open(), 1);
	session.destroy();
	await until('it has ended with the connection', () => made.open() === 0);
	t.deepEqual(made.admissionEnds, ['disconnected']);
});

test('over HTTP/1.1 a stream ends well before its upload would be broken, and what it admitted goes on', async (t) => {
	const made = await scoringRouter(t, { options: { requestTimeoutMs: 400, headersTimeoutMs: 300 } });
	const stream = open(t, made, '1.1', ADMIT);
	stream.say(question(1));
	t.is(await stream.over, 200);
	t.deepEqual([codes(stream), made.open(), made.admissionEnds], [['ok'], 1, []]);
});

test('a caller that takes no answers is asked nothing more, and is cut in time', async (t) => {
	const made = await scoringRouter(t, { options: { clientWriteTimeoutMs: 300 } });
	const session = connect(made.url, { settings: { initialWindowSize: 0 } });
	session.on('error', () => undefined);
	t.teardown(() => session.destroy());
	const stream = session.request({ ':method': 'POST', ':path': SCORE, ...lines });
	t.is(await flood(stream, `${JSON.stringify(question(1))}\n`), constants.NGHTTP2_INTERNAL_ERROR);
	t.true(made.decided.length > 0 && made.decided.length < 5000, `${made.decided.length} questions were answered`);
});

test('only trusted callers may ask, only while their key stands, and only in lines', async (t) => {
	const plain = await scoringRouter(t, { key: 'k' });
	for (const path of [SCORE, ADMIT, OUTCOME]) {
		const denied = await post(`${plain.url}${path}`, '', { ...lines, authorization: 'Bearer k' });
		t.deepEqual([denied.status, denied.headers.get('x-infermesh-error')], [403, 'IM_SCORING_DENIED'], path);
		t.is((await post(`${plain.url}${path}`, '', lines)).status, 401);
	}
	let stands = true;
	const authenticate = () =>
		stands ? { tenant: 'default', tenantId: 1, policyMask: 0, leastGrade: 0, trusted: true } : undefined;
	const made = await scoringRouter(t, { ports: { authenticator: { stands: () => stands, authenticate } } });
	const stream = open(t, made, '2', ADMIT);
	stream.say(question(1));
	await until('it is admitted', () => stream.answers.length === 1);
	stands = false;
	stream.say(question(2), { decision: stream.answers[0]?.['decision'], status: 'ok' });
	await until('the rest is refused', () => stream.answers.length === 3);
	t.deepEqual(codes(stream), ['ok', 'IM_REQUEST_UNAUTHENTICATED', 'IM_REQUEST_UNAUTHENTICATED']);
	stands = true;
	for (const path of [SCORE, ADMIT]) {
		const other = await post(`${made.url}${path}`, chatBody());
		t.deepEqual([other.status, other.headers.get('x-infermesh-error')], [400, 'IM_REQUEST_FIELD'], path);
		const got = await fetch(`${made.url}${path}`, { headers: lines });
		t.deepEqual([got.status, got.headers.get('allow')], [405, 'POST'], path);
	}
	const held = await post(`${made.url}${ADMIT}`, '', { ...lines, 'x-infermesh-hold': 'me' });
	t.is(held.headers.get('x-infermesh-error'), 'IM_REQUEST_FIELD');
});

test('a line that comes in crumbs is refused, and lines with nothing in them never are', (t) => {
	const reader = new LineReader(1_000_000);
	const crumbs = (byte: string): number => {
		for (let n = 1; n <= 5000; n++) if ('code' in reader.read(Buffer.from(byte))) return n;
		return 0;
	};
	t.is(crumbs('\n'), 0);
	const refusedAt = crumbs('x');
	t.true(refusedAt > 1000 && refusedAt < 1200, String(refusedAt));
});

test('property: lines are the same however they come cut, and none makes the reader throw', (t) => {
	const seed = 20_261_127;
	t.log(`seed ${seed}`);
	const piece = fc.oneof(
		fc.constantFrom('{', '}', '"', ',', ':', '\\', '[', ']', '\n', '"id":1', '"path":"/v1/completions"', '"body":{}'),
		fc.constantFrom(
			'"headers":{"a":"b"}',
			'"decision":"x"',
			'"bodyBase64":"aGk="',
			'null',
			'{"id":1,"path":"/x","body":{"a":"}\\""}}\n',
		),
		fc.string(),
	);
	fc.assert(
		fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.nat(400), { maxLength: 8 }), (pieces, cuts) => {
			const text = Buffer.from(pieces.join(''));
			const expected = text
				.toString()
				.split('\n')
				.filter((line) => !/^[ \r\t]*$/.test(line));
			const reader = new LineReader(10_000);
			const got: string[] = [];
			const at = [0, ...cuts.map((cut) => Math.min(cut, text.length)).toSorted((a, b) => a - b), text.length];
			for (let n = 1; n < at.length; n++) {
				const read = reader.read(text.subarray(at[n - 1], at[n]));
				if ('code' in read) return false;
				got.push(...read.map(String));
			}
			const last = reader.last();
			if (last !== undefined) got.push(String(last));
			for (const line of got) readLine(Buffer.from(line));
			return JSON.stringify(got) === JSON.stringify(expected);
		}),
		{ seed, numRuns: 2000 },
	);
	t.pass();
});

test('property: what a line says is what JSON.parse makes of it', (t) => {
	const seed = 20_261_127;
	t.log(`seed ${seed}`);
	const asked = fc.record({
		id: fc.oneof(fc.integer(), fc.string({ maxLength: 60 })),
		path: fc.string(),
		headers: fc.dictionary(fc.string(), fc.string()),
		body: fc.dictionary(fc.string(), fc.jsonValue()),
	});
	fc.assert(
		fc.property(asked, fc.nat(3), ({ id, path, headers, body }, indent) => {
			const written = JSON.stringify({ id, path, headers, body }, undefined, indent).replaceAll('\n', '\r');
			const line = readLine(Buffer.from(written));
			const { id: same, ...parsed } = JSON.parse(written) as Record<string, unknown>;
			if (!('request' in line)) return false;
			const { request } = line;
			const read = { ...request, body: JSON.parse(String(request.body)) as unknown };
			return (
				line.id === same &&
				JSON.stringify([read.path, read.headers, read.body]) ===
					JSON.stringify([parsed['path'], parsed['headers'], parsed['body']])
			);
		}),
		{ seed, numRuns: 1000 },
	);
	t.pass();
});
