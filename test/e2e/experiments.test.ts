// Experiments on a running mesh with emulated engines: a planted regression is stopped and rolled back, and a model under experiment is not staged
// by hand. What takes longer is in test/long.
import type { ExperimentDocument, ExperimentView } from '@infermesh/host';
import test from 'ava';
import { AdminError } from '../support/admin.js';
import { admitWithoutTrial } from '../support/decider.js';
import { ENGINES, engine, flow, onlyFirst, quick, SPEED, startTraffic } from '../support/experiments.js';
import { eventually, MODEL, startTestMesh } from '../support/mesh.js';
import { strategyFrom } from '../support/strategies.js';
import { ask } from '../support/traffic.js';

const trapping = strategyFrom(
	'name: trapping\nversion: 1.0.0\nabi: "1.0"\ncolumns: [load]\n',
	`import { begin, request, rankLowest, scratch } from 'infermesh';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	if (request().tokens_in > 0) unreachable();
	return rankLowest(scratch(0), 1);
}
`,
);

/** The first block at which the rule of attainment, as docs/evaluate.md has it, ends an experiment. */
function trippingBlock(points: ExperimentDocument['points']): ExperimentDocument['points'][number] | undefined {
	const baselines: number[] = [];
	let short = 0;
	for (const point of points) {
		const { arm, requests, good, dropped } = point;
		if (dropped !== undefined || requests < 5) continue;
		const attainment = good / requests;
		if (arm === 'baseline') baselines.push(attainment);
		if (arm === 'baseline' || baselines.length === 0) continue;
		const least = Math.min(...baselines.slice(-3));
		short = attainment < least - 0.05 ? short + 1 : 0;
		if (short === 3 || attainment < least - 0.5) return point;
	}
	return undefined;
}

test('a planted regression is rolled back by the first block that shows it', async (t) => {
	const mesh = await startTestMesh(t, {
		admit: admitWithoutTrial,
		engines: Array.from({ length: ENGINES }, () => engine),
		speed: SPEED,
		config: { strategy: { active: 'least_queue' }, data: flow },
	});
	const { admin } = mesh;
	await admin.load(await onlyFirst);
	const traffic = startTraffic(t, () => [mesh.dataUrl]);
	const start = (): Promise<ExperimentView> =>
		admin.call('POST', '/api/v1/experiments', {
			...quick,
			candidate: 'only_first',
			promote: 'win',
			guardrails: { attainmentRequestsMin: 5, imbalanceMs: 60_000 },
		});
	const { id, baseline } = await start();
	t.regex(baseline, /^least_queue@/);
	const module = Buffer.from(await onlyFirst).toString('base64');
	const refusals = [
		await t.throwsAsync<AdminError>(admin.stage('only_first', 'active', { model: MODEL })),
		await t.throwsAsync<AdminError>(start()),
		await t.throwsAsync<AdminError>(admin.stage('only_first', 'active')),
		await t.throwsAsync<AdminError>(admin.stage('only_first', 'loaded')),
		await t.throwsAsync<AdminError>(admin.call('POST', '/api/v1/strategies', { module, activate: true })),
		await t.throwsAsync<AdminError>(admin.rollback()),
		await t.throwsAsync<AdminError>(
			admin.call('POST', '/api/v1/strategies/only_first/stage', { stage: 'active', force: true }),
		),
	];
	t.deepEqual(
		refusals.map((error) => error?.code),
		[
			'IM_EXPERIMENT_STAGING',
			'IM_EXPERIMENT_MODEL_BUSY',
			'IM_EXPERIMENT_STAGING',
			'IM_EXPERIMENT_STAGING',
			'IM_EXPERIMENT_STAGING',
			'IM_EXPERIMENT_STAGING',
			'IM_EXPERIMENT_FORCE',
		],
	);
	t.is((await admin.strategies()).length, 2, 'what could not be used was not loaded');
	await t.notThrowsAsync(admin.stage('only_first', 'active', { model: 'another' }), 'other models are free');
	let view: ExperimentView | undefined;
	await eventually(
		'it ends',
		async () => {
			view = await admin.call<ExperimentView>('GET', `/api/v1/experiments/${id}`);
			return view.state === 'ended';
		},
		{ everyMs: 200 },
	);
	t.is(view?.end?.how, 'rollback', JSON.stringify(view));
	t.is(view?.trip?.rule, 'attainment');
	const tookMs = (view?.end?.atMs ?? 0) - (view?.startedAtMs ?? 0);
	const inForceMs = (view?.end?.restoredAtMs ?? 0) - (view?.end?.atMs ?? 0);
	t.log(`rolled back ${Math.round(tookMs)} ms after the start, in force after another ${Math.round(inForceMs)} ms`);
	t.log(`bad: ${JSON.stringify(view?.bad)} of ${JSON.stringify(view?.requests)}`);
	// By blocks and not by the clock: on a busy machine blocks are dropped for want of requests, and looks are late.
	const { points } = await admin.call<ExperimentDocument>('GET', `/api/v1/experiments/${id}/report`);
	t.is(trippingBlock(points)?.toMs, view?.trip?.atMs, JSON.stringify(points));
	const after = await ask({ url: mesh.dataUrl, seed: 1, tokens: 2, stream: true });
	t.regex(after.strategy ?? '', /^least_queue@/);
	t.deepEqual(traffic.failed, [], 'no request suffers from switching');
	t.is(await admin.metric('infermesh_experiment_state', { experiment: id, state: 'rollback' }), 1);
	t.true(mesh.log.some((line) => line['action'] === 'experiment.rollback' && line['object'] === id));
	const split = await admin.call<ExperimentView>('POST', '/api/v1/experiments', {
		kind: 'request-ab',
		model: MODEL,
		candidate: 'only_first',
	});
	const arms = new Set<string>();
	await eventually('both arms decide', async () => {
		arms.add((await ask({ url: mesh.dataUrl, seed: 1, tokens: 1, stream: true })).strategy);
		return arms.size === 2;
	});
	const stopped = await admin.call<ExperimentView>('POST', `/api/v1/experiments/${split.id}/stop`, {
		reason: 'enough',
	});
	t.like(stopped, { state: 'ended', end: { how: 'stop', reason: 'enough', by: 'loopback' } });
	await t.throwsAsync(admin.call('POST', `/api/v1/experiments/${split.id}/stop`, {}), {
		message: /IM_EXPERIMENT_ENDED/,
	});
	await admin.load(await trapping);
	const canary = await admin.call<ExperimentView>('POST', '/api/v1/experiments', {
		kind: 'canary',
		model: MODEL,
		candidate: 'trapping',
		share: 0.3,
	});
	await eventually(
		'the canary ends',
		async () => {
			view = await admin.call<ExperimentView>('GET', `/api/v1/experiments/${canary.id}`);
			return view.state === 'ended';
		},
		{ everyMs: 100 },
	);
	t.is(view?.trip?.rule, 'traps');
	t.log(
		`a canary that traps: rolled back ${Math.round((view?.end?.restoredAtMs ?? 0) - canary.startedAtMs)} ms after its start`,
	);
	t.deepEqual(traffic.failed, [], 'nor from traps');
	await admin.stage('only_first', 'active', { model: MODEL });
});

