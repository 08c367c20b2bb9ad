// What a worker's index says of prompts it has sent: whole blocks, the longest prefix of each row, under the bounds it was given.
import test from 'ava';
import * as fc from 'fast-check';
import type { ModelPool, PrefixIndex } from '../router/ports.js';
import { testPool } from '../router/testing/kit.js';
import type { PrefixHits } from '../strategy/runtime/decision.js';
import { createPrefixHits, HITS_GIVEN_MAX } from './hits.js';
import { createPrefixIndex, type PrefixIndexOptions } from './prefix-index.js';

const BLOCK = 256;

function poolOf(rows: number): ModelPool {
	return testPool(Array.from({ length: rows }, () => 'http://127.0.0.1:1'));
}

function found(
	index: PrefixIndex,
	pool: ModelPool,
	prompt: string,
	hits: PrefixHits = createPrefixHits(HITS_GIVEN_MAX),
): Record<number, number> {
	index.hashPrompt(pool.modelId, 0, Buffer.from(prompt));
	index.lookup(pool, hits);
	return Object.fromEntries(
		Array.from(hits.rows.subarray(0, hits.count), (row, at) => [row, hits.tokens[at] as number]),
	);
}

function put(index: PrefixIndex, pool: ModelPool, prompt: string, row: number): void {
	index.hashPrompt(pool.modelId, 0, Buffer.from(prompt));
	index.insert(pool, row);
}

test('each row has the longest prefix it was sent, in whole blocks of 64 tokens', (t) => {
	const index = createPrefixIndex({ blocksMax: 1024 });
	const pool = poolOf(4);
	const shared = 's'.repeat(BLOCK);
	put(index, pool, `${shared}${'a'.repeat(BLOCK)}`, 2);
	put(index, pool, `${shared}${'b'.repeat(BLOCK * 2)}`, 1);
	t.deepEqual(found(index, pool, `${shared}${'a'.repeat(BLOCK * 3)}`), { 1: 64, 2: 128 });
	t.is(index.sourceOf(2), 'approximate');
	t.deepEqual(found(index, pool, `${shared}${'b'.repeat(BLOCK * 2)}rest`), { 1: 192, 2: 64 });
	t.deepEqual(found(index, pool, 'x'.repeat(BLOCK)), {});
	t.deepEqual(found(index, pool, shared.slice(1)), {});
});

test('a prompt hashes the same wherever its bytes lie', (t) => {
	const index = createPrefixIndex({ blocksMax: 1024 });
	const pool = poolOf(1);
	const bytes = Buffer.from('unaligned '.repeat(60));
	const hashes = Array.from({ length: 4 }, (_, at) => {
		const room = new Uint8Array(bytes.length + 4);
		room.set(bytes, at);
		index.hashPrompt(1, 0, room.subarray(at, at + bytes.length));
		index.insert(pool, 0);
		return index.promptHashLow;
	});
	t.is(new Set(hashes).size, 1);
	t.deepEqual(found(index, pool, bytes.toString()), { 0: 128 });
});

test('model and adapter salt the hashes', (t) => {
	const index = createPrefixIndex({ blocksMax: 1024 });
	const pool = poolOf(2);
	const prompt = Buffer.from('p'.repeat(BLOCK));
	index.hashPrompt(1, 0, prompt);
	index.insert(pool, 0);
	const low = index.promptHashLow;
	const hits = createPrefixHits(8);
	for (const [model, lora] of [
		[2, 0],
		[1, 5],
	] as const) {
		index.hashPrompt(model, lora, prompt);
		index.lookup(pool, hits);
		t.is(hits.count, 0);
		t.not(index.promptHashLow, low);
	}
});

test('a row that has gone to another target holds nothing, and nothing of the one before comes back', (t) => {
	const index = createPrefixIndex({ blocksMax: 1024 });
	const before = poolOf(2);
	const prompt = 'p'.repeat(BLOCK);
	put(index, before, prompt, 0);
	put(index, before, prompt, 1);
	const [first, second] = before.targets;
	if (first === undefined || second === undefined) throw new Error('no targets');
	const after: ModelPool = { ...before, targets: [{ ...first, generation: 2 }, second] };
	t.deepEqual(found(index, after, prompt), { 1: 64 });
	const hole: ModelPool = { ...before, targets: [undefined, second] };
	t.deepEqual(found(index, hole, prompt), { 1: 64 });
	const moved: ModelPool = { ...before, targets: [second, first] };
	t.deepEqual(found(index, moved, prompt), { 0: 64, 1: 64 });
	// The new target is sent something else: what the old one held must not show under the new generation, nor under the old one again.
	put(index, after, 'q'.repeat(BLOCK), 0);
	t.deepEqual(found(index, after, prompt), { 1: 64 });
	t.deepEqual(found(index, before, prompt), { 1: 64 });
});

