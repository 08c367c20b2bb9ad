// What engines say they hold against a naive model, as a reader in another thread would see it.

import type { BlocksRemoved, BlocksStored } from '@infermesh/adapters';
import test from 'ava';
import * as fc from 'fast-check';
import { HashChain } from '../chain.js';
import { KvIndex, strideOf } from './kv-index.js';
import { createKvTable, KvTableReader, KvTableWriter } from './shared-table.js';

const MODEL = 3;

function names(list: readonly number[]): { lows: Uint32Array; highs: Uint32Array } {
	return { lows: Uint32Array.from(list), highs: Uint32Array.from(list, (name) => name >>> 3) };
}

function parentOf(name: number | undefined): BlocksStored['parent'] {
	return name === undefined ? undefined : { low: name, high: name >>> 3 };
}

function stored(
	blocks: readonly number[],
	parent: number | undefined,
	tokens: readonly number[],
	blockTokens: number,
	more: Partial<BlocksStored> = {},
): BlocksStored {
	return {
		kind: 'stored',
		blocks: names(blocks),
		parent: parentOf(parent),
		tokens: Uint32Array.from(tokens),
		blockTokens,
		lora: '',
		tier: 0,
		plainBlocks: blocks.length,
		...more,
	};
}

function removed(blocks: readonly number[], tier = 0): BlocksRemoved {
	return { kind: 'removed', blocks: names(blocks), tier };
}

interface Fixture {
	readonly index: KvIndex;
	/** Holders at each published position of a prompt: rows with tiers. */
	readonly at: (tokens: readonly number[], stride: number, lora?: number) => string[];
}

function fixture(blocksMax = 4096): Fixture {
	const shared = createKvTable(64, blocksMax);
	const index = new KvIndex(blocksMax, new KvTableWriter(shared));
	const reader = new KvTableReader(shared);
	const chain = new HashChain(1024);
	return {
		index,
		at: (tokens, stride, lora = 0) => {
			chain.fillTokens(MODEL, lora, Uint32Array.from(tokens), stride);
			return Array.from({ length: chain.blocks }, (_, depth) => {
				reader.find(chain.lows[depth] as number, chain.highs[depth] as number);
				const holders = Array.from(
					{ length: reader.named },
					(_unused, at) => `${reader.rowAt(at)}/${reader.tierAt(at)}`,
				);
				return `${reader.count}:${holders.sort().join(',')}`;
			});
		},
	};
}

function range(count: number, from = 0): number[] {
	return Array.from({ length: count }, (_, at) => from + at);
}

test('a prefix is known as far as its blocks were stored, and no further than its first missing block', (t) => {
	const { index, at } = fixture();
	const holder = index.open({ row: 5, generation: 1, modelId: MODEL });
	const tokens = range(64);
	index.stored(holder, stored([1, 2], undefined, tokens.slice(0, 32), 16));
	index.stored(holder, stored([3, 4], 2, tokens.slice(32), 16));
	t.deepEqual(at(tokens, 16), ['1:5/0', '1:5/0', '1:5/0', '1:5/0']);
	index.removed(holder, removed([2]));
	t.deepEqual(at(tokens, 16), ['1:5/0', '0:', '0:', '0:']);
	// The block comes back: those behind it were never gone.
	index.stored(holder, stored([2], 1, tokens.slice(16, 32), 16));
	t.deepEqual(at(tokens, 16), ['1:5/0', '1:5/0', '1:5/0', '1:5/0']);
	index.removed(holder, removed([4, 3, 2, 1]));
	t.deepEqual(at(tokens, 16), ['0:', '0:', '0:', '0:']);
	t.is(index.blocks, 0);
	t.is(index.positions, 0);
});

test('runs longer than what is read ahead are known block by block, however they go', (t) => {
	const { index, at } = fixture();
	const holder = index.open({ row: 5, generation: 1, modelId: MODEL });
	const tokens = range(16 * 100);
	index.stored(holder, stored(range(70, 1), undefined, tokens.slice(0, 16 * 70), 16));
	index.stored(holder, stored(range(30, 71), 70, tokens.slice(16 * 70), 16));
	t.deepEqual(
		at(tokens, 16),
		range(100).map(() => '1:5/0'),
	);
	// The last first, as caches let go, and a name among them that nobody has heard of.
	index.removed(holder, removed([...range(50, 51).reverse(), 7777, ...range(10, 41).reverse()]));
	t.deepEqual(
		at(tokens, 16),
		range(100).map((depth) => (depth < 40 ? '1:5/0' : '0:')),
	);
	index.removed(holder, removed(range(40, 1)));
	t.is(index.blocks, 0);
	t.is(index.positions, 0);
});

