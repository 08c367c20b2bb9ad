// Prompt text: exact sizes, equal ids give equal prefixes, unlike ones differ at once, nothing to escape.
import test from 'ava';
import * as fc from 'fast-check';
import { createPromptText } from './prompt.js';

const base = { atMs: 0, outputTokens: 1 };

test('a prompt has 4 bytes a token, needs no escaping, and depends on the seed', (t) => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 3000 }), fc.boolean(), fc.nat(1e9), (inputTokens, hasBlocks, seed) => {
			const text = createPromptText({ blockTokens: 512, seed });
			const blocks = hasBlocks
				? Array.from({ length: Math.ceil(inputTokens / 512) }, (_, index) => index * 7)
				: undefined;
			const prompt = text({ ...base, inputTokens, ...(blocks === undefined ? {} : { blocks }) }, 3);
			return prompt.length === inputTokens * 4 && /^[a-z0-9 ]*$/.test(prompt);
		}),
		{ numRuns: 30 },
	);
	const request = { ...base, inputTokens: 100 };
	const withSeed = (seed: number): string => createPromptText({ blockTokens: 512, seed })(request, 1);
	t.is(withSeed(1), withSeed(1));
	t.not(withSeed(1), withSeed(2));
});

test('equal block ids give 2,048 equal bytes each, other ids differ from their first', (t) => {
	const text = createPromptText({ blockTokens: 512, blocksCachedMax: 2 });
	const make = (blocks: readonly number[]): string =>
		text({ ...base, inputTokens: blocks.length * 512 - 12, blocks }, 0);
	const one = make([0, 5, 2 ** 40 + 9]);
	const two = make([0, 5, 2 ** 40 + 10]);
	t.is(one.slice(0, 4096), two.slice(0, 4096));
	t.not(one.slice(4096, 4096 + 12), two.slice(4096, 4096 + 12));
	t.is(make([0, 5, 2 ** 40 + 9]), one, 'a block made again after leaving the cache is the same');
	t.true(make([0, 5, 2 ** 40 + 9, 1]).startsWith(one), 'a partial block is the start of the full one');
});

test('prompts without blocks differ from their first bytes', (t) => {
	const text = createPromptText({ blockTokens: 512 });
	const heads = Array.from({ length: 500 }, (_, ordinal) => text({ ...base, inputTokens: 10 }, ordinal).slice(0, 5));
	t.is(new Set(heads).size, 500);
});
