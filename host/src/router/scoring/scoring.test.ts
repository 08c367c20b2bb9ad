// The scoring API over HTTP: ranks without a trace, admissions that count until they are reported, bounds and rights.
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import type { Clock } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import type { RouterEnv } from '../env.js';
import { chatBody, post, type TestRouter, testClock, until } from '../testing/kit.js';
import type { AttemptPlan } from '../upstream-response.js';
import { OpenAdmissions } from './admissions.js';
import { scoringRouter } from './testing.js';

async function ask(made: TestRouter, path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) {
	const response = await post(`${made.url}${path}`, typeof body === 'string' ? body : JSON.stringify(body), headers);
	const json = (await response.json()) as Readonly<Record<string, unknown>>;
	return { status: response.status, code: response.headers.get('x-infermesh-error'), json };
}

const score = '/api/v1/score/v1/chat/completions';
const admit = '/api/v1/admit/v1/chat/completions';
const outcome = '/api/v1/outcome';

test('targets are ranked for a request as its client sent it, and nothing stays behind', async (t) => {
	const made = await scoringRouter(t);
	const { status, json } = await ask(made, score, chatBody({ max_tokens: 7 }));
	t.is(status, 200);
	t.like(json, { model: 'm', verdict: 'route', strategy: 'second@1.0.0', fallback: 'none' });
	t.deepEqual(json['targets'], [
		{ target: 't1', score: 0.75, cachedTokens: 0 },
		{ target: 't0', score: 0.25, cachedTokens: 0 },
	]);
	t.is(made.decided[0]?.features.tokensOutMax, 7);
	t.true((made.decided[0]?.features.tokensIn ?? 0) > 0);
	t.deepEqual([made.open(), made.remembered, made.outcomes], [0, [], []]);
	// The prompt was not credited to anybody.
	t.deepEqual((await ask(made, score, chatBody())).json['targets'], json['targets']);
	t.deepEqual(
		made.ended.map(({ path }) => path),
		['/api/v1/score', '/api/v1/score'],
	);
});

test('an admission counts until its outcome is reported, once', async (t) => {
	const made = await scoringRouter(t);
	const { json } = await ask(made, admit, chatBody());
	t.like(json, { target: 't1', model: 'm', strategy: 'second@1.0.0' });
	const { decision } = json as { decision: string };
	t.is(made.remembered[0]?.id, decision);
	t.is(made.open(), 1);
	t.deepEqual((await ask(made, outcome, { decision, event: 'first_token' })).json, { decision, open: true });
	t.is(made.open(), 1);
	const report = { decision, status: 'ok', httpStatus: 200, ttftMs: 40, tpotMs: 5, tokensOut: 12 };
	t.deepEqual((await ask(made, outcome, report)).json, { decision, open: false });
	t.is(made.open(), 0);
	t.like(made.outcomes[0], { decisionId: decision, status: 'ok', ttftMs: 40, tokensOut: 12, poolRow: 1, leg: 'whole' });
	const again = await ask(made, outcome, report);
	t.deepEqual([again.status, again.code, made.outcomes.length], [404, 'IM_SCORING_DECISION_UNKNOWN', 1]);
});

test('what nobody reports on ends by itself, as timed out', async (t) => {
	const made = await scoringRouter(t, { options: { scoring: { admissionTtlMs: 20 } } });
	await ask(made, admit, chatBody());
	await ask(made, admit, chatBody());
	await until('both have ended', () => made.outcomes.length === 2, 20_000);
	t.deepEqual(
		made.outcomes.map(({ status }) => status),
		['timeout', 'timeout'],
	);
	t.deepEqual([made.open(), made.endedTwice()], [0, 0]);
});

const lease = (ms: number | string) => ({ 'x-infermesh-lease-ms': String(ms) });

