// A lone node keeps its experiments on disk: after a restart one goes on where it stood, or ends by rule where the strategies are not what they were; a damaged file is
// kept aside and named, and a second node in the same folder leaves it alone.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ExperimentView } from '@infermesh/host';
import test from 'ava';
import { admitWithoutTrial } from '../support/decider.js';
import { engine, onlyFirst, SPEED, startTraffic } from '../support/experiments.js';
import { eventually, MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';
import { shipped } from '../support/strategies.js';
import { ask } from '../support/traffic.js';

const open = async (mesh: TestMesh, id: string): Promise<ExperimentView> =>
	mesh.admin.call<ExperimentView>('GET', `/api/v1/experiments/${id}`);

async function traffic(mesh: TestMesh, requests: number): Promise<Set<string>> {
	const arms = new Set<string>();
	for (let seed = 0; seed < requests; seed++)
		arms.add((await ask({ url: mesh.dataUrl, seed, tokens: 1, stream: true })).strategy.split('@')[0] ?? '');
	return arms;
}

test('an experiment of a lone node goes on after a restart, and ends by rule where its baseline does not decide any more', async (t) => {
	// Five starts of a node, each with the admission of strategies.
	t.timeout(300_000);
	const keepIn = mkdtempSync(path.join(tmpdir(), 'kept-'));
	t.teardown(() => rmSync(keepIn, { recursive: true, force: true }));
	const start = (strategy: string): Promise<TestMesh> =>
		startTestMesh(t, {
			admit: admitWithoutTrial,
			engines: 2,
			keepIn,
			config: { strategy: { active: strategy }, data: { workers: 1 } },
		});
	const first = await start('least_queue');
	await first.admin.load(shipped('baseline_rr'));
	const { id } = await first.admin.call<ExperimentView>('POST', '/api/v1/experiments', {
		kind: 'canary',
		model: MODEL,
		candidate: 'baseline_rr',
		share: 0.5,
		durationMsMin: 20_000,
		requestsMin: 1_000_000,
	});
	t.deepEqual([...(await traffic(first, 30))].sort(), ['baseline_rr', 'least_queue']);
	await eventually('a window is counted', async () => (await open(first, id)).requests.candidate > 0, { everyMs: 100 });
	const second = await start('least_queue');
	t.deepEqual(await second.admin.call('GET', '/api/v1/experiments'), { items: [] }, 'the folder is another node’s');
	t.is(await second.admin.metric('infermesh_experiment_kept_failures', { code: 'IM_LOG_LOCKED' }), 1);
	await second.close();
	await first.close();
	const before = JSON.parse(readFileSync(path.join(keepIn, 'experiments', 'experiments.json'), 'utf8')) as {
		experiments: { figures: unknown; trial: unknown }[];
	};

	const again = await start('least_queue');
	const view = await open(again, id);
	t.is(view.state, 'running');
	t.true(again.log.some((line) => line['action'] === 'experiment.resume' && line['object'] === id));
	t.true(view.requests.candidate > 0, 'what was counted is counted still');
	const had = view.requests.candidate + view.requests.baseline;
	await eventually('both arms decide again', async () => (await traffic(again, 10)).size === 2);
	await eventually('and are counted', async () => {
		const { requests } = await open(again, id);
		return requests.candidate + requests.baseline > had;
	});
	await again.close();
	const after = JSON.parse(readFileSync(path.join(keepIn, 'experiments', 'experiments.json'), 'utf8')) as typeof before;
	t.notDeepEqual(after.experiments[0]?.figures, before.experiments[0]?.figures);

	const other = await start('baseline_rr');
	const ended = await open(other, id);
	t.like(ended, { state: 'ended', end: { how: 'end', by: 'rule' } });
	t.regex(
		ended.end?.reason ?? '',
		/the node restarted, and baseline_rr@.* decides on llama-3-8b now, not the baseline least_queue@/,
	);
	t.deepEqual([...(await traffic(other, 6))], ['baseline_rr']);
	await other.close();
	t.deepEqual(
		readdirSync(path.join(keepIn, 'experiments')).filter((name) => name.endsWith('.blob')),
		[],
		'modules of what has ended are not kept',
	);

	writeFileSync(
		path.join(keepIn, 'experiments', 'experiments.json'),
		'{"schema":"infermesh.kept-experiments.v1","experiments":[{}]',
	);
	const anew = await start('least_queue');
	t.deepEqual(await anew.admin.call('GET', '/api/v1/experiments'), { items: [] });
	t.true(
		anew.log.some((line) => line['code'] === 'IM_EXPERIMENT_KEPT' && /kept as .*damaged-/.test(String(line['error']))),
	);
	t.is(await anew.admin.metric('infermesh_experiment_kept_failures', { code: 'IM_EXPERIMENT_KEPT' }), 1);
	t.is(
		readdirSync(path.join(keepIn, 'experiments')).filter((name) => name.startsWith('experiments.damaged-')).length,
		1,
	);
	t.is((await traffic(anew, 1)).size, 1, 'and it serves');
});

interface Windows {
	readonly windows: Readonly<Record<string, { readonly atMs: number; readonly imbalancedSinceMs?: number }>>;
}

test('what a guardrail has building up outlives the restart of a lone node; where its file is damaged, it begins anew', async (t) => {
	t.timeout(300_000);
	const keepIn = mkdtempSync(path.join(tmpdir(), 'kept-windows-'));
	t.teardown(() => rmSync(keepIn, { recursive: true, force: true }));
	const file = path.join(keepIn, 'experiments', 'experiment-windows.json');
	const start = (): Promise<TestMesh> =>
		startTestMesh(t, {
			admit: admitWithoutTrial,
			engines: [engine, engine],
			speed: SPEED,
			keepIn,
			config: {
				strategy: { active: 'least_queue' },
				data: { workers: 1, flow: { target_queue_max: 64 } },
				// A busy machine must not take an engine out: the fleet would look balanced for a moment.
				health: { timeout_ms: 20_000, unhealthy_after: 20 },
			},
		});
	let mesh = await start();
	await mesh.admin.load(await onlyFirst);
	startTraffic(t, () => [mesh.dataUrl]);
	const imbalanceMs = 12_000;
	const { id } = await mesh.admin.call<ExperimentView>('POST', '/api/v1/experiments', {
		kind: 'canary',
		model: MODEL,
		candidate: 'only_first',
		share: 0.99,
		requestsMin: 1_000_000,
		guardrails: { imbalanceMax: 1.5, imbalanceInFlightMin: 3, imbalanceMs },
	});
	const seenMs = (): number => {
		if (!existsSync(file)) return 0;
		const { atMs = 0, imbalancedSinceMs } = (JSON.parse(readFileSync(file, 'utf8')) as Windows).windows[id] ?? {};
		return imbalancedSinceMs === undefined ? 0 : atMs - imbalancedSinceMs;
	};
	await eventually('two thirds of the time have been seen', async () => seenMs() >= (2 / 3) * imbalanceMs, {
		everyMs: 50,
		withinMs: 150_000,
	});
	t.is((await open(mesh, id)).state, 'running');
	const before = mesh;
	await before.close();
	mesh = await start();
	const resumedMs = Date.now();
	await eventually('the guardrail trips', async () => (await open(mesh, id)).trip !== null, { withinMs: 60_000 });
	const { trip, end } = await open(mesh, id);
	t.is(trip?.rule, 'imbalance');
	t.is(end?.how, 'rollback');
	const tookMs = (trip?.atMs ?? 0) - resumedMs;
	t.log(`tripped ${Math.round(tookMs)} ms after the restart, with a rule of ${imbalanceMs} ms`);
	t.true(tookMs < imbalanceMs, `${tookMs}`);
	await mesh.close();
	t.false(existsSync(file), 'and is forgotten with the experiment');

	writeFileSync(file, '{"schema":"infermesh.kept-windows.v1","windows":{"x-1":{"atMs":"soon"}}}');
	mesh = await start();
	t.is(await mesh.admin.metric('infermesh_experiment_kept_failures', { code: 'IM_EXPERIMENT_KEPT' }), 1);
	t.true(mesh.log.some((line) => /guardrails begin anew/.test(String(line['error']))));
});
