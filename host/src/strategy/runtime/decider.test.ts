import { COLUMN_STATE, TargetState } from '@infermesh/sdk';
import test from 'ava';
import { cohortOf } from '../../experiments/cohorts/cohort.js';
import { prepareStrategy } from '../../project/prepare.js';
import type { AttemptOutcome } from '../../router/ports.js';
import type { StrategyModule } from './instance.js';
import { Harness, rankRows, testPool, written } from './testing.js';

const { module: leastQueue } = await prepareStrategy('least_queue');

const fixed = (versionId: number, rows: readonly number[]): StrategyModule => written(versionId, rankRows(rows));

function ready(harness: Harness, except: readonly number[] = []): Harness {
	for (let row = 0; row < harness.rig.rows; row++)
		harness.rig.table.setU32(COLUMN_STATE, row, except.includes(row) ? TargetState.unhealthy : TargetState.ready);
	harness.rig.table.publish();
	return harness;
}

test('without a strategy the fallback decides, and says why', (t) => {
	const harness = ready(new Harness());
	const out = harness.decide();
	t.is(out.strategy, 'least_queue@builtin');
	t.is(out.cause, 'no_strategy');
	t.deepEqual(harness.decided, [{ versionId: 0, cause: 'no_strategy' }]);
	t.is(harness.strikes.length, 0);
});

test('the active version decides from the first decision after its plan is stored', (t) => {
	const harness = ready(new Harness());
	harness.add(fixed(1, [3, 4]), fixed(2, [5, 6]));
	harness.plan({ activeVersionId: 1 });
	t.deepEqual([...harness.decide().rows.subarray(0, 2)], [3, 4]);
	harness.plan({ activeVersionId: 2 });
	const out = harness.decide();
	t.deepEqual([...out.rows.subarray(0, out.count)], [5, 6]);
	t.deepEqual([...out.scores.subarray(0, out.count)], [0, 1]);
	t.deepEqual(
		harness.decided.map(({ versionId }) => versionId),
		[1, 2],
	);
});

test('a model’s own plan comes before the whole mesh’s', (t) => {
	const harness = ready(new Harness());
	harness.add(fixed(1, [1]), fixed(2, [2]));
	const own = { activeVersionId: 2, canary: undefined, shadowVersionId: undefined };
	harness.plan({ activeVersionId: 1 }, { m: own });
	t.is(harness.decide().rows[0], 2);
	harness.plan({ activeVersionId: 1 }, { other: own });
	t.is(harness.decide().rows[0], 1);
});

test('a canary gets its share: by session, so that a session stays with one version', (t) => {
	const harness = ready(new Harness());
	harness.add(fixed(1, [1]), fixed(2, [2]));
	for (const percent of [0, 1, 25, 50, 100]) {
		harness.plan({ activeVersionId: 1, canary: { versionId: 2, percent } });
		let canaries = 0;
		const decisions = 4000;
		for (let n = 0; n < decisions; n++) if (harness.decide().rows[0] === 2) canaries++;
		// Four standard deviations of a fair draw.
		const slack = 4 * Math.sqrt((percent / 100) * (1 - percent / 100) * decisions);
		t.true(Math.abs(canaries - (percent / 100) * decisions) <= slack, `${canaries} of ${decisions} at ${percent} %`);
	}
	harness.plan({ activeVersionId: 1, canary: { versionId: 2, percent: 50 } });
	const { features, hits } = harness.rig;
	for (let session = 1; session <= 50; session++) {
		const rows = new Set<number>();
		for (let n = 0; n < 10; n++) {
			harness.rig.nextRequest();
			features.sessionLow = session * 7919;
			features.sessionHigh = session;
			harness.decider.decide(harness.pool, features, hits, [], harness.out);
			rows.add(harness.out.rows[0] ?? -1);
		}
		t.is(rows.size, 1);
	}
});

test('rows already tried are never chosen, by the strategy or by the fallback', (t) => {
	const harness = ready(new Harness(5));
	harness.add(leastQueue);
	for (const plan of [{ activeVersionId: leastQueue.versionId }, {}]) {
		harness.plan(plan);
		for (const excluded of [[0], [1, 2], [0, 1, 2, 3]]) {
			const out = harness.decide(excluded);
			t.true(out.count > 0);
			for (const row of out.rows.subarray(0, out.count)) t.false(excluded.includes(row));
		}
		t.is(harness.decide([0, 1, 2, 3, 4]).count, 0, 'everything has been tried');
	}
	t.is(harness.strikes.length, 0, 'a strategy that answers "decline" has done no wrong');
	harness.plan({ activeVersionId: leastQueue.versionId });
	t.is(harness.decide().count, 4, 'what was masked for one request is back for the next');
});

test('a strategy that names a row already tried, or one that is out, is struck and the fallback answers', (t) => {
	const harness = ready(new Harness(6), [4]);
	harness.add(fixed(1, [3]), fixed(2, [4]));
	harness.plan({ activeVersionId: 1 });
	t.is(harness.decide([3]).cause, 'ineligible_row');
	t.not(harness.out.rows[0], 3);
	t.is(harness.decide().cause, 'none');
	harness.plan({ activeVersionId: 2 });
	t.is(harness.decide().cause, 'ineligible_row');
	t.deepEqual(
		harness.strikes.map(({ cause, versionId }) => [versionId, cause]),
		[
			[1, 'ineligible_row'],
			[2, 'ineligible_row'],
		],
	);
});

