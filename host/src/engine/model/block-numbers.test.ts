// Hashes and their numbers: what is the same, what counts on, and what is forgotten.
import test from 'ava';
import { chainFromIds } from './block-hash.js';
import { BlockNumbers } from './block-numbers.js';
import type { BlockRuns } from './block-runs.js';

function numbersOf(runs: BlockRuns): number[] {
	return Array.from({ length: runs.length }, (_, place) => runs.number(runs.runOf(place), place));
}

test('new contents are one run, known ones keep their numbers, and a question gives none', (t) => {
	const numbers = new BlockNumbers(16);
	const first = numbers.of(chainFromIds([5, 900, 7], 2));
	t.deepEqual([first.length, first.endOf(0)], [6, 6]);
	t.is(numbers.known(chainFromIds([5, 8], 2)).length, 2);
	const second = numbersOf(numbers.of(chainFromIds([5, 8, 9], 2)));
	t.deepEqual(second, [...numbersOf(first).slice(0, 2), 6, 7, 8, 9]);
});

test('a hash that comes again is kept however many others come, one that does not is forgotten and never takes the place of another', (t) => {
	const numbers = new BlockNumbers(600);
	const [kept] = numbersOf(numbers.of(chainFromIds([1], 1)));
	const [old] = numbersOf(numbers.of(chainFromIds([2], 1)));
	const seen = new Set([kept, old]);
	for (let id = 1000; id < 6000; id++) {
		const [again, fresh] = numbersOf(numbers.of(chainFromIds([1, id], 1)));
		if (again !== kept || seen.has(fresh)) return t.fail(`at ${id}`);
		seen.add(fresh);
		// What a cache of 600 blocks can still hold is known.
		if (numbers.known(chainFromIds([Math.max(1000, id - 599)], 1)).length !== 1) return t.fail(`forgotten at ${id}`);
	}
	t.is(numbers.known(chainFromIds([2], 1)).length, 0);
	const [anew] = numbersOf(numbers.of(chainFromIds([2], 1)));
	t.false(seen.has(anew));
});