test('an admission with a lease lasts while it is renewed, and is cancelled when it is not', async (t) => {
	let nowMs = 1000;
	const due: { readonly atMs: number; readonly fn: () => void; off: boolean }[] = [];
	const clock: Clock = {
		...testClock,
		nowMs: () => nowMs,
		after(delayMs, fn, options) {
			if (delayMs < 1000) return testClock.after(delayMs, fn, options);
			const one = { atMs: nowMs + delayMs, fn, off: false };
			due.push(one);
			return { cancel: () => void (one.off = true) };
		},
	};
	const pass = (ms: number): void => {
		nowMs += ms;
		for (const one of due)
			if (!one.off && one.atMs <= nowMs) {
				one.off = true;
				one.fn();
			}
	};
	const made = await scoringRouter(t, { ports: { clock }, options: { scoring: { admissionTtlMs: 50_000 } } });
	const admitted = async (headers: Readonly<Record<string, string>>): Promise<string> =>
		String((await ask(made, admit, chatBody(), headers)).json['decision']);
	const [renewed, told, left] = [
		await admitted(lease(10_000)),
		await admitted(lease(10_000)),
		await admitted(lease(10_000)),
	];
	const plain = await admitted({});
	t.like(
		(await ask(made, admit, chatBody(), lease(90_000))).json,
		{ expiresInMs: 50_000 },
		'never longer than without',
	);
	t.is(made.open(), 5);
	pass(6000);
	t.deepEqual((await ask(made, '/api/v1/renew', { decision: renewed })).json, { decision: renewed, open: true });
	await ask(made, outcome, { decision: told, event: 'first_token' });
	pass(6000);
	t.deepEqual([made.open(), made.admissionEnds], [4, ['lapsed']], 'ten seconds without a word');
	t.like(made.outcomes, [{ decisionId: left, status: 'cancelled' }]);
	const many = { decisions: [renewed, left, told, 'x', plain] };
	t.deepEqual((await ask(made, '/api/v1/renew', many)).json, {
		decisions: [renewed, told, plain],
		unknown: [left, 'x'],
		open: true,
	});
	pass(9000);
	t.is(made.open(), 4);
	pass(2000);
	t.deepEqual([made.open(), made.admissionEnds], [2, ['lapsed', 'lapsed', 'lapsed']]);
	pass(30_000);
	t.deepEqual(made.admissionEnds.slice(3), ['expired', 'lapsed'], 'what has no lease is not kept by renewing');
	t.deepEqual(
		made.outcomes.slice(3).map(({ status }) => status),
		['timeout', 'cancelled'],
	);
	t.deepEqual([made.open(), made.endedTwice()], [0, 0]);
});

test('property: leases end when they are due and not before, however they are renewed', async (t) => {
	const seed = 20_261_126;
	t.log(`seed ${seed}`);
	await fc.assert(
		fc.asyncProperty(
			fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 20 })), { maxLength: 40 }),
			async (steps) => {
				let nowMs = 0;
				let timer: { readonly atMs: number; readonly fn: () => void } | undefined;
				const ended: string[] = [];
				const env = {
					options: { scoring: { admissionTtlMs: 15, admissionsMax: 100 } },
					ports: {
						clock: {
							nowMs: () => nowMs,
							after(delayMs: number, fn: () => void) {
								const one = { atMs: nowMs + delayMs, fn };
								timer = one;
								return { cancel: () => void (timer = timer === one ? undefined : timer) };
							},
						},
						metrics: { admissionEnded: () => undefined },
						ledger: { end: () => undefined },
						outcomes: { record: ({ decisionId }: { decisionId: string }) => ended.push(decisionId) },
					},
				} as unknown as RouterEnv;
				const admissions = new OpenAdmissions(env);
				const ends = new Map<string, { at: number; readonly leaseMs: number | undefined }>();
				const pass = (): boolean => {
					nowMs++;
					while (timer !== undefined && timer.atMs <= nowMs) {
						const { fn } = timer;
						timer = undefined;
						fn();
					}
					const due = [...ends].filter(([, { at }]) => at <= nowMs).map(([id]) => id);
					for (const id of due) ends.delete(id);
					return ended.splice(0).toSorted().join() === due.toSorted().join();
				};
				for (const [what, by] of steps) {
					if (what === 0) for (let ms = 0; ms < by; ms++) if (!pass()) return false;
					const id = `${nowMs}-${ends.size}-${by}`;
					const leaseMs = what === 1 ? by : undefined;
					if ((what === 1 || what === 2) && !ends.has(id)) {
						ends.set(id, { at: nowMs + (leaseMs ?? 15), leaseMs });
						const plan = { decisionId: id, pool: { index: 0 } } as unknown as AttemptPlan;
						admissions.add({
							plan,
							ledgerEntry: 0,
							tenant: 0,
							tokensIn: 0,
							startedMs: nowMs,
							holder: undefined,
							leaseMs,
						});
					}
					const [other, entry] = [...ends][by % Math.max(1, ends.size)] ?? [];
					if (what === 3 && other !== undefined && entry !== undefined) {
						admissions.renew(other);
						if (entry.leaseMs !== undefined) entry.at = nowMs + entry.leaseMs;
					}
				}
				for (let ms = 0; ms < 40; ms++) if (!pass()) return false;
				return ends.size === 0;
			},
		),
		{ seed, numRuns: 500 },
	);
	t.pass();
});