test('when nothing is eligible nothing is chosen, and that is no fault', (t) => {
	const harness = ready(new Harness(4), [0, 1, 2, 3]);
	harness.add(leastQueue);
	harness.plan({ activeVersionId: leastQueue.versionId });
	t.is(harness.decide().count, 0);
	t.is(harness.strikes.length, 0);
});

test('in doubt, the least loaded is taken of those that checks alone keep out, and nobody who was taken out', (t) => {
	const harness = ready(new Harness(6), [1, 3, 4]);
	const { rig, out } = harness;
	for (const row of [0, 2, 5]) rig.table.setU32(COLUMN_STATE, row, TargetState.draining);
	rig.table.publish();
	t.is(harness.decide().count, 0);
	harness.decider.decideInDoubt(harness.pool, [3], out);
	t.deepEqual(new Set(out.rows.subarray(0, out.count)), new Set([1, 4]));
	t.deepEqual([out.cause, out.strategy], ['all_unhealthy', 'least_queue@builtin']);
	t.is(harness.decided.at(-1)?.cause, 'all_unhealthy');
	const decisions = harness.decided.length;
	harness.decider.decideInDoubt(harness.pool, [1, 3, 4], out);
	t.deepEqual([out.count, harness.decided.length], [0, decisions]);
});

test('the fallback takes the least load, and spreads equal loads', (t) => {
	const harness = ready(new Harness(12));
	const counts = new Map<number, number>();
	for (let n = 0; n < 240; n++) {
		const out = harness.decide();
		harness.rig.view.sync();
		const least = Math.min(...harness.rig.view.load);
		t.is(harness.rig.view.load[out.rows[0] ?? 0], least);
		counts.set(out.rows[0] ?? -1, (counts.get(out.rows[0] ?? -1) ?? 0) + 1);
	}
	const equal = [...harness.rig.view.load].filter((load) => load === Math.min(...harness.rig.view.load)).length;
	t.is(counts.size, equal);
});

test('a pool that was replaced still serves requests that began with it; an unknown one serves nothing', (t) => {
	const harness = ready(new Harness(4));
	harness.add(fixed(1, [1]));
	harness.plan({ activeVersionId: 1 });
	const before = harness.pool;
	const after = testPool(4);
	harness.decider.runtimes.setPools([after]);
	t.like(harness.decide([], after), { count: 1, cause: 'none' });
	t.like(harness.decide([], before), { count: 1, cause: 'none' });
	t.is(harness.out.rows[0], 1);
	t.is(harness.decide([], testPool(4)).count, 0);
});

test('a shadow sees what was decided, agrees or differs, and changes nothing', (t) => {
	const harness = ready(new Harness(6));
	harness.add(
		fixed(1, [2, 3]),
		fixed(2, [2, 5]),
		fixed(3, [4]),
		written(4, '(func (export "rank") (param i32) (result i32) unreachable)'),
	);
	for (const [shadow, agreed, cause] of [
		[2, true, 'none'],
		[3, false, 'none'],
		[4, false, 'trap'],
	] as const) {
		harness.plan({ activeVersionId: 1, shadowVersionId: shadow });
		t.is(harness.decide().rows[0], 2);
		harness.settle();
		t.deepEqual(harness.shadowed.splice(0), [{ versionId: shadow, agreed, cause }]);
	}
	t.deepEqual(
		harness.strikes.map(({ versionId }) => versionId),
		[4],
		'a shadow that faults is struck like any other',
	);
	t.true(harness.decided.every(({ versionId, cause }) => versionId === 1 && cause === 'none'));
});

test('a shadow runs once a turn at most: decisions made meanwhile go without', (t) => {
	const harness = ready(new Harness());
	harness.add(fixed(1, [2]), fixed(2, [2]));
	harness.plan({ activeVersionId: 1, shadowVersionId: 2 });
	for (let n = 0; n < 5; n++) harness.decide();
	harness.settle();
	t.is(harness.shadowed.length, 1);
	harness.decide();
	harness.settle();
	t.is(harness.shadowed.length, 2);
});

test('a shadow that is the active version itself is not run', (t) => {
	const harness = ready(new Harness());
	harness.add(fixed(1, [2]));
	harness.plan({ activeVersionId: 1, shadowVersionId: 1 });
	harness.decide();
	harness.settle();
	t.is(harness.shadowed.length, 0);
});