test('a block that follows one known under other tokens is placed by those', (t) => {
	const { index, at } = fixture();
	const holder = index.open({ row: 5, generation: 1, modelId: MODEL });
	const tokens = range(48);
	index.stored(holder, stored([1, 2], undefined, tokens.slice(0, 32), 16));
	index.stored(holder, stored([1, 2, 3], undefined, [...range(32, 500), ...tokens.slice(32)], 16));
	t.deepEqual(at(tokens, 16), ['1:5/0', '1:5/0', '1:5/0']);
});

test('a block is in a tier until it is removed from it; the nearest is named', (t) => {
	const { index, at } = fixture();
	const holder = index.open({ row: 1, generation: 1, modelId: MODEL });
	const tokens = range(16);
	index.stored(holder, stored([1], undefined, tokens, 16));
	index.stored(holder, stored([1], undefined, [], 16, { tier: 1 }));
	t.deepEqual(at(tokens, 16), ['1:1/0']);
	index.removed(holder, removed([1]));
	t.deepEqual(at(tokens, 16), ['1:1/1']);
	index.removed(holder, removed([1], 1));
	t.deepEqual(at(tokens, 16), ['0:']);
});

test('blocks that move are in the other tier only, in whatever order they are named; names that nobody knows are passed over', (t) => {
	const { index, at } = fixture();
	const holder = index.open({ row: 1, generation: 1, modelId: MODEL });
	const tokens = range(16 * 80);
	index.stored(holder, stored(range(80, 1), undefined, tokens, 16));
	index.moved(holder, names([...range(45, 36).reverse(), 7777, 3, 20, 21, 2]), 0, 1);
	const host = (depth: number): boolean => depth >= 35 || [1, 2, 19, 20].includes(depth);
	const expected = (is: (depth: number) => boolean): string[] =>
		range(80).map((depth) => (is(depth) ? '1:1/1' : '1:1/0'));
	t.deepEqual(at(tokens, 16), expected(host));
	index.moved(holder, names(range(45, 36)), 1, 0);
	t.deepEqual(
		at(tokens, 16),
		expected((depth) => depth < 35 && host(depth)),
	);
	index.moved(holder, names([1]), 9, 12);
	index.removed(holder, removed(range(80, 1)));
	index.removed(holder, removed(range(80, 1), 1));
	t.deepEqual([index.blocks, index.positions], [0, 0]);
});

test('single tokens are published every sixteen; adapters, other models and unknown parents do not match', (t) => {
	const { index, at } = fixture();
	const holder = index.open({ row: 1, generation: 1, modelId: MODEL });
	const tokens = range(40, 100);
	index.stored(holder, stored(range(40, 1), undefined, tokens, 1));
	t.is(strideOf(1), 16);
	t.deepEqual(at(tokens, 16), ['1:1/0', '1:1/0']);
	index.stored(holder, stored([900], 899, [1], 1));
	t.is(index.orphans, 1);
	const other = index.open({ row: 2, generation: 1, modelId: MODEL + 1 });
	index.stored(other, stored(range(40, 1), undefined, tokens, 1));
	t.deepEqual(at(tokens, 16), ['1:1/0', '1:1/0']);
	index.stored(holder, stored([5000], undefined, range(16), 16, { lora: 'sql' }));
	t.deepEqual(at(range(16), 16), ['0:']);
	t.is(index.blocksOf(holder), 1);
});

test('holders beyond those named are counted, and named when there is room again', (t) => {
	const { index, at } = fixture();
	const tokens = range(16);
	const holders = range(12).map((row) => index.open({ row, generation: 1, modelId: MODEL }));
	for (const holder of holders) index.stored(holder, stored([1], undefined, tokens, 16));
	t.true(at(tokens, 16)[0]?.startsWith('12:'));
	for (const holder of holders.slice(0, 10)) index.close(holder);
	t.deepEqual(at(tokens, 16), ['2:10/0,11/0']);
});

