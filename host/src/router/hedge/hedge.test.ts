// Hedging as clients and engines see it: real emulated engines behind the router, one of them stuck, and what the loser's engine counts.
import type { ServerResponse } from 'node:http';
import test, { type ExecutionContext } from 'ava';
import { engineFor, metric } from '../../engine/server/engine-server.test-support.js';
import type { Decision } from '../../strategy/runtime/decision.js';
import type { RouterOptionsInput } from '../options.js';
import type { AttemptOutcome, RowStanding } from '../ports.js';
import {
	answerWhole,
	chatBody,
	fakeEngine,
	firstRow,
	post,
	startRouter,
	type TestRouter,
	until,
} from '../testing/kit.js';
import { hedgingDefaults } from './options.js';

/** A model step this much slower than usual: the engine does not answer while a test runs. */
const STUCK = { slow: { factor: 1e5 } } as const;

/** Budget that never runs out, earned by one served token. */
const generous = { ...hedgingDefaults, budgetRatio: 1e6, budgetTokensMax: 1e9, delayMsMin: 1 };

function asks(delayMs: number, copies: number, rows: number): (out: Decision, excluded: readonly number[]) => void {
	const first = firstRow(rows);
	return (out, excluded) => {
		first(out, excluded);
		out.hedgeDelayMs = delayMs;
		out.hedgeCopies = copies;
	};
}

interface Given {
	readonly slow?: readonly boolean[];
	readonly copies?: number;
	readonly delayMs?: number;
	readonly options?: RouterOptionsInput;
	readonly standing?: (row: number, out: RowStanding) => boolean;
}

async function openMesh(t: ExecutionContext, given: Given = {}) {
	const slow = given.slow ?? [true, false];
	const engines = await Promise.all(
		slow.map((stuck) => engineFor(t, { models: ['m'], faults: stuck ? STUCK : {}, speed: 100 })),
	);
	const { standing } = given;
	let hedging = false;
	const mesh = await startRouter({
		origins: engines.map(({ url }) => url),
		options: { hedge: generous, retry: { attemptsMax: 3, budgetBurst: 100 }, ...given.options },
		decide: (out, excluded) => {
			if (hedging) asks(given.delayMs ?? 5, given.copies ?? 1, slow.length)(out, excluded);
			else {
				// Earns the budget: served by the last engine, which is never the stuck one.
				firstRow(slow.length)(out, excluded);
				out.hedgeCopies = 0;
				out.chosen = slow.length - 1;
			}
		},
		...(standing === undefined ? {} : { standing: (_pool, row, out) => standing(row, out) }),
	});
	t.teardown(() => mesh.close());
	await (await post(`${mesh.url}/v1/chat/completions`, streamed(1))).text();
	mesh.outcomes.length = 0;
	hedging = true;
	return { mesh, engines };
}

function streamed(tokens: number): string {
	return chatBody({ stream: true, max_tokens: tokens, ignore_eos: true });
}

function shape({ target, status, hedge, lost }: AttemptOutcome): unknown[] {
	return [target.id, status, hedge, lost];
}

/** In the order of targets. */
function shapes(mesh: TestRouter): unknown[] {
	return mesh.outcomes.toSorted((a, b) => a.poolRow - b.poolRow).map(shape);
}

async function settled(t: ExecutionContext, mesh: TestRouter, outcomes: number): Promise<void> {
	await until('all attempts have ended', () => mesh.router.inflight() === 0 && mesh.outcomes.length === outcomes);
	t.deepEqual([mesh.open(), mesh.endedTwice()], [0, 0]);
}

