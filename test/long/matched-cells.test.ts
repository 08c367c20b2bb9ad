// Matched cells on two running meshes, each with engines and clients of its own, by the command a user gives: a planted improvement is found by both together, and each
// goes back to its baseline; meshes that share an engine are refused.
import type { ExperimentView } from '@infermesh/host';
import test from 'ava';
import { admitWithoutTrial } from '../support/decider.js';
import { ENGINES, engine, flow, onlyFirst, SPEED, startTraffic } from '../support/experiments.js';
import { MODEL, startTestMesh, type TestMesh } from '../support/mesh.js';
import { infermesh } from '../support/mesh-nodes.js';

interface Joint {
	readonly id: string;
	readonly verdict: string;
	readonly switchback: {
		readonly pairs: readonly unknown[];
		readonly attainmentDifference: { readonly value: { readonly mean: number; readonly interval: { lower: number } } };
	};
}

test('two meshes find a planted improvement together, and both go back to their baselines', async (t) => {
	t.timeout(600_000);
	const start = async (engines: number): Promise<TestMesh> => {
		const mesh = await startTestMesh(t, {
			admit: admitWithoutTrial,
			engines: Array.from({ length: engines }, () => engine),
			speed: SPEED,
			config: { strategy: { active: 'least_queue' }, data: flow },
		});
		// What decides is plainly worse than what is tried.
		await mesh.admin.load(await onlyFirst, { activate: true });
		startTraffic(t, () => [mesh.dataUrl]);
		return mesh;
	};
	const [east, west] = [await start(ENGINES), await start(ENGINES)];
	const cells = ['--cell', `east=${east.admin.url}`, '--cell', `west=${west.admin.url}`];
	const quick =
		'--window 3s --ttft 700ms --tpot 1s --block 2s --burn-in 800ms --settle 3s --block-requests-min 3 --alpha 0.2 --clip 100 --guardrail telemetryMissingMs=60000';
	const begin = ['experiment', 'matched', 'start', 'least_queue', ...cells];
	const ran = await infermesh(...begin, ...quick.split(' '), '--yes', '--follow', '--json');
	t.is(ran.code, 0, ran.err);
	t.regex(ran.err, /pair +east \(.*\) with west \(/);
	const joint = JSON.parse(ran.out) as Joint;
	t.is(joint.verdict, 'win', ran.err);
	const { mean, interval } = joint.switchback.attainmentDifference.value;
	t.log(`${joint.switchback.pairs.length} pairs of blocks: ${mean.toFixed(2)}, at least ${interval.lower.toFixed(2)}`);
	for (const { admin } of [east, west]) {
		const view = await admin.call<ExperimentView>('GET', `/api/v1/experiments/${joint.id}`);
		t.like(view, { kind: 'matched-cells', state: 'ended', verdict: 'undecided', end: { how: 'stop' } });
		t.regex(view.end?.reason ?? '', /all cells: the candidate is better/);
	}
	const report = await infermesh('experiment', 'matched', 'report', joint.id, ...cells);
	t.is(report.code, 0, report.err);
	t.regex(report.out, /effect +\+[\s\S]*cells do not touch[\s\S]*east has ended \(stop/);
	const [shared] = (await east.admin.call<{ items: { url: string }[] }>('GET', '/api/v1/targets')).items;
	await west.admin.call('POST', '/api/v1/targets', { id: 'borrowed', url: shared?.url, models: [MODEL] });
	const refused = await infermesh(...begin, '--window', '1ms', '--dry-run');
	t.is(refused.code, 1);
	t.regex(refused.err, /IM_EXPERIMENT_CELLS_SHARED: east and west have the engine/);
});
