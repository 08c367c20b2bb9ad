// Names of blocks whose contents have ids: as different as the hashes they stand for, and in order in a prompt.
import test from 'ava';
import * as fc from 'fast-check';
import { chainFromIds, namesFromIds } from './block-hash.js';

function pairs(words: Uint32Array): string[] {
	return Array.from({ length: words.length >>> 1 }, (_, at) => `${words[at * 2]}:${words[at * 2 + 1]}`);
}

test('property: two blocks have one name exactly when they have one hash', (t) => {
	const seed = 20_267;
	t.log(`seed ${seed}`);
	const id = fc.oneof(fc.nat({ max: 40 }), fc.nat(), fc.maxSafeNat());
	fc.assert(
		fc.property(fc.array(id, { maxLength: 40 }), fc.constantFrom(1, 2, 3, 8, 32, 100), (ids, perId) => {
			const names = pairs(namesFromIds(ids, perId));
			const hashes = pairs(chainFromIds(ids, perId));
			const hashOf = new Map(names.map((name, at) => [name, hashes[at]]));
			return (
				names.length === hashes.length &&
				hashOf.size === new Set(hashes).size &&
				names.every((name, at) => hashOf.get(name) === hashes[at])
			);
		}),
		{ seed, numRuns: 300 },
	);
	t.pass();
});

test('blocks of an id, and of ids that count on, are neighbours in aligned groups of sixteen', (t) => {
	for (const names of [
		namesFromIds([7], 32),
		namesFromIds(
			Array.from({ length: 32 }, (_, at) => 320 + at),
			1,
		),
	])
		for (let block = 0; block < 32; block++) {
			const group = block & ~15;
			t.is(names[block * 2], (names[group * 2] as number) + (block & 15));
			t.is(names[block * 2 + 1], names[group * 2 + 1]);
		}
});
