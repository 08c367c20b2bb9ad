import test from 'ava';
import * as fc from 'fast-check';
import type { PrefixHits } from '../strategy/runtime/decision.js';
import { BlockTable, HOLDERS_MAX } from './block-table.js';
import type { ModelPool, PrefixIndex } from './ports.js';
import { createPrefixHits, createPrefixIndex } from './prefix-index.js';
import { testPool } from './testing/kit.js';

const BLOCK = 256;

function poolOf(rows: number): ModelPool {
	return testPool(Array.from({ length: rows }, () => 'http://127.0.0.1:1'));
}

function found(
	index: PrefixIndex,
	pool: ModelPool,
	prompt: string,
	hits: PrefixHits = createPrefixHits(64),
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
	t.deepEqual(found(index, pool, `${shared}${'b'.repeat(BLOCK * 2)}rest`), { 1: 192, 2: 64 });
	t.deepEqual(found(index, pool, 'x'.repeat(BLOCK)), {});
	t.deepEqual(found(index, pool, shared.slice(1)), {});
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

test('a row that has gone to another target holds nothing', (t) => {
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

test('more holders than fit keep the latest; deep prefixes are found although their owner left the first block', (t) => {
	const index = createPrefixIndex({ blocksMax: 1024 });
	const pool = poolOf(20);
	const shared = 's'.repeat(BLOCK);
	put(index, pool, `${shared}${'d'.repeat(BLOCK * 3)}`, 0);
	for (let row = 1; row < 20; row++) put(index, pool, shared, row);
	const hits = found(index, pool, `${shared}${'d'.repeat(BLOCK * 3)}`);
	t.is(hits[0], 256);
	t.is(Object.keys(hits).length, HOLDERS_MAX + 1);
});

test('hits beyond the room given keep the longest, ordered by row', (t) => {
	const index = createPrefixIndex({ blocksMax: 1024 });
	const pool = poolOf(6);
	const prompt = 'q'.repeat(BLOCK * 6);
	for (let row = 0; row < 6; row++) put(index, pool, prompt.slice(0, BLOCK * (row + 1)), row);
	t.deepEqual(found(index, pool, prompt, createPrefixHits(2)), { 4: 320, 5: 384 });
	t.deepEqual(found(index, pool, prompt, createPrefixHits(2)), { 4: 320, 5: 384 });
});

test('prompts beyond the bound are cut, memory is fixed, and what is used stays longest', (t) => {
	const index = createPrefixIndex({ blocksMax: 64, lookupBlocksMax: 4 });
	const pool = poolOf(1);
	put(index, pool, 'k'.repeat(BLOCK * 9), 0);
	t.deepEqual(found(index, pool, 'k'.repeat(BLOCK * 9)), { 0: 256 });
	for (let at = 0; at < 400; at++) {
		put(index, pool, String(at).repeat(BLOCK), 0);
		found(index, pool, 'k'.repeat(BLOCK));
	}
	t.deepEqual(found(index, pool, 'k'.repeat(BLOCK)), { 0: 64 });
});

test('the block table finds exactly what it holds, through any run of adds and evictions', (t) => {
	const seed = 77;
	t.log(`seed ${seed}`);
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 400 }), (keys) => {
			const table = new BlockTable(8);
			for (const key of keys) {
				// Equal low words force probing.
				const entry = table.findOrAdd(key % 3, key);
				if (table.find(key % 3, key) !== entry) return false;
				if (table.size > 8) return false;
			}
			const held = new Set<number>();
			for (let key = 0; key <= 40; key++) {
				const entry = table.find(key % 3, key);
				if (entry >= 0 && held.has(entry)) return false;
				if (entry >= 0) held.add(entry);
			}
			return held.size === Math.min(8, new Set(keys).size);
		}),
		{ seed, numRuns: 300 },
	);
	t.pass();
});

test('impossible sizes are refused', (t) => {
	t.throws(() => new BlockTable(0), { instanceOf: RangeError });
	t.throws(() => new BlockTable(1.5), { instanceOf: RangeError });
});