test('without room blocks are left out and counted, and what is known stays right', (t) => {
	const { index, at } = fixture(4);
	const holder = index.open({ row: 1, generation: 1, modelId: MODEL });
	const tokens = range(16 * 6);
	index.stored(holder, stored(range(6, 1), undefined, tokens, 16));
	t.is(index.refused, 2);
	t.is(at(tokens, 16).filter((text) => text === '1:1/0').length, 4);
	index.clear(holder);
	t.is(index.blocks, 0);
	index.stored(holder, stored([9], undefined, tokens.slice(0, 16), 16));
	t.is(at(tokens, 16)[0], '1:1/0');
});

/** One cache in plain words: names with their parents and tiers. */
class NaiveCache {
	readonly known = new Map<number, { parent: number | undefined; tokens: number[]; tiers: Set<number> }>();

	store(name: number, parent: number | undefined, tokens: number[], tier: number): void {
		const had = this.known.get(name);
		if (had !== undefined) {
			had.tiers.add(tier);
			return;
		}
		if (parent !== undefined && !this.known.has(parent)) return;
		this.known.set(name, { parent, tokens, tiers: new Set([tier]) });
	}

	remove(name: number, tier: number): void {
		this.known.get(name)?.tiers.delete(tier);
		for (;;) {
			const parents = new Set([...this.known.values()].map((block) => block.parent));
			const gone = [...this.known].filter(([one, block]) => block.tiers.size === 0 && !parents.has(one));
			if (gone.length === 0) return;
			for (const [one] of gone) this.known.delete(one);
		}
	}

	/** Tier at each depth of a path of names, undefined from the first that is not held. */
	held(path: readonly number[]): (number | undefined)[] {
		let whole = true;
		return path.map((name) => {
			const block = this.known.get(name);
			whole &&= block !== undefined && block.tiers.size > 0;
			return whole ? Math.min(...(block?.tiers ?? [])) : undefined;
		});
	}
}

test('property: what is published is what a naive model of the caches says', (t) => {
	const seed = 20_266;
	t.log(`seed ${seed}`);
	const SIZE = 16;
	// Prompts are paths of letters in a small tree; the name of a block is its path.
	const path = fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 4 });
	const step = fc.record({
		holder: fc.nat({ max: 2 }),
		kind: fc.constantFrom('store', 'store', 'store', 'remove', 'clear'),
		path,
		from: fc.nat({ max: 3 }),
		tier: fc.constantFrom(0, 0, 1),
	});
	const nameOf = (letters: readonly number[]): number => letters.reduce((name, letter) => name * 4 + letter + 1, 7);
	const tokensOf = (letters: readonly number[]): number[] =>
		letters.flatMap((letter) => Array.from({ length: SIZE }, (_, at) => letter * 100 + at));
	fc.assert(
		fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
			const { index, at } = fixture();
			const seats = range(3).map((row) => index.open({ row, generation: 1, modelId: MODEL }));
			const naive = seats.map(() => new NaiveCache());
			for (const { holder, kind, path: letters, from, tier } of steps) {
				const seat = seats[holder] as number;
				const cache = naive[holder] as NaiveCache;
				const prefixes = letters.map((_, depth) => letters.slice(0, depth + 1));
				const start = Math.min(from, letters.length - 1);
				const part = prefixes.slice(start);
				const before = start === 0 ? undefined : nameOf(letters.slice(0, start));
				if (kind === 'clear') {
					index.clear(seat);
					cache.known.clear();
				} else if (kind === 'remove') {
					index.removed(seat, removed(part.map(nameOf), tier));
					for (const prefix of part) cache.remove(nameOf(prefix), tier);
				} else {
					index.stored(seat, stored(part.map(nameOf), before, tokensOf(letters.slice(start)), SIZE, { tier }));
					if (before === undefined || cache.known.has(before))
						for (const [i, prefix] of part.entries())
							cache.store(nameOf(prefix), i === 0 ? before : nameOf(part[i - 1] as number[]), [], tier);
				}
				for (const { path: asked } of steps) {
					const helds = naive.map((one) => one.held(asked.map((_, depth) => nameOf(asked.slice(0, depth + 1)))));
					const expected = asked.map((_, depth) => {
						const holders = helds.flatMap((held, row) => (held[depth] === undefined ? [] : [`${row}/${held[depth]}`]));
						return `${holders.length}:${holders.join(',')}`;
					});
					if (JSON.stringify(at(tokensOf(asked), SIZE)) !== JSON.stringify(expected)) return false;
				}
			}
			for (const seat of seats) index.close(seat);
			return index.blocks === 0 && index.positions === 0;
		}),
		{ seed, numRuns: 150 },
	);
	t.pass();
});