test('a late first token brings a copy, whose engine answers; the first one’s engine counts an abort', async (t) => {
	const { mesh, engines } = await openMesh(t);
	const [stuck] = engines;
	const response = await post(`${mesh.url}/v1/chat/completions`, streamed(3));
	const text = await response.text();
	t.is(response.status, 200);
	t.is(response.headers.get('x-infermesh-target'), 't1');
	t.true(text.endsWith('data: [DONE]\n\n'));
	await settled(t, mesh, 2);
	t.deepEqual(shapes(mesh), [
		['t0', 'cancelled', 'first', true],
		['t1', 'ok', 'copy', false],
	]);
	t.deepEqual(mesh.hedges, ['sent', 'won']);
	const loser = mesh.outcomes.find(({ lost }) => lost);
	t.true((loser?.wastedTokens ?? 0) > 0);
	t.deepEqual(mesh.waste, [[loser?.wastedTokens ?? 0, 0]]);
	const aborts = () =>
		metric(
			stuck as NonNullable<typeof stuck>,
			'vllm:request_success_total{engine="0",model_name="m",finished_reason="abort"',
		);
	await until('the engine counts an abort', () => aborts().then((count) => count === 1));
	t.is(await metric(stuck as NonNullable<typeof stuck>, 'vllm:num_requests_waiting{'), 0);
});

test('a first token in time means no copy', async (t) => {
	const { mesh } = await openMesh(t, { slow: [false, false], delayMs: 60_000 });
	await (await post(`${mesh.url}/v1/chat/completions`, streamed(3))).text();
	await settled(t, mesh, 1);
	t.deepEqual(mesh.hedges, []);
	t.deepEqual(mesh.outcomes.map(shape), [['t0', 'ok', 'first', false]]);
});

test('several copies go one delay apart, each to another target', async (t) => {
	const { mesh } = await openMesh(t, {
		slow: [true, true, false],
		copies: 2,
		options: { hedge: { ...generous, copiesMax: 2 } },
	});
	const response = await post(`${mesh.url}/v1/chat/completions`, streamed(2));
	await response.text();
	t.is(response.headers.get('x-infermesh-target'), 't2');
	await settled(t, mesh, 3);
	t.deepEqual(shapes(mesh), [
		['t0', 'cancelled', 'first', true],
		['t1', 'cancelled', 'copy', true],
		['t2', 'ok', 'copy', false],
	]);
});

test('a target without room gets no copy: the next one does, or none', async (t) => {
	const busy = (row: number, out: RowStanding): boolean => {
		out.queueDepth = row === 1 ? 3 : 0;
		out.kvUsage = row === 2 ? 0.95 : 0;
		out.prefillWaitMs = row === 3 ? 1e6 : 0;
		return row !== 4;
	};
	const { mesh } = await openMesh(t, { slow: [true, false, false, false, false, false], standing: busy });
	const response = await post(`${mesh.url}/v1/chat/completions`, streamed(2));
	await response.text();
	t.is(response.headers.get('x-infermesh-target'), 't5');
	await settled(t, mesh, 2);
});

test('where no target has room the first attempt is waited for', async (t) => {
	const { mesh } = await openMesh(t, { slow: [false, false], delayMs: 1, standing: () => false });
	const response = await post(`${mesh.url}/v1/chat/completions`, streamed(50));
	await response.text();
	t.is(response.headers.get('x-infermesh-target'), 't0');
	await settled(t, mesh, 1);
	t.true(mesh.hedges.every((result) => result === 'no_room'));
});

test('without budget no copy is sent; what was served earns it', async (t) => {
	const { mesh } = await openMesh(t, {
		slow: [true, false],
		options: { hedge: { ...generous, budgetRatio: 0 } },
	});
	const cancel = new AbortController();
	const request = fetch(`${mesh.url}/v1/chat/completions`, {
		method: 'POST',
		body: streamed(2),
		headers: { 'content-type': 'application/json' },
		signal: cancel.signal,
	});
	await until('the wish was refused', () => mesh.hedges.length === 1);
	t.deepEqual(mesh.hedges, ['no_budget']);
	cancel.abort();
	await t.throwsAsync(request);
	await settled(t, mesh, 1);
	t.like(mesh.outcomes[0], { status: 'cancelled', lost: false });
});