test('what was decided can be explained, with what became of it, until newer decisions push it out', (t) => {
	const harness = ready(new Harness(6, { explain: { entriesMax: 16 } }));
	harness.add(leastQueue);
	harness.plan({ activeVersionId: leastQueue.versionId });
	const { decider, pool } = harness;
	const context = {
		requestId: 'r',
		path: '/v1/chat/completions',
		tenant: 'a',
		session: 's',
		previous: 'zero',
		cachedTokens: 64,
		cachedSource: 'approximate',
	} as const;
	const out = harness.decide();
	const chosen = pool.targets[out.rows[0] ?? 0]?.id;
	decider.remember('one', pool, context);
	decider.outcome({
		decisionId: 'one',
		target: pool.targets[0],
		status: 'ok',
		httpStatus: 200,
		tokensOut: 3,
	} as AttemptOutcome);
	decider.outcome({ decisionId: 'other' } as AttemptOutcome);
	const explained = decider.explain('one');
	t.like(explained, {
		...context,
		id: 'one',
		model: 'm',
		chosen,
		strategy: leastQueue.label,
		verdict: 'route',
		eligible: 6,
	});
	t.is(explained?.candidates.length, out.count);
	t.is(explained?.request['tokens_in'], harness.rig.features.tokensIn);
	t.is(explained?.candidates[0]?.columns['load'], harness.rig.view.load[out.rows[0] ?? 0]);
	t.is(explained?.attempts.length, 1);
	t.like(explained?.attempts[0], { target: 't0', status: 'ok', tokensOut: 3 });
	for (let n = 0; n < 16; n++) {
		harness.decide();
		decider.remember(`later-${n}`, pool, context);
	}
	t.is(decider.explain('one'), undefined);
	t.truthy(decider.explain('later-0'));
});

test('a decision of the fallback is explained as such', (t) => {
	const harness = ready(new Harness(3));
	harness.decide();
	const context = { requestId: '', path: '', tenant: '', session: '', cachedTokens: 0, cachedSource: 'none' } as const;
	harness.decider.remember('d', harness.pool, context);
	const explained = harness.decider.explain('d');
	t.like(explained, {
		previous: null,
		fallbackCause: 'no_strategy',
		strategy: 'least_queue@builtin',
		digest: '',
		request: {},
	});
	t.is(explained?.runnerUp, explained?.candidates[1]?.target ?? '');
});

test('a strategy whose init fails on a pool leaves that pool to the fallback, with a strike', (t) => {
	const harness = ready(new Harness());
	const choosy = written(
		1,
		`${rankRows([0])} (func (export "init") (param $frame i32) (result i32) (if (i32.lt_u (i32.load offset=20 (local.get $frame)) (i32.const 6)) (then unreachable)) (i32.const 0))`,
		{ hooks: ['rank'] },
	);
	harness.add(choosy);
	harness.plan({ activeVersionId: 1 });
	t.is(harness.decide().cause, 'none');
	const small = testPool(4);
	harness.decider.runtimes.setPools([harness.pool, small]);
	t.like(harness.decide([], small), { cause: 'no_instance', strategy: 'least_queue@builtin' });
	t.true(harness.strikes.length > 0);
	t.is(harness.decide().cause, 'none');
});

test('a decision of a model under experiment counts for the arm it was meant for, faults and burn-in included', (t) => {
	const harness = ready(new Harness());
	harness.add(fixed(1, [1]), written(2, '(func (export "rank") (param i32) (result i32) unreachable)'));
	const nowMs = harness.rig.features.nowUs / 1000;
	const objectives = { ttftMs: 1, tpotMs: 1, ttftPerTokenMs: 0 };
	const block = { tag: 5, block: 2, measureFromMs: 0, objectives };
	harness.plan({ activeVersionId: 1 });
	t.is(harness.decide().cohort, 0);
	harness.plan({ activeVersionId: 2, experiment: { ...block, arm: 'candidate' } });
	t.deepEqual(cohortOf(harness.decide().cohort), { tag: 5, block: 2, arm: 'candidate', burnIn: false });
	t.is(harness.enrolled.at(-1)?.cause, 'trap', 'the fallback answered, and the arm is charged');
	harness.plan({
		activeVersionId: 2,
		shadowVersionId: 1,
		experiment: { ...block, arm: 'candidate', untilMs: nowMs - 1, baselineVersionId: 1 },
	});
	t.is(harness.decide().strategy, 'written@1', 'a block that nobody ended: the baseline decides');
	harness.plan({ activeVersionId: 1, experiment: { ...block, arm: 'baseline', measureFromMs: nowMs + 1e12 } });
	t.like(cohortOf(harness.decide().cohort), { arm: 'baseline', burnIn: true });
	harness.plan({
		activeVersionId: 1,
		canary: { versionId: 1, percent: 50, by: 'tenant', seed: 8 },
		experiment: { ...block, arm: undefined },
	});
	const arms = new Map<number, Set<string>>();
	for (let n = 0; n < 500; n++) {
		harness.rig.nextRequest();
		const { features, hits } = harness.rig;
		features.tenant = n % 20;
		harness.decider.decide(harness.pool, features, hits, [], harness.out);
		const seen = arms.get(n % 20) ?? new Set();
		arms.set(n % 20, seen.add(cohortOf(harness.out.cohort).arm));
	}
	t.true(
		[...arms.values()].every((seen) => seen.size === 1),
		'a tenant stays on its side',
	);
	t.deepEqual([...arms.values()].reduce((all, seen) => all.union(seen), new Set<string>()).size, 2);
});