test('targets that leave the directory give their room back', (t) => {
	const index = createPrefixIndex({ blocksMax: 64 });
	const before = poolOf(2);
	put(index, before, 'a'.repeat(BLOCK * 40), 0);
	const gone: ModelPool = { ...before, targets: [undefined, before.targets[1]] };
	index.retain([gone]);
	put(index, gone, 'b'.repeat(BLOCK * 60), 1);
	t.deepEqual(found(index, before, 'a'.repeat(BLOCK * 40)), {});
	put(index, gone, 'b'.repeat(BLOCK * 60), 1);
	t.deepEqual(found(index, gone, 'b'.repeat(BLOCK * 60)), { 1: 60 * 64 });
});

test('the prompt hash tells prompts apart, keeps through a conversation, and is 0 only for the empty one', (t) => {
	const index = createPrefixIndex({ blocksMax: 64 });
	const hash = (text: string): string => {
		index.hashPrompt(1, 0, Buffer.from(text));
		return `${index.promptHashLow}:${index.promptHashHigh}`;
	};
	t.is(hash(''), '0:0');
	t.not(hash('a'), '0:0');
	t.not(hash('a'), hash('b'));
	const system = 's'.repeat(BLOCK * 4);
	t.is(hash(`${system}one`), hash(`${system}${'two'.repeat(500)}`));
});

test('of many holders of one prefix as many as are given are listed, the deepest among them', (t) => {
	const index = createPrefixIndex({ blocksMax: 4096 });
	const pool = poolOf(200);
	const shared = 's'.repeat(BLOCK);
	put(index, pool, `${shared}${'d'.repeat(BLOCK * 3)}`, 7);
	for (let row = 0; row < 200; row++) if (row !== 7) put(index, pool, shared, row);
	const hits = found(index, pool, `${shared}${'d'.repeat(BLOCK * 3)}`);
	t.is(hits[7], 256);
	t.is(Object.keys(hits).length, HITS_GIVEN_MAX);
});

test('hits beyond the room given keep the longest, ordered by row', (t) => {
	const index = createPrefixIndex({ blocksMax: 1024 });
	const pool = poolOf(6);
	const prompt = 'q'.repeat(BLOCK * 6);
	for (let row = 0; row < 6; row++) put(index, pool, prompt.slice(0, BLOCK * (row + 1)), row);
	t.deepEqual(found(index, pool, prompt, createPrefixHits(2)), { 4: 320, 5: 384 });
	t.deepEqual(found(index, pool, prompt, createPrefixHits(2)), { 4: 320, 5: 384 });
});

test('a target holds no more than its cache has room for, what was used last; the engine’s size counts when it is known', (t) => {
	let tokens = 0;
	const options: Partial<PrefixIndexOptions> = { blocksMax: 4096, targetTokens: 64 * 8, workers: 2 };
	const index = createPrefixIndex(options, { nowMs: () => 0, cacheTokens: () => tokens });
	const pool = poolOf(1);
	const [a, b] = ['a'.repeat(BLOCK * 3), 'b'.repeat(BLOCK * 3)];
	put(index, pool, a, 0);
	put(index, pool, b, 0);
	// Two workers share eight blocks: four are this one's, and the end of the older prompt gave way.
	t.deepEqual([found(index, pool, a), found(index, pool, b)], [{ 0: 64 }, { 0: 192 }]);
	tokens = 64 * 100;
	put(index, pool, a, 0);
	t.deepEqual([found(index, pool, a), found(index, pool, b)], [{ 0: 192 }, { 0: 192 }]);
	tokens = 64 * 4;
	put(index, pool, 'c'.repeat(BLOCK), 0);
	t.deepEqual([found(index, pool, a), found(index, pool, b)], [{ 0: 64 }, {}]);
});

