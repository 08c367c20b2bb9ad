// A model under experiment: its arms decide and nobody stages by hand; when the experiment ends, what stood before decides, or the candidate for good.
import test from 'ava';
import { planOf } from '../runtime/plan.js';
import {
	type ExperimentStaging,
	planFrom,
	type Staging,
	stageActive,
	stagedLabels,
	stageExperiment,
} from './staging.js';

const base: ExperimentStaging = {
	id: 'e1',
	tag: 9,
	block: 0,
	baseline: 'v1',
	candidate: 'v2',
	arm: 'baseline',
	measureFromMs: 5000,
	objectives: { ttftMs: 1000, tpotMs: 50, ttftPerTokenMs: 0 },
};
const ids = new Map([1, 2, 3].map((id) => [`v${id}`, id]));
const plan = (staging: Staging, versions = ids) => planOf(planFrom(staging, 1, new Set(), versions), 'm');
const mesh = stageActive(new Map(), '', 'v1');

test('the arm of the block decides for the whole pool, and no other model is touched', (t) => {
	const running = stageExperiment(mesh, 'm', base);
	t.is(plan(running).activeVersionId, 1);
	const { arm: _arm, ...facts } = base;
	const next = stageExperiment(running, 'm', { ...facts, arm: 'candidate', block: 1 });
	t.is(plan(next).activeVersionId, 2);
	t.like(plan(next).experiment, { tag: 9, block: 1, arm: 'candidate', measureFromMs: 5000 });
	t.is(planOf(planFrom(next, 1, new Set(), ids), 'other').activeVersionId, 1);
	t.is(planOf(planFrom(next, 1, new Set(), ids), 'other').experiment, undefined);
	t.true(planFrom(next, 1, new Set(), ids).warm.has(2), 'both arms are warm in every block');
	t.deepEqual([...stagedLabels(next)].sort(), ['v1', 'v2']);
});

test('a split gives the candidate its share, by the seed of the experiment', (t) => {
	const { arm: _arm, ...facts } = base;
	const split = { percent: 50, by: 'tenant', seed: 77 } as const;
	const staged = plan(stageExperiment(mesh, 'm', { ...facts, split }));
	t.is(staged.activeVersionId, 1);
	t.deepEqual(staged.canary, { versionId: 2, ...split });
	t.is(staged.experiment?.arm, undefined);
});

test('what stood before comes back when the experiment ends, history and canary included', (t) => {
	const before = stageActive(stageActive(mesh, 'm', 'v3'), 'm', 'v1');
	const after = stageExperiment(stageExperiment(before, 'm', { ...base, arm: 'candidate' }), 'm', undefined);
	t.deepEqual(after, before);
	t.deepEqual(stageExperiment(stageExperiment(mesh, 'm', base), 'm', undefined), mesh);
});

test('a router without the candidate lets the baseline decide', (t) => {
	const without = new Map([['v1', 1]]);
	t.is(plan(stageExperiment(mesh, 'm', { ...base, arm: 'candidate' }), without).activeVersionId, 1);
});
