// Tests of the split: what stays together by session or tenant, and what is drawn one by one.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { inCanary, type SplitKey } from './plan.js';

/** Sides of 20 sessions of 200 requests each: how many requests of each are in the canary. */
function sides(by: SplitKey | undefined, seed = 0): number[] {
	const random = new SeededRandom(1);
	const canary = { versionId: 1, percent: 25, seed, ...(by === undefined ? {} : { by }) };
	return Array.from({ length: 20 }, (_, session) => {
		let count = 0;
		for (let i = 0; i < 200; i++) {
			const features = {
				sessionLow: 7919 * (session + 1),
				sessionHigh: session + 1,
				seedLow: random.nextU32(),
				tenant: session % 5,
			};
			if (inCanary(canary, features)) count++;
		}
		return count;
	});
}

test('by session, and where nothing is said, a session is on one side as a whole', (t) => {
	for (const by of ['session', undefined] as const) {
		const counts = sides(by);
		t.true(counts.every((count) => count === 0 || count === 200));
		t.true(counts.includes(0) && counts.includes(200));
	}
	t.deepEqual(sides('session'), sides(undefined));
	t.notDeepEqual(sides('session', 1), sides('session', 2));
});

test('by request, every session is on both sides, each with its share', (t) => {
	// 50 of 200 expected, standard deviation 6.1.
	for (const count of sides('request')) t.true(count > 25 && count < 75, `${count}`);
});

test('by tenant, all sessions of one are on its side', (t) => {
	const counts = sides('tenant', 3);
	counts.forEach((count, session) => t.is(count, counts[session % 5] ?? -1));
});
