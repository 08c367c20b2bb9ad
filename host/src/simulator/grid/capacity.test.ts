// The search for capacity brackets a planted limit from either side, says when there is none, and does not run for ever.
import test from 'ava';
import { findCapacity } from './capacity.js';

for (const limit of [0.013, 0.9, 1, 37.5, 1000]) {
	test(`a limit at ${limit} is found within the tolerance`, async (t) => {
		const tried: number[] = [];
		const found = await findCapacity((speed) => {
			tried.push(speed);
			return Promise.resolve(speed <= limit);
		});
		t.true(found.speed <= limit && limit < found.broken);
		t.true(found.broken / found.speed <= 1.02);
		t.is(found.tried, tried.length);
		t.true(tried.length < 25, `${tried.length} tries`);
	});
}

test('a condition that always holds has no speed that breaks it; one that never holds has capacity 0', async (t) => {
	const always = await findCapacity(() => Promise.resolve(true), { factorMax: 64 });
	t.is(always.speed, 64);
	t.is(always.broken, Number.POSITIVE_INFINITY);
	const never = await findCapacity(() => Promise.resolve(false), { factorMax: 64 });
	t.is(never.speed, 0);
	t.is(never.broken, 1 / 64);
});
