import test from 'ava';
import { planOf } from '../runtime/plan.js';
import {
	forget,
	planFrom,
	rollBack,
	type Staging,
	stageActive,
	stageCanary,
	stageShadow,
	unstage,
	WHOLE_MESH,
} from './staging.js';

const empty: Staging = new Map();
const ids = new Map([1, 2, 3].map((id) => [`v${id}`, id]));
const plan = (staging: Staging) => planFrom(staging, 1, new Set(), ids);

test('a model follows the whole mesh until it has a strategy of its own, and again after a rollback', (t) => {
	let staging = stageActive(empty, WHOLE_MESH, 'v1');
	t.is(planOf(plan(staging), 'm').activeVersionId, 1);
	staging = stageActive(staging, 'm', 'v2');
	t.is(planOf(plan(staging), 'm').activeVersionId, 2);
	t.is(planOf(plan(staging), 'other').activeVersionId, 1);
	const back = rollBack(staging, 'm');
	t.truthy(back);
	t.is(planOf(plan(back as Staging), 'm').activeVersionId, 1);
});

test('rolling back goes to the version before and keeps it warm; the first version has none', (t) => {
	const one = stageActive(empty, WHOLE_MESH, 'v1');
	t.is(rollBack(one, WHOLE_MESH), undefined);
	const two = stageActive(one, WHOLE_MESH, 'v2');
	t.true(plan(two).warm.has(1));
	t.is(plan(rollBack(two, WHOLE_MESH) as Staging).common.activeVersionId, 1);
});

test('staging the active version again adds no step to roll back over', (t) => {
	const staging = stageActive(stageActive(stageActive(empty, WHOLE_MESH, 'v1'), WHOLE_MESH, 'v2'), WHOLE_MESH, 'v2');
	t.is(plan(rollBack(staging, WHOLE_MESH) as Staging).common.activeVersionId, 1);
});

test('a canary that becomes active is a canary no more; unstaging leaves the active one', (t) => {
	let staging = stageCanary(stageActive(empty, WHOLE_MESH, 'v1'), WHOLE_MESH, 'v2', 5);
	t.deepEqual(plan(staging).common.canary, { versionId: 2, percent: 5 });
	staging = stageActive(staging, WHOLE_MESH, 'v2');
	t.is(plan(staging).common.canary, undefined);
	staging = stageShadow(staging, WHOLE_MESH, 'v3');
	t.is(plan(unstage(staging, undefined, 'v3')).common.shadowVersionId, undefined);
	t.is(plan(unstage(staging, undefined, 'v2')).common.activeVersionId, 2);
});

test('a forgotten version leaves every history', (t) => {
	const staging = stageActive(stageActive(empty, WHOLE_MESH, 'v1'), WHOLE_MESH, 'v2');
	t.is(rollBack(forget(staging, 'v1'), WHOLE_MESH), undefined);
});

test('a label that is not loaded here is passed over: the newest of the history that is loaded decides', (t) => {
	const staging = stageShadow(
		stageCanary(stageActive(stageActive(empty, WHOLE_MESH, 'v1'), WHOLE_MESH, 'elsewhere'), WHOLE_MESH, 'nowhere', 5),
		WHOLE_MESH,
		'nowhere',
	);
	t.is(plan(staging).common.activeVersionId, 1);
	t.is(plan(staging).common.canary, undefined);
	t.is(plan(staging).common.shadowVersionId, undefined);
	t.true(plan(staging).warm.has(1), 'what decides is warm');
	t.is(
		plan(stageActive(empty, WHOLE_MESH, 'elsewhere')).common.activeVersionId,
		undefined,
		'nothing loaded: the fallback',
	);
});
