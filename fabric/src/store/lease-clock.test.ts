// When the leader says that leases are over: never before their time by its clock, and from the start again when the lead changes.
import test from 'ava';
import { LeaseClock } from './lease-clock.js';
import { Store } from './store.js';
import { run } from './testing/run.js';

function grant(store: Store, ttlMs: number): string {
	const result = run(store, { kind: 'grant', ttlMs });
	return result.kind === 'lease' ? result.id : '';
}

const ids = (leases: readonly { readonly id: string }[]) => leases.map(({ id }) => id);

test('a lease is over its time to live after it was first seen, and a renewal starts that again', (t) => {
	const store = new Store();
	const [kept, left] = [grant(store, 1_000), grant(store, 1_000)];
	const clock = new LeaseClock(store);
	t.deepEqual(ids(clock.due(50, true)), []);
	run(store, { kind: 'renew', ids: [kept] });
	t.deepEqual(ids(clock.due(1_049, true)), []);
	t.deepEqual(ids(clock.due(1_050, true)), [left]);
	t.deepEqual(ids(clock.due(1_100, true)), [], 'proposed, not yet applied');
	t.deepEqual(clock.due(2_049, true), [{ id: kept, ttlMs: 1_000, renewals: 1 }]);
	t.deepEqual(ids(clock.due(3_050, true)), [left], 'proposed again');
	run(store, { kind: 'expire', leases: [{ id: left, renewals: 0 }] });
	t.deepEqual(ids(clock.due(9_000, true)), [kept]);
});

test('only a leader expires, and a new one gives all leases their whole time', (t) => {
	const store = new Store();
	const id = grant(store, 1_000);
	const clock = new LeaseClock(store);
	clock.due(0, true);
	t.deepEqual(clock.due(5_000, false), []);
	t.deepEqual(clock.due(6_000, true), []);
	t.deepEqual(clock.due(6_999, true), []);
	t.deepEqual(ids(clock.due(7_000, true)), [id]);
});

test('the leases proposed at once are bounded, and all come in turn', (t) => {
	const store = new Store();
	for (let i = 0; i < 600; i++) grant(store, 1_000);
	const clock = new LeaseClock(store);
	clock.due(0, true);
	const rounds = [1_000, 1_001, 1_002].map((now) => ids(clock.due(now, true)));
	t.true(rounds.every((round) => round.length < 600));
	t.is(new Set(rounds.flat()).size, 600);
});

test('it says when the first lease is over, and that leases were given time it has not seen', (t) => {
	const store = new Store();
	const clock = new LeaseClock(store);
	t.true(clock.stale(true), 'the lead is new');
	clock.due(0, true);
	t.false(clock.stale(true));
	t.is(clock.nextMs, Number.POSITIVE_INFINITY);
	const id = grant(store, 1_000);
	grant(store, 3_000);
	t.true(clock.stale(true));
	clock.due(100, true);
	t.false(clock.stale(true));
	t.is(clock.nextMs, 1_100);
	run(store, { kind: 'renew', ids: [id] });
	t.true(clock.stale(true));
	clock.due(500, true);
	t.is(clock.nextMs, 1_500);
	t.true(clock.stale(false), 'the lead is lost');
	clock.due(600, false);
	t.is(clock.nextMs, Number.POSITIVE_INFINITY);
	run(store, { kind: 'renew', ids: [id] });
	t.false(clock.stale(false), 'who does not lead ends none');
});
