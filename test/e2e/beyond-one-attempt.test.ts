// What a decision brings beyond one attempt, through a whole mesh with its real workers: from the configuration to what `explain` and the metrics say.
import test from 'ava';
import { startTestMesh } from '../support/mesh.js';
import { fixedRow } from '../support/strategies.js';
import { ask } from '../support/traffic.js';

test('a request is split by the roles of targets, and both sides are accounted for', async (t) => {
	const engine = (role: 'prefill' | 'decode') => ({
		transfer: { protocol: 'nixl' as const, role },
		target: { runtime: 'vllm', role },
	});
	const mesh = await startTestMesh(t, { engines: [engine('prefill'), engine('decode')] });
	await mesh.ready(2);
	const answer = await ask({ url: mesh.dataUrl, seed: 1, stream: true });
	t.like(answer, { status: 200, complete: true, target: 'engine-2' });
	const { attempts } = await mesh.admin.explain(answer.decision ?? '');
	t.deepEqual(
		attempts.map(({ target, leg, status }) => [target, leg, status]),
		[
			['engine-1', 'prefill', 'ok'],
			['engine-2', 'decode', 'ok'],
		],
	);
	t.is(await mesh.admin.metric('infermesh_prefills_total'), 1);
});

test('an operator’s hedge rescues a request from a stuck engine; explain names the loser', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: 2,
		config: { data: { hedge: { copies: 1, delay_ms: 20, budget_ratio: 1 } } },
	});
	await mesh.ready(2);
	// Earns the budget before the engine gets stuck.
	await mesh.admin.load(await fixedRow('always_first', 0), { activate: true });
	for (const seed of [1, 2, 3]) t.is((await ask({ url: mesh.dataUrl, seed, stream: true })).status, 200);
	mesh.engines[0]?.setFaults({ hang: {} });
	const answer = await ask({ url: mesh.dataUrl, seed: 4, stream: true });
	t.like(answer, { status: 200, complete: true, target: 'engine-2' });
	const { attempts } = await mesh.admin.explain(answer.decision ?? '');
	t.deepEqual(
		attempts
			.map(({ target, hedge, lost, status }) => [target, hedge, lost, status])
			.sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
		[
			['engine-1', 'first', true, 'cancelled'],
			['engine-2', 'copy', false, 'ok'],
		],
	);
	t.is((await mesh.admin.targets()).filter(({ state }) => state === 'ready').length, 2, 'the loser is not blamed');
});

test('a dead engine costs one attempt: all workers avoid it from then on, long before a check says so', async (t) => {
	const mesh = await startTestMesh(t, {
		engines: 3,
		config: {
			health: { period_ms: 600_000 },
			scrape: { period_ms: 600_000 },
			// The one report is fresh throughout, however long the machine takes to start.
			fleet: { stale_after_ms: 600_000 },
			outlier: {
				consecutive_failures: 10_000,
				requests_min: 1_000_000,
				unreachable_ms: 600_000,
				ejection_max_ms: 600_000,
			},
			strategy: { active: 'baseline_rr' },
		},
	});
	await mesh.ready(3);
	await mesh.engines[0]?.close();
	for (let seed = 0; seed < 24; seed++)
		t.like(await ask({ url: mesh.dataUrl, seed, stream: seed % 2 === 0 }), { status: 200, complete: true });
	const failed = await mesh.admin.metric('infermesh_attempts_total', { target: 'engine-1', outcome: 'upstream_error' });
	t.is(failed, 1);
});
