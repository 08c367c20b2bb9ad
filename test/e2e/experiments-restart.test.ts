// A lone node keeps its experiments on disk: after a restart one goes on where it stood, or ends by rule where the strategies are not what they were; a damaged file is
// kept aside and named, and a second node in the same folder leaves it alone.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ExperimentView } from '@infermesh/host';
import test from 'ava';
import { admitWithoutTrial } from '../support/decider.js';
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
	const before = JSON.parse(readFileSync(path.join(keepIn, 'experiments.json'), 'utf8')) as {
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
	const after = JSON.parse(readFileSync(path.join(keepIn, 'experiments.json'), 'utf8')) as typeof before;
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
		readdirSync(keepIn).filter((name) => name.endsWith('.blob')),
		[],
		'modules of what has ended are not kept',
	);

	writeFileSync(path.join(keepIn, 'experiments.json'), '{"schema":"infermesh.kept-experiments.v1","experiments":[{}]');
	const anew = await start('least_queue');
	t.deepEqual(await anew.admin.call('GET', '/api/v1/experiments'), { items: [] });
	t.true(
		anew.log.some((line) => line['code'] === 'IM_EXPERIMENT_KEPT' && /kept as .*damaged-/.test(String(line['error']))),
	);
	t.is(await anew.admin.metric('infermesh_experiment_kept_failures', { code: 'IM_EXPERIMENT_KEPT' }), 1);
	t.is(readdirSync(keepIn).filter((name) => name.startsWith('experiments.damaged-')).length, 1);
	t.is((await traffic(anew, 1)).size, 1, 'and it serves');
});
