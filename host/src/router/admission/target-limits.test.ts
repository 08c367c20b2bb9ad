// How many requests a target is given at once, learned from the queue it reports.
import test from 'ava';
import { createTargetLimits, nextLimit, TargetLimits } from './target-limits.js';

const options = { queueMax: 4, requestsMax: 0 };

/** An engine that runs `slots` at once and is always asked for more: what is in flight is what the limit allows, or everything. */
function settle(slots: number, demand: number, reports: number, routers = 1): number[] {
	const limits = Array.from({ length: routers }, () => 0);
	for (let n = 0; n < reports; n++) {
		const own = limits.map((limit) => (limit === 0 ? demand : Math.min(limit, demand)));
		const all = own.reduce((sum, one) => sum + one, 0);
		const running = Math.min(slots, all);
		limits.forEach((limit, at) => {
			const report = { waiting: all - running, running, sequencesMax: 0, own: own[at] as number };
			limits[at] = nextLimit(limit, report, options);
		});
	}
	return limits;
}

test('a target that never queues is not limited', (t) => {
	t.deepEqual(settle(64, 20, 20), [0]);
});

test('an overloaded target is given what it runs and a short queue, and stays there', (t) => {
	const [limit = 0] = settle(16, 500, 50);
	t.true(limit >= 16 && limit <= 22, `${limit}`);
});

test('several routers share the cut: together they ask for what it runs and a short queue', (t) => {
	const limits = settle(32, 500, 80, 3);
	const all = limits.reduce((sum, one) => sum + one, 0);
	t.true(all >= 32 && all <= 32 + 4 + 3 * 4, limits.join(' '));
});

test('a limit grows again when the target has become faster', (t) => {
	let limit = 10;
	for (let n = 0; n < 30; n++)
		limit = nextLimit(limit, { waiting: 0, running: limit, sequencesMax: 0, own: limit }, options);
	t.true(limit > 60, `${limit}`);
});

test('what an engine says it runs, and what the operator says, are kept to', (t) => {
	t.is(nextLimit(0, { waiting: 0, running: 1, sequencesMax: 8, own: 1 }, options), 12);
	t.is(nextLimit(0, { waiting: 50, running: 8, sequencesMax: 8, own: 58 }, { queueMax: 4, requestsMax: 9 }), 9);
});

test('limits are read by row, and 0 is none', (t) => {
	const shared = createTargetLimits(4);
	const writer = new TargetLimits(shared);
	writer.set(2, 7);
	writer.setOfMesh(2, 20);
	const reader = new TargetLimits(shared);
	t.deepEqual([reader.limit(1), reader.limit(2)], [0, 7]);
	t.deepEqual([reader.ofMesh(1), reader.ofMesh(2)], [0, 20]);
});