test('what is given up is cancelled at once, one or many', async (t) => {
	const made = await scoringRouter(t);
	const ids: string[] = [];
	for (let n = 0; n < 3; n++) ids.push(String((await ask(made, admit, chatBody())).json['decision']));
	const [one, ...rest] = ids;
	t.deepEqual((await ask(made, '/api/v1/release', { decision: one })).json, { decision: one, open: false });
	const again = await ask(made, '/api/v1/release', { decision: one });
	t.deepEqual([again.status, again.code], [404, 'IM_SCORING_DECISION_UNKNOWN']);
	const many = await ask(made, '/api/v1/release', { decisions: [one, ...rest] });
	t.deepEqual(many.json, { decisions: rest, unknown: [one], open: false });
	t.deepEqual(made.admissionEnds, ['released', 'released', 'released']);
	t.deepEqual(
		[made.open(), made.endedTwice(), made.outcomes.map(({ status }) => status)],
		[0, 0, Array(3).fill('cancelled')],
	);
});

test('an admission held by its connection ends with it, over HTTP/1.1 and HTTP/2, unless the router itself closed that', async (t) => {
	const made = await scoringRouter(t, { options: { keepAliveTimeoutMs: 3000 } });
	const hold = { 'x-infermesh-hold': 'connection', 'content-type': 'application/json' };
	const body = chatBody();
	const over1 = async (more: string): Promise<Socket> => {
		const socket = connect(made.port, '127.0.0.1');
		const length = Buffer.byteLength(body);
		socket.write(
			`POST ${admit} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n${more}\r\n${body}`,
		);
		await once(socket, 'data');
		return socket;
	};
	const session = connectHttp2(made.url);
	session.on('error', () => undefined);
	const stream = session.request({ ':method': 'POST', ':path': admit, ...hold });
	stream.end(body);
	await once(stream.resume(), 'end');
	const held = await over1('x-infermesh-hold: connection\r\n');
	t.is(made.open(), 2);
	held.destroy();
	await until('what the first connection held has ended', () => made.open() === 1);
	session.destroy();
	await until('and what the second did', () => made.open() === 0);
	t.deepEqual(made.admissionEnds, ['disconnected', 'disconnected']);
	t.deepEqual(
		made.outcomes.map(({ status }) => status),
		['cancelled', 'cancelled'],
	);
	const loose = await over1('');
	const idle = await over1('x-infermesh-hold: connection\r\n');
	loose.destroy();
	// The router closes it, and has then been told of both ends.
	await once(idle, 'close');
	await ask(made, score, body);
	t.deepEqual([made.open(), made.admissionEnds.length], [2, 2]);
});

