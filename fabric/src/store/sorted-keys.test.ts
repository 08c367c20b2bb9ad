// The order of keys against a sorted array, and at a size where a wrong structure would show.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { SortedKeys } from './sorted-keys.js';

test('random additions, removals and scans agree with a sorted array', (t) => {
	const seed = 20_251;
	t.log(`seed ${seed}`);
	const random = new SeededRandom(seed);
	const keys = new SortedKeys<{ key: string }>();
	const model = new Set<string>();
	for (let round = 0; round < 30_000; round++) {
		const key = `k${random.nextU32() % 6_000}`;
		const grows = round % 10_000 < 6_000;
		if (model.has(key) && (!grows || random.nextFloat() < 0.3)) {
			keys.remove(key);
			model.delete(key);
		} else if (!model.has(key) && grows) {
			keys.add({ key });
			model.add(key);
		} else keys.remove(`${key}/none`);
		if (round % 1_000 !== 0) continue;
		const start = `k${random.nextU32() % 6_000}`;
		const scanned: string[] = [];
		keys.scan(start, (entry) => scanned.push(entry.key) < 700);
		t.deepEqual(
			scanned,
			[...model]
				.filter((one) => one >= start)
				.sort()
				.slice(0, 700),
		);
		t.is(keys.get(start)?.key, model.has(start) ? start : undefined);
		t.is(keys.size, model.size);
	}
});

test('a million keys in any order are added and found', (t) => {
	const keys = new SortedKeys<{ key: string }>();
	const count = 1_000_000;
	// A step that is coprime with the count visits every number once, far from its neighbours.
	for (let i = 0, n = 0; i < count; i++, n = (n + 381_917) % count)
		keys.add({ key: `/node/${String(n).padStart(7, '0')}` });
	t.is(keys.size, count);
	let seen = 0;
	let before = '';
	keys.scan('', ({ key }) => {
		if (key <= before) t.fail(`${key} after ${before}`);
		before = key;
		return ++seen < count + 1;
	});
	t.is(seen, count);
	t.is(keys.get('/node/0765432')?.key, '/node/0765432');
	t.is(keys.get('/node/1000000'), undefined);
});
