// The scoring API over HTTP: ranks without a trace, admissions that count until they are reported, bounds and rights.
import test, { type ExecutionContext } from 'ava';
import type { Decision } from '../../strategy/runtime/decision.js';
import { chatBody, post, startRouter, type TestRouter, type TestRouterOptions, until } from '../testing/kit.js';

const origins = ['http://127.0.0.1:1', 'http://127.0.0.1:2'];

/** Ranks the second target first. */
function second(out: Decision): void {
	out.verdict = 'route';
	out.count = 2;
	out.chosen = 0;
	out.rows.set([1, 0]);
	out.scores.set([0.75, 0.25]);
	out.cause = 'none';
	out.strategy = 'second@1.0.0';
}

async function router(t: ExecutionContext, options: Partial<TestRouterOptions> = {}): Promise<TestRouter> {
	const made = await startRouter({ origins, decide: second, ...options });
	t.teardown(() => made.close());
	return made;
}

async function ask(made: TestRouter, path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) {
	const response = await post(`${made.url}${path}`, typeof body === 'string' ? body : JSON.stringify(body), headers);
	const json = (await response.json()) as Readonly<Record<string, unknown>>;
	return { status: response.status, code: response.headers.get('x-infermesh-error'), json };
}

const score = '/api/v1/score/v1/chat/completions';
const admit = '/api/v1/admit/v1/chat/completions';
const outcome = '/api/v1/outcome';

test('targets are ranked for a request as its client sent it, and nothing stays behind', async (t) => {
	const made = await router(t);
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
	const made = await router(t);
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
	const made = await router(t, { options: { scoring: { admissionTtlMs: 20 } } });
	await ask(made, admit, chatBody());
	await ask(made, admit, chatBody());
	await until('both have ended', () => made.outcomes.length === 2, 20_000);
	t.deepEqual(
		made.outcomes.map(({ status }) => status),
		['timeout', 'timeout'],
	);
	t.deepEqual([made.open(), made.endedTwice()], [0, 0]);
});

test('what is open is bounded, and a router that closes ends it', async (t) => {
	const made = await router(t, { options: { scoring: { admissionsMax: 2 } } });
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
	const held = await router(t, {
		decide: (out) => void Object.assign(out, { verdict: 'hold', count: 0, strategy: 'h@1' }),
	});
	t.like((await ask(held, score, chatBody())).json, { verdict: 'hold', targets: [] });
	const refused = await ask(held, admit, chatBody());
	t.deepEqual([refused.status, refused.code, held.open()], [429, 'IM_ROUTE_HELD', 0]);
});

test('bad questions and reports are refused by name, and only trusted callers may ask', async (t) => {
	const made = await router(t);
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
	const got = await fetch(`${made.url}${outcome}`);
	t.deepEqual([got.status, got.headers.get('allow')], [405, 'POST']);
	const keyed = await router(t, { key: 'k' });
	const mine = { authorization: 'Bearer k' };
	for (const path of [score, admit]) t.is((await ask(keyed, path, chatBody(), mine)).code, 'IM_SCORING_DENIED');
	t.is((await ask(keyed, outcome, { decision: 'x', status: 'ok' }, mine)).code, 'IM_SCORING_DENIED');
	t.is((await ask(keyed, score, chatBody())).status, 401);
});
