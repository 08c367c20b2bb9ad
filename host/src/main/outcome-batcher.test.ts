import test from 'ava';
import type { AttemptReport, LoadReport } from '../fleet/fusion.js';
import { HandClock } from '../fleet/testing.js';
import type { AttemptOutcome } from '../router/ports.js';
import type { ObservedOutcome } from '../strategy/registry/state-keeper.js';
import { OutcomeBatcher } from './outcome-batcher.js';
import { attemptsOf, observedOf } from './outcome-wire.js';

function outcome(more: Partial<AttemptOutcome> = {}): AttemptOutcome {
	return {
		decisionId: 'd',
		poolIndex: 0,
		poolRow: 1,
		target: { tableRow: 7, generation: 3 } as AttemptOutcome['target'],
		status: 'ok',
		httpStatus: 200,
		tokensIn: 100,
		tokensOut: 5,
		tokensCached: 40,
		ttftMs: 10,
		tpotMs: 2,
		e2eMs: 20,
		predictedTtftMs: 9,
		tenant: 1,
		fallbackDecided: false,
		retried: false,
		hedge: 'none',
		lost: false,
		wastedTokens: 0,
		leg: 'whole',
		unreachable: false,
		...more,
	};
}

function open(batchMax = 100) {
	const clock = new HandClock();
	const posts: {
		attempts: readonly AttemptReport[];
		observed: readonly ObservedOutcome[];
		loads: readonly LoadReport[];
	}[] = [];
	const batcher = new OutcomeBatcher({ periodMs: 50, failureMs: 2, loadMs: 10, batchMax }, clock, (batch) =>
		posts.push({ attempts: attemptsOf(batch), observed: observedOf(batch), loads: batch.loads }),
	);
	return { clock, posts, batcher, sizes: () => posts.map(({ attempts }) => attempts.length) };
}

test('good outcomes gather for a period and go out together, in order', (t) => {
	const { clock, posts, batcher, sizes } = open();
	for (let i = 0; i < 3; i++) {
		batcher.add(outcome({ tokensOut: i }));
		clock.advance(15);
	}
	t.deepEqual(sizes(), []);
	clock.advance(5);
	t.deepEqual(sizes(), [3]);
	t.deepEqual(
		posts[0]?.observed.map(({ tokensOut }) => tokensOut),
		[0, 1, 2],
	);
	clock.advance(1000);
	t.deepEqual(sizes(), [3], 'nothing is posted for nothing');
	t.is(clock.timers, 0);
});

test('a failure does not wait for the period, nor do those before it', (t) => {
	const { clock, batcher, sizes } = open();
	batcher.add(outcome());
	batcher.add(outcome({ status: 'upstream_error' }));
	clock.advance(1);
	batcher.add(outcome());
	t.deepEqual(sizes(), []);
	clock.advance(1);
	t.deepEqual(sizes(), [3]);
	batcher.add(outcome({ status: 'timeout' }));
	clock.advance(2);
	t.deepEqual(sizes(), [3, 1]);
	batcher.add(outcome());
	clock.advance(49);
	t.deepEqual(sizes(), [3, 1], 'the next period is a whole one');
	clock.advance(1);
	t.deepEqual(sizes(), [3, 1, 1]);
});

test('a full batch goes at once, and closing flushes the rest', (t) => {
	const { clock, batcher, sizes } = open(4);
	for (let i = 0; i < 10; i++) batcher.add(outcome());
	t.deepEqual(sizes(), [4, 4]);
	batcher.flush();
	batcher.flush();
	t.deepEqual(sizes(), [4, 4, 2]);
	t.is(clock.timers, 0);
});

test('each side gets what it needs: whose fault it was, the uncached prompt, the flags', (t) => {
	const { posts, batcher } = open();
	batcher.add(outcome({ status: 'cancelled', fallbackDecided: true }));
	batcher.add(outcome({ status: 'timeout', retried: true, tokensCached: 500 }));
	batcher.flush();
	const { attempts = [], observed = [] } = posts[0] ?? {};
	t.like(attempts[0], { tableRow: 7, generation: 3, ok: false, failed: false, uncachedTokens: 60 });
	t.like(attempts[1], { ok: false, failed: true, uncachedTokens: 0 });
	t.deepEqual(
		observed.map(({ flags }) => flags),
		[1, 4],
	);
	t.like(observed[0], { poolRow: 1, tableRow: 7, status: 'cancelled', tokensIn: 100 });
});

test('a batch carries the last load report of each target, and need not wait for an outcome', (t) => {
	const { clock, posts, batcher } = open();
	const other = { tableRow: 8, generation: 1 } as AttemptOutcome['target'];
	const { target } = outcome();
	batcher.load(target, 'old', 1);
	batcher.load(other, 'other', 2);
	batcher.load(target, 'new', 3);
	clock.advance(10);
	batcher.add(outcome({ target }));
	batcher.flush();
	t.deepEqual(
		posts.map(({ loads }) => loads.map(({ tableRow, orca, inFlight }) => [tableRow, orca, inFlight])),
		[
			[
				[target.tableRow, 'new', 3],
				[8, 'other', 2],
			],
			[],
		],
	);
});

test('every field of an outcome arrives as it was sent', (t) => {
	const { posts, batcher } = open();
	for (const status of ['ok', 'upstream_error', 'timeout', 'cancelled', 'rejected'] as const)
		batcher.add(outcome({ status, poolIndex: 3, tpotMs: 0.125, tenant: 9 }));
	batcher.flush();
	t.deepEqual(
		posts[0]?.observed.map(({ status }) => status),
		['ok', 'upstream_error', 'timeout', 'cancelled', 'rejected'],
	);
	t.deepEqual(posts[0]?.observed[0], {
		poolIndex: 3,
		poolRow: 1,
		tableRow: 7,
		status: 'ok',
		tokensIn: 100,
		tokensOut: 5,
		tokensCached: 40,
		ttftMs: 10,
		tpotMs: 0.125,
		e2eMs: 20,
		predictedTtftMs: 9,
		tenant: 9,
		flags: 0,
	});
});