test('a client that leaves cancels all copies', async (t) => {
	const { mesh, engines } = await openMesh(t, { slow: [true, true, false] });
	const cancel = new AbortController();
	const request = fetch(`${mesh.url}/v1/chat/completions`, {
		method: 'POST',
		body: streamed(2),
		headers: { 'content-type': 'application/json' },
		signal: cancel.signal,
	});
	await until('the copy is out', () => mesh.hedges.includes('sent'));
	cancel.abort();
	await t.throwsAsync(request);
	await settled(t, mesh, 2);
	t.true(mesh.outcomes.every(({ status, lost }) => status === 'cancelled' && !lost));
	for (const engine of engines.slice(0, 2))
		await until('the engine has dropped it', () => metric(engine, 'vllm:num_requests_waiting{').then((n) => n === 0));
});

test('an attempt that fails leaves the answer to the other; when all fail one is retried', async (t) => {
	// The first to refuse does so when the copy is there too, the second when that has been heard.
	const asked: ServerResponse[] = [];
	const full = await fakeEngine((_req, res) => void asked.push(res));
	const good = await engineFor(t, { models: ['m'], speed: 100 });
	t.teardown(() => full.close());
	let hedging = false;
	const mesh = await startRouter({
		origins: [full.origin, full.origin, good.url],
		options: { hedge: generous },
		decide: (out, excluded) => {
			asks(5, hedging ? 1 : 0, 3)(out, excluded);
			if (!hedging) out.chosen = out.count - 1;
		},
	});
	t.teardown(() => mesh.close());
	await (await post(`${mesh.url}/v1/chat/completions`, streamed(1))).text();
	mesh.outcomes.length = 0;
	hedging = true;
	const request = post(`${mesh.url}/v1/chat/completions`, streamed(2));
	await until('both have it', () => asked.length === 2);
	asked[0]?.writeHead(503).end();
	await until('one has refused', () => mesh.outcomes.length === 1);
	asked[1]?.writeHead(503).end();
	const response = await request;
	await response.text();
	t.is(response.status, 200);
	t.is(response.headers.get('x-infermesh-target'), 't2');
	await settled(t, mesh, 3);
	t.deepEqual(
		mesh.outcomes.map(({ target, status }) => [target.id, status]),
		[
			['t0', 'rejected'],
			['t1', 'rejected'],
			['t2', 'ok'],
		],
	);
});

test('what may not be sent twice, or shows no first token, is never hedged', async (t) => {
	const { mesh } = await openMesh(t, { slow: [false, false], delayMs: 1 });
	await (await post(`${mesh.url}/v1/chat/completions`, chatBody({ max_tokens: 20 }))).text();
	await (await post(`${mesh.url}/v1/unknown`, chatBody({ stream: true }))).text();
	await settled(t, mesh, 2);
	t.deepEqual(mesh.hedges, []);
	t.true(mesh.outcomes.every(({ hedge }) => hedge === 'none'));
});

test('an embedding is hedged: its whole answer is the first token', async (t) => {
	const stuck = await fakeEngine(() => undefined);
	const whole = await fakeEngine(answerWhole);
	t.teardown(() => Promise.all([stuck.close(), whole.close()]));
	let row = 1;
	const mesh = await startRouter({
		origins: [stuck.origin, whole.origin],
		options: { hedge: generous },
		decide: (out, excluded) => {
			asks(5, 1, 2)(out, excluded);
			out.chosen = row;
		},
	});
	t.teardown(() => mesh.close());
	const body = JSON.stringify({ model: 'm', input: 'hello there' });
	await (await post(`${mesh.url}/v1/embeddings`, body)).text();
	row = 0;
	const response = await post(`${mesh.url}/v1/embeddings`, body);
	t.is(response.headers.get('x-infermesh-target'), 't1');
	await response.text();
	await settled(t, mesh, 3);
	await until('the stuck engine was cut', () => stuck.aborted === 1);
});
