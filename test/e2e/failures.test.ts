// Engines that fail: a request of which nothing has reached the client is served elsewhere; one that had begun ends with an error the client
// can see, never with a silent cut.
import type { FaultSettings } from '@infermesh/host';
import test from 'ava';
import { startTestMesh, type TestMesh } from '../support/mesh.js';
import { fixedRow } from '../support/strategies.js';
import { ask, Oracle } from '../support/traffic.js';

const REQUESTS = 24;

let mesh: TestMesh;
let oracle: Oracle;
const closers: (() => Promise<void> | void)[] = [];

test.before(async () => {
	mesh = await startTestMesh(
		{ teardown: (fn) => closers.push(fn) },
		{
			engines: 3,
			config: {
				data: {
					port: 0,
					workers: 2,
					upstream: { first_byte_timeout_ms: 1500, idle_timeout_ms: 1500 },
					retry: { attempts_max: 3, budget_ratio: 1, budget_burst: 1000 },
				},
				// The faulty engine stays in the pool, so that every request meets it.
				outlier: { consecutive_failures: 10_000, requests_min: 1_000_000, unreachable_ms: 0 },
			},
		},
	);
	// Every request goes to the first engine first.
	await mesh.admin.load(await fixedRow('always_first', 0), { activate: true });
	oracle = new Oracle(mesh.engines[2]?.url ?? '');
});

test.after.always(async () => {
	for (const close of closers.reverse()) await close();
});

async function fault(settings: FaultSettings): Promise<Record<string, number>> {
	mesh.engines[0]?.setFaults(settings);
	const shown = (await (await fetch(`${mesh.engines[0]?.url}/_fault`)).json()) as { fired: Record<string, number> };
	return shown.fired;
}

const beforeTheFirstByte: ReadonlyArray<readonly [string, FaultSettings]> = [
	['answers 500', { error: { status: 500 } }],
	['answers 503', { error: { status: 503 } }],
	['takes the request and never answers', { hang: {} }],
	['answers 200 and dies before its first token', { dieAfterTokens: { tokens: 0 } }],
	['answers 200 and falls silent before its first token', { hangAfterTokens: { tokens: 0 } }],
	['resets connections', { resetOnAccept: { connectionsMax: 1_000_000 } }],
];

for (const [what, settings] of beforeTheFirstByte) {
	test.serial(`no request is lost when an engine ${what}`, async (t) => {
		await fault(settings);
		const began = await mesh.admin.metric('infermesh_retries_total');
		const answers = await Promise.all(
			Array.from({ length: REQUESTS }, (_, seed) => ask({ url: mesh.dataUrl, seed, stream: seed % 2 === 0 })),
		);
		for (const [seed, answer] of answers.entries()) {
			t.like(answer, { status: 200, error: undefined, complete: true }, `seed ${seed}`);
			t.is(answer.text, await oracle.text(seed), `seed ${seed}`);
			t.not(answer.target, 'engine-1');
		}
		t.true((await mesh.admin.metric('infermesh_retries_total')) - began >= REQUESTS, 'every request was retried');
		const { attempts } = await mesh.admin.explain(answers[0]?.decision ?? '');
		t.is(attempts.at(-1)?.status, 'ok');
		await fault({ error: null, hang: null, dieAfterTokens: null, hangAfterTokens: null, resetOnAccept: null });
	});
}

test.serial('a stream that had begun ends in an error event, and what came is a true beginning', async (t) => {
	await fault({ dieAfterTokens: { tokens: 6 } });
	for (const seed of [1, 2, 3]) {
		const answer = await ask({ url: mesh.dataUrl, seed, tokens: 40, stream: true });
		t.is(answer.status, 200);
		t.is(answer.error, 'IM_UPSTREAM_DIED');
		t.false(answer.complete);
		t.true(answer.text.length > 0);
		t.true((await oracle.text(seed, 40)).startsWith(answer.text));
	}
	await fault({ dieAfterTokens: null, hangAfterTokens: { tokens: 6 } });
	const silent = await ask({ url: mesh.dataUrl, seed: 4, tokens: 40, stream: true });
	t.is(silent.error, 'IM_UPSTREAM_IDLE_TIMEOUT');
	await fault({ hangAfterTokens: null });
});

test.serial('a whole answer that breaks in the middle is asked for again', async (t) => {
	await fault({ dieAfterTokens: { tokens: 6 } });
	const dead = await ask({ url: mesh.dataUrl, seed: 5, tokens: 40 });
	t.is(dead.text, await oracle.text(5, 40));
	await fault({ dieAfterTokens: null, wrongLength: { deltaBytes: 50 } });
	const liar = await ask({ url: mesh.dataUrl, seed: 6, tokens: 40 });
	t.is(liar.text, await oracle.text(6, 40));
	t.not(liar.target, 'engine-1');
	await fault({ wrongLength: null });
});

test.serial('when every engine fails the client is told, in OpenAI’s shape', async (t) => {
	for (const engine of mesh.engines) engine.setFaults({ error: { status: 500 } });
	const error = await t.throwsAsync(
		mesh.openai.chat.completions.create({ model: 'llama-3-8b', messages: [{ role: 'user', content: 'hello' }] }),
	);
	t.is((error as { status?: number }).status, 500);
	for (const engine of mesh.engines) engine.setFaults({ error: null, dieAfterTokens: { tokens: 0 } });
	const died = await ask({ url: mesh.dataUrl, seed: 7, stream: true });
	t.like(died, { status: 502, error: 'IM_UPSTREAM_DIED' });
	for (const engine of mesh.engines) engine.setFaults({ dieAfterTokens: null });
	t.is((await ask({ url: mesh.dataUrl, seed: 8 })).text, await oracle.text(8));
});

test.serial('nothing is left in flight after all of it', async (t) => {
	const targets = await mesh.admin.targets();
	t.deepEqual(
		targets.map(({ inFlight }) => inFlight),
		[0, 0, 0],
	);
});
