// The hash index against a Map, under random inserts and deletes with many colliding homes.
import test from 'ava';
import * as fc from 'fast-check';
import { BlockIndex } from './block-index.js';

test('agrees with a Map for any sequence of operations', (t) => {
	const operation = fc.record({
		kind: fc.constantFrom('set', 'delete', 'get'),
		low: fc.constantFrom(0, 1, 2, 15, 16, 31, 32, 47, 63, 0xffffffff),
		high: fc.nat({ max: 2 }),
		value: fc.nat({ max: 1000 }),
	});
	fc.assert(
		fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
			const index = new BlockIndex(30);
			const map = new Map<string, number>();
			for (const { kind, low, high, value } of operations) {
				const key = `${low}/${high}`;
				if (kind === 'set') {
					index.set(low, high, value);
					map.set(key, value);
				} else if (kind === 'delete') {
					index.delete(low, high);
					map.delete(key);
				}
				if (index.get(low, high) !== (map.get(key) ?? -1)) return false;
			}
			for (const [key, value] of map) {
				const [low, high] = key.split('/').map(Number);
				if (index.get(low as number, high as number) !== value) return false;
			}
			return index.size === map.size;
		}),
		{ numRuns: 300 },
	);
	t.pass();
});

test('refuses to hold more than it was sized for', (t) => {
	const index = new BlockIndex(1);
	index.set(1, 1, 0);
	index.set(1, 1, 5);
	t.is(index.get(1, 1), 5);
	t.throws(() => index.set(2, 1, 0), { message: /full/ });
});