test('prompts beyond the bound are cut, and nobody’s prompts push out all of another’s', (t) => {
	const index = createPrefixIndex({ blocksMax: 64, lookupBlocksMax: 4 });
	const pool = poolOf(2);
	put(index, pool, 'k'.repeat(BLOCK * 9), 0);
	t.deepEqual(found(index, pool, 'k'.repeat(BLOCK * 9)), { 0: 256 });
	for (let at = 0; at < 400; at++) put(index, pool, String(at).repeat(BLOCK), 1);
	t.deepEqual(found(index, pool, 'k'.repeat(BLOCK * 9)), { 0: 256 });
});

/** The pool after its row has gone to another target. */
function rebornAt(pool: ModelPool, row: number): ModelPool {
	const targets = [...pool.targets];
	const before = targets[row];
	if (before !== undefined) targets[row] = { ...before, generation: before.generation + 1 };
	return { ...pool, targets };
}

/** Each letter a block. */
function bytes(text: string): string {
	return text.replace(/./g, (letter) => letter.repeat(BLOCK));
}

/** A target as the words have it: blocks by last use, the blocks of a prompt used from its end to its start. */
class NaiveTarget {
	held: string[] = [];

	use(prompt: string, capacity: number): void {
		for (let at = Math.min(prompt.length, capacity); at > 0; at--) {
			const block = prompt.slice(0, at);
			this.held = this.held.filter((other) => other !== block);
			if (this.held.length >= capacity) this.held.shift();
			this.held.push(block);
		}
	}

	longest(prompt: string): number {
		let depth = 0;
		while (depth < prompt.length && this.held.includes(prompt.slice(0, depth + 1))) depth++;
		return depth;
	}
}

test('property: the index says what a naive model of least-recently-used caches says', (t) => {
	const seed = 20_261;
	t.log(`seed ${seed}`);
	const TARGETS = 4;
	const prompt = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 0, maxLength: 6 });
	const step = fc.record({
		prompt,
		row: fc.nat({ max: TARGETS - 1 }),
		reborn: fc.boolean(),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 60 }), fc.array(prompt, { maxLength: 6 }), (steps, asked) => {
			const capacities = [3, 5, 8, 13];
			const index = createPrefixIndex(
				{ blocksMax: 4096 },
				{ nowMs: () => 0, cacheTokens: (row) => (capacities[row] as number) * 64 },
			);
			const naive = Array.from({ length: TARGETS }, () => new NaiveTarget());
			let pool = poolOf(TARGETS);
			for (const [at, { prompt: text, row, reborn }] of steps.entries()) {
				if (reborn && at % 7 === 0) {
					naive[row] = new NaiveTarget();
					pool = rebornAt(pool, row);
					index.retain([pool]);
				}
				put(index, pool, bytes(text), row);
				naive[row]?.use(text, capacities[row] as number);
			}
			for (const text of [...asked, ...steps.map((one) => one.prompt)]) {
				const expected = Object.fromEntries(
					naive.map((target, row) => [row, target.longest(text) * 64]).filter(([, tokens]) => tokens !== 0),
				);
				const got = found(index, pool, bytes(text));
				if (JSON.stringify(got) !== JSON.stringify(expected)) return false;
			}
			return true;
		}),
		{ seed, numRuns: 300 },
	);
	t.pass();
});

test('property: a table with too little room never claims what a roomy one does not', (t) => {
	const seed = 20_262;
	t.log(`seed ${seed}`);
	const step = fc.record({
		prompt: fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 8 }),
		row: fc.nat({ max: 5 }),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
			const pool = poolOf(6);
			const small = createPrefixIndex({ blocksMax: 12 });
			const roomy = createPrefixIndex({ blocksMax: 4096 });
			for (const { prompt, row } of steps) {
				put(small, pool, bytes(prompt), row);
				put(roomy, pool, bytes(prompt), row);
				const [few, all] = [found(small, pool, bytes(prompt)), found(roomy, pool, bytes(prompt))];
				if (few[row] === undefined) return false;
				for (const [at, tokens] of Object.entries(few)) if (tokens > (all[Number(at)] ?? 0)) return false;
			}
			return true;
		}),
		{ seed, numRuns: 200 },
	);
	t.pass();
});

test('impossible sizes are refused', (t) => {
	t.throws(() => createPrefixIndex({ blocksMax: 0 }), { instanceOf: RangeError });
	t.throws(() => createPrefixIndex({ blocksMax: 1.5 }), { instanceOf: RangeError });
});