test('who rolls back with force stops the experiment first', async (t) => {
	const mesh = await startTestMesh(t, {
		admit: admitWithoutTrial,
		engines: 2,
		config: { strategy: { active: 'least_queue' }, data: flow },
	});
	const { admin } = mesh;
	await admin.load(await onlyFirst, { activate: true });
	const { id } = await admin.call<ExperimentView>('POST', '/api/v1/experiments', {
		kind: 'request-ab',
		model: MODEL,
		candidate: 'least_queue',
	});
	t.is((await t.throwsAsync<AdminError>(admin.rollback()))?.code, 'IM_EXPERIMENT_STAGING');
	const { strategy } = await admin.call<{ strategy: { name: string } }>('POST', '/api/v1/rollback', { force: true });
	t.is(strategy.name, 'least_queue');
	const view = await admin.call<ExperimentView>('GET', `/api/v1/experiments/${id}`);
	t.like(view, { state: 'ended', end: { how: 'stop', reason: 'the strategy was rolled back with force' } });
	const answers = await Promise.all(
		[1, 2, 3, 4].map((seed) => ask({ url: mesh.dataUrl, seed, tokens: 1, stream: true })),
	);
	for (const answer of answers) t.regex(answer.strategy ?? '', /^least_queue@/);
});

test('a split by session, and a matched cell, are refused by name while nodes of the mesh’s level would judge them wrongly; a canary by request is not', async (t) => {
	const mesh = await startTestMesh(t, {
		admit: admitWithoutTrial,
		engines: 2,
		config: { strategy: { active: 'least_queue' }, fabric: { compat_level: 1 } },
	});
	const { admin } = mesh;
	await admin.load(await onlyFirst);
	const split = { model: MODEL, candidate: 'only_first' };
	for (const body of [
		{ ...split, kind: 'request-ab' },
		{ ...split, kind: 'canary', splitBy: 'tenant' },
		{ ...split, kind: 'matched-cells', cell: 'a', cellPairs: [['a', 'b']] },
	]) {
		const asked = [
			await t.throwsAsync<AdminError>(admin.call('POST', '/api/v1/experiments', body)),
			await t.throwsAsync<AdminError>(admin.call('POST', '/api/v1/experiments/plan', body)),
		];
		for (const error of asked) {
			t.is(error?.code, 'IM_EXPERIMENT_LEVEL');
			t.regex(error?.message ?? '', /the mesh is at level 1/);
		}
	}
	t.deepEqual(await admin.call('GET', '/api/v1/experiments'), { items: [] });
	const halves = admin.call('POST', '/api/v1/experiments', { ...split, kind: 'matched-cells' });
	t.is((await t.throwsAsync<AdminError>(halves))?.code, 'IM_EXPERIMENT_KIND', 'one mesh is no pair of cells');
	const canary = await admin.call<ExperimentView>('POST', '/api/v1/experiments', { ...split, kind: 'canary' });
	t.is(canary.state, 'running');
});