test('what is open is bounded, and a router that closes ends it', async (t) => {
	const made = await scoringRouter(t, { options: { scoring: { admissionsMax: 2 } } });
	const first = await ask(made, admit, chatBody());
	await ask(made, admit, chatBody());
	const full = await ask(made, admit, chatBody());
	t.deepEqual([full.status, full.code, made.open()], [429, 'IM_ROUTE_SATURATED', 2]);
	await ask(made, outcome, { decision: first.json['decision'], status: 'cancelled' });
	t.is((await ask(made, admit, chatBody())).status, 200);
	await made.close();
	t.deepEqual([made.open(), made.endedTwice()], [0, 0]);
	t.is(made.outcomes.at(-1)?.status, 'cancelled');
});

test('a strategy that holds or refuses is told as it is', async (t) => {
	const held = await scoringRouter(t, {
		decide: (out) => void Object.assign(out, { verdict: 'hold', count: 0, strategy: 'h@1' }),
	});
	t.like((await ask(held, score, chatBody())).json, { verdict: 'hold', targets: [] });
	const refused = await ask(held, admit, chatBody());
	t.deepEqual([refused.status, refused.code, held.open()], [429, 'IM_ROUTE_HELD', 0]);
});

test('bad questions and reports are refused by name, and only trusted callers may ask', async (t) => {
	const made = await scoringRouter(t);
	const code = async (path: string, body: unknown) => (await ask(made, path, body)).code;
	t.is(await code(score, '{"model":'), 'IM_REQUEST_JSON');
	t.is(await code(score, { model: 'nobody', messages: [] }), 'IM_ROUTE_MODEL_UNKNOWN');
	t.is(await code('/api/v1/score/secret', chatBody()), 'IM_REQUEST_PATH');
	t.is(await code('/api/v1/guess/v1/chat/completions', chatBody()), 'IM_REQUEST_PATH');
	t.is(await code(outcome, 'x'), 'IM_REQUEST_JSON');
	t.is(await code(outcome, {}), 'IM_REQUEST_FIELD');
	t.is(await code(outcome, { decision: 'x', status: 'fine' }), 'IM_REQUEST_FIELD');
	t.is(await code(outcome, { decision: 'x', status: 'ok', ttftMs: -1 }), 'IM_REQUEST_FIELD');
	t.is(await code(outcome, { decision: 'x', status: 'ok' }), 'IM_SCORING_DECISION_UNKNOWN');
	for (const path of [outcome, '/api/v1/renew', '/api/v1/release']) {
		const got = await fetch(`${made.url}${path}`);
		t.deepEqual([got.status, got.headers.get('allow')], [405, 'POST'], path);
	}
	for (const verb of ['renew', 'release']) {
		t.is(await code(`/api/v1/${verb}`, 'x'), 'IM_REQUEST_JSON');
		for (const said of [{}, { decisions: 'x' }, { decisions: [1] }, { decision: 7 }])
			t.is(await code(`/api/v1/${verb}`, said), 'IM_REQUEST_FIELD', JSON.stringify(said));
		t.is(await code(`/api/v1/${verb}`, { decision: 'x' }), 'IM_SCORING_DECISION_UNKNOWN');
	}
	for (const headers of [lease(0), lease('soon'), lease(-5), { 'x-infermesh-hold': 'me' }])
		t.is((await ask(made, admit, chatBody(), headers)).code, 'IM_REQUEST_FIELD', JSON.stringify(headers));
	t.is(made.open(), 0);
	const keyed = await scoringRouter(t, { key: 'k' });
	const mine = { authorization: 'Bearer k' };
	for (const path of [score, admit]) t.is((await ask(keyed, path, chatBody(), mine)).code, 'IM_SCORING_DENIED');
	for (const path of [outcome, '/api/v1/renew', '/api/v1/release'])
		t.is((await ask(keyed, path, { decision: 'x', status: 'ok' }, mine)).code, 'IM_SCORING_DENIED');
	t.is((await ask(keyed, score, chatBody())).status, 401);
});
