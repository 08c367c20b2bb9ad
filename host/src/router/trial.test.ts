// What an experiment is told of a request: once when it is first decided and once when it is over, under the arm of the first decision whatever comes after.
import test from 'ava';
import { answerStream, answerWhole, chatBody, fakeEngine, firstRow, post, startRouter, until } from './testing/kit.js';

test('a request is followed to its end under its first arm; one that is in no experiment is not followed', async (t) => {
	const failing = await fakeEngine((_req, res) => res.writeHead(500).end());
	const serving = await fakeEngine(answerStream(['one', 'two', 'three']));
	let cohort = 41;
	const mesh = await startRouter({
		origins: [failing.origin, serving.origin],
		options: { retry: { backoffMs: 1, budgetBurst: 100 } },
		decide: (out, excluded) => {
			firstRow(2)(out, excluded);
			out.cohort = cohort++;
		},
	});
	t.teardown(async () => {
		await mesh.close();
		await failing.close();
		await serving.close();
	});
	const response = await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }));
	t.is(response.status, 200);
	await response.text();
	await until('it is over', () => mesh.trials.length === 1);
	const [trial] = mesh.trials;
	t.is(trial?.cohort, 41);
	t.like(trial?.request, { status: 200, stream: true, attempts: 2, failed: false, hedge: 'none' });
	const { ttftMs = 0, durationMs = 0, tokensOut = 0 } = trial?.request ?? {};
	t.true(ttftMs > 0 && ttftMs <= durationMs && tokensOut > 0);
	cohort = 0;
	await (await post(`${mesh.url}/v1/chat/completions`, chatBody({ stream: true }))).text();
	await until('all has ended', () => mesh.router.inflight() === 0);
	t.is(mesh.trials.length, 1, 'the retry of a request without a cohort enlists nobody');
});

test('a request that every target fails counts as failed, and an answer in one piece has no first token', async (t) => {
	const failing = await fakeEngine((_req, res) => res.writeHead(500).end());
	const whole = await fakeEngine(answerWhole);
	for (const [engine, expected] of [
		[failing, { status: 500, stream: false, ttftMs: 0 }],
		[whole, { status: 200, stream: false, ttftMs: 0, failed: false }],
	] as const) {
		const mesh = await startRouter({
			origins: [engine.origin],
			options: { retry: { backoffMs: 0 } },
			decide: (out, excluded) => {
				firstRow(1)(out, excluded);
				out.cohort = 7;
			},
		});
		await (await post(`${mesh.url}/v1/chat/completions`, chatBody())).text();
		await until('it is over', () => mesh.trials.length === 1);
		t.like(mesh.trials[0]?.request, expected);
		await mesh.close();
		await engine.close();
	}
});
