// Retries when there is nobody else to ask: the pause before targets are tried once more, what a target's Retry-After means for it, and its bounds.
import test, { type ExecutionContext } from 'ava';
import type { RouterOptionsInput } from './options.js';
import {
	answerWhole,
	chatBody,
	closeWhatIsOpen,
	type EngineHandler,
	fakeEngine,
	post,
	rawEngine,
	startRouter,
	until,
} from './testing/kit.js';

test.after.always('what failed tests have left open is closed', closeWhatIsOpen);

/** Fails so many requests with a status, then answers. */
async function openMesh(t: ExecutionContext, failures: number, fail: EngineHandler, options: RouterOptionsInput = {}) {
	let left = failures;
	const engine = await fakeEngine((req, res, body) =>
		left-- > 0 ? fail(req, res, body) : answerWhole(req, res, body),
	);
	const mesh = await startRouter({
		origins: [engine.origin],
		options: { ...options, retry: { backoffMs: 1, budgetBurst: 100, ...options.retry } },
	});
	t.teardown(async () => {
		await mesh.close();
		await engine.close();
	});
	return { engine, mesh };
}

const full: EngineHandler = (_req, res) => res.writeHead(503).end();
const fullFor =
	(seconds: number): EngineHandler =>
	(_req, res) =>
		res.writeHead(429, { 'retry-after': String(seconds) }).end();

test('the only target is asked again after a pause, within the attempts of the request', async (t) => {
	const { engine, mesh } = await openMesh(t, 2, full);
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.is(response.status, 200);
	await response.text();
	t.is(engine.seen.length, 3);
	const never = await openMesh(t, 100, full);
	const refused = await post(`${never.mesh.url}/v1/chat/completions`, chatBody());
	t.is(refused.status, 503);
	t.is(never.engine.seen.length, 3);
	await until('all has ended', () => never.mesh.router.inflight() === 0);
	t.deepEqual([never.mesh.open(), never.mesh.endedTwice(), never.mesh.outcomes.length], [0, 0, 3]);
});

test('a Retry-After is waited for when it is short, and passed on when it is long', async (t) => {
	const short = await openMesh(t, 1, fullFor(1), { retry: { backoffMsMax: 1000 } });
	const beganMs = performance.now();
	const served = await post(`${short.mesh.url}/v1/chat/completions`, chatBody());
	t.is(served.status, 200);
	t.true(performance.now() - beganMs >= 990);
	const long = await openMesh(t, 1, fullFor(7));
	const refused = await post(`${long.mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '7']);
	t.is(long.engine.seen.length, 1);
});

test('no pause goes past the deadline, and none is made where that is turned off', async (t) => {
	const { engine, mesh } = await openMesh(t, 1, fullFor(60), { retry: { backoffMsMax: 60_000 } });
	const headers = { 'x-infermesh-deadline-ms': '30000' };
	t.is((await post(`${mesh.url}/v1/chat/completions`, chatBody(), headers)).status, 429);
	t.is(engine.seen.length, 1);
	const off = await openMesh(t, 1, full, { retry: { backoffMs: 0 } });
	t.is((await post(`${off.mesh.url}/v1/chat/completions`, chatBody())).status, 503);
});

test('a client that leaves during the pause leaves nothing behind', async (t) => {
	const { engine, mesh } = await openMesh(t, 1, full, { retry: { backoffMs: 60_000, backoffMsMax: 60_000 } });
	const cancel = new AbortController();
	const request = fetch(`${mesh.url}/v1/chat/completions`, {
		method: 'POST',
		body: chatBody(),
		headers: { 'content-type': 'application/json' },
		signal: cancel.signal,
	});
	await until('the target has refused', () => mesh.outcomes.length === 1);
	cancel.abort();
	await t.throwsAsync(request);
	await until('the request has left', () => mesh.router.inflight() === 0);
	t.is(engine.seen.length, 1);
});

test('a target that cannot be reached is named to all workers at once', async (t) => {
	const gone = await fakeEngine(answerWhole);
	await gone.close();
	const engine = await fakeEngine(answerWhole);
	const mesh = await startRouter({ origins: [gone.origin, engine.origin] });
	t.teardown(async () => {
		await mesh.close();
		await engine.close();
	});
	t.is((await post(`${mesh.url}/v1/chat/completions`, chatBody())).status, 200);
	await until('both attempts have ended', () => mesh.outcomes.length === 2);
	t.deepEqual(mesh.unreachable, ['t0']);
	t.deepEqual(
		mesh.outcomes.map(({ unreachable, status }) => [unreachable, status]),
		[
			[true, 'upstream_error'],
			[false, 'ok'],
		],
	);
});

test('what a target was given when it died is served elsewhere, however much it was: that takes nothing of the budget', async (t) => {
	const dies = await fakeEngine(() => undefined);
	const serves = await fakeEngine(answerWhole);
	const mesh = await startRouter({
		origins: [dies.origin, serves.origin],
		options: { retry: { budgetRatio: 0, budgetBurst: 0, staleConnectionMs: 0 } },
	});
	t.teardown(async () => {
		await mesh.close();
		await serves.close();
	});
	const asked = Array.from({ length: 40 }, () => post(`${mesh.url}/v1/chat/completions`, chatBody()));
	await until('all of them are there', () => dies.seen.length === asked.length);
	await dies.close();
	for (const response of await Promise.all(asked)) {
		t.deepEqual([response.status, response.headers.get('x-infermesh-target')], [200, 't1']);
		await response.text();
	}
});

test('a request that every target dies of takes one with it for nothing; more of them only within the budget', async (t) => {
	const dies = await rawEngine((socket) => socket.resetAndDestroy());
	const mesh = await startRouter({
		origins: [dies.origin, dies.origin, dies.origin],
		options: { retry: { budgetRatio: 0, budgetBurst: 0, staleConnectionMs: 0 } },
	});
	t.teardown(async () => {
		await mesh.close();
		await dies.close();
	});
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody());
	t.deepEqual([response.status, response.headers.get('x-infermesh-error')], [502, 'IM_UPSTREAM_DIED']);
	await response.text();
	t.is(mesh.outcomes.length, 2);
});
