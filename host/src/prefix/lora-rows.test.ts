// Which rows have an adapter: from what targets report, by way of the agent's sets and a worker's rows, to the hits a strategy is given.
import { HitFlag } from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import { type LoraSet, LoraSets } from '../fleet/lora-sets.js';
import { testPool } from '../router/testing/kit.js';
import { createPrefixHits, HITS_GIVEN_MAX } from './hits.js';
import { LoraRows } from './lora-rows.js';
import { createPrefixIndex } from './prefix-index.js';

const NAMES = ['a', 'b', 'c'] as const;

/** Sets of the agent whose changes a worker takes when `flush` is called. */
function linked(namesMax = 100): { readonly sets: LoraSets; readonly rows: LoraRows; flush: () => void } {
	const rows = new LoraRows(namesMax);
	let due: (() => void) | undefined;
	const clock = {
		nowMs: () => 0,
		wallMs: () => 0,
		after: (_delayMs: number, fn: () => void) => {
			due = fn;
			return { cancel: () => (due = undefined) };
		},
		every: () => ({ cancel: () => undefined }),
	};
	const sets = new LoraSets(clock, 20, (changed: readonly LoraSet[]) => rows.update(changed));
	return {
		sets,
		rows,
		flush() {
			const fn = due;
			due = undefined;
			fn?.();
		},
	};
}

/** Rows marked, and those that hold something of the prompt. */
function ask(rows: LoraRows, size: number, lora: string, prompt = '', sentTo?: number) {
	const pool = testPool(Array.from({ length: size }, () => 'http://127.0.0.1:1'));
	const index = createPrefixIndex({ blocksMax: 1024 }, { nowMs: () => 0, cacheTokens: () => 0, loras: rows });
	const hits = createPrefixHits(HITS_GIVEN_MAX);
	const hash = () => index.hashPrompt(1, lora === '' ? 0 : 1, Buffer.from(prompt), undefined, lora);
	hash();
	if (sentTo !== undefined) index.insert(pool, sentTo);
	index.lookup(pool, hits);
	index.lookup(pool, hits);
	const at = Array.from({ length: hits.count }, (_, i) => i);
	return {
		rows: at.map((i) => hits.rows[i] as number),
		marked: at.filter((i) => hits.flags[i] === HitFlag.lora).map((i) => hits.rows[i] as number),
		tokens: at.map((i) => hits.tokens[i] as number),
	};
}

test('rows that have the adapter are marked, beside those that hold the prompt and among them', (t) => {
	const { sets, rows, flush } = linked();
	for (const row of [1, 3]) sets.reported({ row, generation: 1 }, ['a']);
	t.deepEqual(ask(rows, 5, 'a').marked, [], 'what changed goes out a moment later');
	flush();
	t.deepEqual(ask(rows, 5, 'a', 'p'.repeat(256), 3), { rows: [1, 3], marked: [1, 3], tokens: [0, 64] });
	t.deepEqual(ask(rows, 5, 'a', 'p'.repeat(256), 2), { rows: [1, 2, 3], marked: [1, 3], tokens: [0, 64, 0] });
	t.deepEqual(ask(rows, 5, 'b').rows, []);
	t.deepEqual(ask(rows, 5, '').rows, []);
	sets.reported({ row: 2, generation: 1 }, ['m']);
	flush();
	t.deepEqual(ask(rows, 5, '').marked, [2], 'an adapter that is asked for as a model');
});

test('after any reports a worker knows what a table of them would say', (t) => {
	const report = fc.record({
		row: fc.nat(9),
		generation: fc.constantFrom(1, 1, 1, 2),
		names: fc.subarray([...NAMES, '', 'x'.repeat(300)]),
		then: fc.constantFrom('nothing', 'flush', 'retain'),
	});
	fc.assert(
		fc.property(fc.array(report, { maxLength: 40 }), (reports) => {
			const { sets, rows, flush } = linked();
			const table = new Map<number, { readonly generation: number; readonly names: readonly string[] }>();
			for (const { row, generation, names, then } of reports) {
				sets.reported({ row, generation }, names);
				table.set(row, { generation, names });
				if (then === 'retain') {
					table.delete((row + 1) % 10);
					sets.retain([...table].map(([at, known]) => ({ row: at, generation: known.generation })));
				}
				if (then !== 'nothing') flush();
			}
			flush();
			for (const name of NAMES) {
				// Pools of the kit are of targets of generation 1.
				const wanted = [...table].filter(([, known]) => known.generation === 1 && known.names.includes(name));
				t.deepEqual(
					ask(rows, 10, name).marked,
					wanted.map(([row]) => row).sort((a, b) => a - b),
				);
			}
			const late = new LoraRows(100);
			late.update(sets.all());
			for (const name of NAMES) t.deepEqual(ask(late, 10, name).marked, ask(rows, 10, name).marked);
		}),
	);
});

test('of an adapter that is everywhere each row is told in turn, and adapters beyond the bound are loaded nowhere', (t) => {
	const { sets, rows, flush } = linked(1);
	for (let row = 0; row < 200; row++) sets.reported({ row, generation: 1 }, row === 0 ? ['a', 'b'] : ['a']);
	flush();
	const seen = new Set<number>();
	const pool = testPool(Array.from({ length: 200 }, () => 'http://127.0.0.1:1'));
	const index = createPrefixIndex({ blocksMax: 1024 }, { nowMs: () => 0, cacheTokens: () => 0, loras: rows });
	const hits = createPrefixHits(HITS_GIVEN_MAX);
	index.hashPrompt(1, 1, Buffer.alloc(0), undefined, 'a');
	for (let look = 0; look < 4; look++) {
		index.lookup(pool, hits);
		t.is(hits.count, HITS_GIVEN_MAX);
		for (const row of hits.rows.subarray(0, hits.count)) seen.add(row);
	}
	t.is(seen.size, 200);
	t.deepEqual(ask(rows, 200, 'b').rows, []);
});
