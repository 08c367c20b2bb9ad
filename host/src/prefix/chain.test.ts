// What a position of a chain says: everything up to it, in order, whatever the size of a block; and that no two of many are taken for each other.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { HashChain } from './chain.js';

const MODEL = 3;
const LORA = 5;

function hashes(words: Uint32Array, wordsPerBlock: number): string[] {
	const chain = new HashChain(64);
	chain.fill(MODEL, LORA, words, words.length, wordsPerBlock);
	return Array.from({ length: chain.blocks }, (_, block) => `${chain.lows[block]} ${chain.highs[block]}`);
}

const prompts = fc
	.record({
		wordsPerBlock: fc.integer({ min: 1, max: 19 }),
		words: fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 1, maxLength: 200 }),
		at: fc.nat(),
		by: fc.integer({ min: 1, max: 0xffff_ffff }),
	})
	.map(({ wordsPerBlock, words, at, by }) => ({ wordsPerBlock, words: Uint32Array.from(words), at, by }));

test('property: a changed word changes both halves from its block on, and nothing before it', (t) => {
	fc.assert(
		fc.property(prompts, ({ wordsPerBlock, words, at, by }) => {
			const changed = words.slice();
			const place = at % words.length;
			changed[place] = ((changed[place] as number) + by) >>> 0;
			const before = hashes(words, wordsPerBlock);
			const after = hashes(changed, wordsPerBlock);
			const block = Math.floor(place / wordsPerBlock);
			t.deepEqual(after.slice(0, block), before.slice(0, block));
			for (const [index, name] of before.entries()) if (index >= block) t.not(after[index], name);
		}),
		{ numRuns: 300 },
	);
});

test('property: the order of words counts, in one lane and across lanes', (t) => {
	fc.assert(
		fc.property(prompts, fc.nat(), ({ wordsPerBlock, words, at }, other) => {
			const one = at % words.length;
			const two = other % words.length;
			const whole = Math.floor(words.length / wordsPerBlock) * wordsPerBlock;
			fc.pre(words[one] !== words[two] && one < whole && two < whole);
			const swapped = words.slice();
			[swapped[one], swapped[two]] = [words[two] as number, words[one] as number];
			t.not(hashes(swapped, wordsPerBlock).at(-1), hashes(words, wordsPerBlock).at(-1));
		}),
		{ numRuns: 300 },
	);
});

test('of 60,000 blocks that differ in a few bits no two share a half with more others than chance has them do', (t) => {
	const lows = new Set<number>();
	const highs = new Set<number>();
	const chain = new HashChain(1);
	const words = new Uint32Array(64);
	const random = new SeededRandom(7, 1);
	const seen = new Set<string>();
	for (let round = 0; round < 60_000; round++) {
		words[random.nextU32() & 63] = random.nextU32() & 0xff;
		seen.add(words.join());
		chain.fill(MODEL, LORA, words, words.length, words.length);
		lows.add(chain.lows[0] as number);
		highs.add(chain.highs[0] as number);
	}
	// By chance 0.4 pairs of 60,000 share 32 bits; eight do once in a million runs.
	t.true(lows.size >= seen.size - 8, `${seen.size - lows.size} of ${seen.size}`);
	t.true(highs.size >= seen.size - 8, `${seen.size - highs.size} of ${seen.size}`);
});
