// What engines know a prompt's blocks by says the same as what routers know them by.
import test from 'ava';
import * as fc from 'fast-check';
import type { Workload } from '../spec.js';
import { promptsOf } from './prompts.js';

const ID_TOKENS = 8;

test('property: two blocks have one number exactly when they have one hash, whatever the block size, adapter and order of asking', (t) => {
	const seed = 20_267;
	t.log(`seed ${seed}`);
	const id = fc.oneof(fc.nat({ max: 9 }), fc.nat({ max: 9 }), fc.maxSafeNat());
	const request = fc.record({
		blocks: fc.array(id, { minLength: 1, maxLength: 12 }),
		short: fc.nat({ max: ID_TOKENS - 1 }),
		lora: fc.constantFrom('', '', 'sql', 'law'),
	});
	fc.assert(
		fc.property(
			fc.array(request, { minLength: 1, maxLength: 6 }),
			fc.constantFrom(2, 8, 16),
			fc.boolean(),
			(rows, blockTokens, backwards) => {
				const requests = rows.map(({ blocks, short, lora }, atMs) => ({
					atMs,
					inputTokens: blocks.length * ID_TOKENS - short,
					outputTokens: 1,
					blocks,
					...(lora === '' ? {} : { lora }),
				}));
				const workload: Workload = { name: 'w', blockTokens: ID_TOKENS, notes: [], requests };
				const prompts = promptsOf(workload, blockTokens);
				const numberOf = new Map<string, number>();
				const order = rows.map((_, at) => at);
				for (const at of backwards ? order.toReversed() : order) {
					const chain = prompts.chain(at) as Uint32Array;
					const runs = prompts.blocks(at);
					if (runs?.length !== chain.length / 2) return false;
					for (let place = 0; place < runs.length; place++) {
						const hash = `${chain[place * 2]}:${chain[place * 2 + 1]}`;
						const number = runs.number(runs.runOf(place), place);
						if ((numberOf.get(hash) ?? number) !== number) return false;
						numberOf.set(hash, number);
					}
				}
				return new Set(numberOf.values()).size === numberOf.size;
			},
		),
		{ seed, numRuns: 300 },
	);
	t.pass();
});

test('blocks of new content are one run, and so are those that come again', (t) => {
	const requests = [
		{ atMs: 0, inputTokens: 32, outputTokens: 1, blocks: [70, 5, 900, 3] },
		{ atMs: 1, inputTokens: 40, outputTokens: 1, blocks: [70, 5, 12, 11, 10] },
	];
	const prompts = promptsOf({ name: 'w', blockTokens: ID_TOKENS, notes: [], requests }, 2);
	const ends = (at: number): number[] => {
		const runs = prompts.blocks(at);
		return [0, runs?.length ?? 0].map((place) => runs?.endOf(runs.runOf(Math.max(0, place - 1))) ?? 0);
	};
	t.deepEqual(ends(0), [16, 16]);
	t.deepEqual(ends(1), [8, 20]);
});
