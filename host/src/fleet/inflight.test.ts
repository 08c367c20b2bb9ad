import test from 'ava';
import * as fc from 'fast-check';
import type { UpstreamTarget } from '../router/ports.js';
import {
	createInflight,
	DECODE_TOKENS,
	DECODES,
	InflightReader,
	InflightWriter,
	inflightCounters,
	PREFILL_PAIRS,
	PREFILL_TOKENS,
	pairsOf,
	REQUESTS,
	reclaimLedger,
} from './inflight.js';
import { WorkerLedger } from './ledger.js';
import { runThread } from './testing.js';

const ROWS = 8;

function target(tableRow: number): UpstreamTarget {
	return {
		id: `t${tableRow}`,
		tableRow,
		generation: 1,
		origin: 'http://127.0.0.1:1',
		pathPrefix: '',
		apiKey: undefined,
		runtime: 'test',
		upstreamModel: undefined,
	};
}

function totals(reader: InflightReader, row: number): number[] {
	return inflightCounters.map((_, counter) => reader.total(counter, row));
}

test('a request counts where it is: prompt, then decoding, then nowhere', (t) => {
	const shared = createInflight(ROWS, 1);
	const reader = new InflightReader(shared);
	const ledger = new WorkerLedger(new InflightWriter(shared, 0), 4, () => 0);
	const entry = ledger.dispatch(target(3), 100, 60);
	t.is(reader.total(REQUESTS, 3), 1);
	t.is(reader.total(PREFILL_TOKENS, 3), 60);
	ledger.firstToken(entry);
	t.is(reader.total(PREFILL_TOKENS, 3), 0);
	t.is(reader.total(DECODES, 3), 1);
	t.is(reader.total(DECODE_TOKENS, 3), 100);
	ledger.firstToken(entry);
	t.is(reader.total(DECODES, 3), 1, 'a second first token changes nothing');
	ledger.end(entry);
	ledger.end(entry);
	t.deepEqual(totals(reader, 3), [0, 0, 0, 0, 0]);
	t.is(ledger.underWay, 0);
});

test('a target prefills what is pending from the dispatch to an idle one, or from the first token before', (t) => {
	const shared = createInflight(ROWS, 1);
	const reader = new InflightReader(shared);
	let nowMs = 0xffff_fff0;
	const ledger = new WorkerLedger(new InflightWriter(shared, 0), 4, () => nowMs);
	const first = ledger.dispatch(target(2), 8192, 8192);
	nowMs += 10;
	const second = ledger.dispatch(target(2), 8192, 4096);
	t.is(reader.prefillAtMs(2), 0xffff_fff0, 'one more behind it changes nothing');
	t.is(reader.total(PREFILL_PAIRS, 2), 32 + 24, '8192²/2, and 4096 behind 4096, in 2^20');
	nowMs += 20;
	ledger.firstToken(first);
	t.is(reader.prefillAtMs(2), 14, 'across the wrap of the clock');
	t.is(reader.total(PREFILL_PAIRS, 2), 24);
	nowMs += 5;
	ledger.end(second);
	t.is(reader.prefillAtMs(2), 19);
	t.is(reader.total(PREFILL_PAIRS, 2), 0);
	ledger.end(first);
	nowMs += 1000;
	ledger.dispatch(target(2), 100, 100);
	t.is(reader.prefillAtMs(2), 1019, 'an idle target begins at once');
});

test('beyond its room a ledger sends uncounted, and ends of such entries are harmless', (t) => {
	const shared = createInflight(ROWS, 1);
	const reader = new InflightReader(shared);
	const ledger = new WorkerLedger(new InflightWriter(shared, 0), 2, () => 0);
	const entries = [0, 1, 2].map(() => ledger.dispatch(target(0), 1, 1));
	t.is(entries[2], -1);
	t.is(reader.total(REQUESTS, 0), 2);
	for (const entry of entries) {
		ledger.firstToken(entry);
		ledger.end(entry);
	}
	t.is(reader.total(REQUESTS, 0), 0);
	t.true(ledger.dispatch(target(0), 1, 1) >= 0, 'room is given back');
});

test('whatever is dispatched, advanced and ended in any order, the totals are those of what is under way', (t) => {
	const step = fc.record({
		row: fc.nat(ROWS - 1),
		tokens: fc.nat(50_000),
		cached: fc.nat(50_000),
		act: fc.nat(3),
		pick: fc.nat(99),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
			const shared = createInflight(ROWS, 2);
			const reader = new InflightReader(shared);
			const ledgers = [0, 1].map((worker) => new WorkerLedger(new InflightWriter(shared, worker), 64, () => 0));
			const live: {
				worker: number;
				entry: number;
				row: number;
				tokens: number;
				uncached: number;
				decoding: boolean;
			}[] = [];
			for (const { row, tokens, cached, act, pick } of steps) {
				const uncached = Math.max(0, tokens - cached);
				const worker = pick % 2;
				const picked = live[pick % Math.max(1, live.length)];
				if (act <= 1 || picked === undefined) {
					const entry = (ledgers[worker] as WorkerLedger).dispatch(target(row), tokens, uncached);
					if (entry >= 0) live.push({ worker, entry, row, tokens, uncached, decoding: false });
				} else if (act === 2) {
					(ledgers[picked.worker] as WorkerLedger).firstToken(picked.entry);
					picked.decoding = true;
				} else {
					(ledgers[picked.worker] as WorkerLedger).end(picked.entry);
					live.splice(live.indexOf(picked), 1);
				}
			}
			for (let row = 0; row < ROWS; row++) {
				const here = live.filter((one) => one.row === row);
				const sum = (value: (one: (typeof here)[number]) => number): number =>
					here.reduce((all, one) => all + value(one), 0);
				t.deepEqual(totals(reader, row), [
					here.length,
					sum((one) => (one.decoding ? 0 : one.uncached)),
					sum((one) => (one.decoding ? one.tokens : 0)),
					sum((one) => (one.decoding ? 1 : 0)),
					sum((one) => (one.decoding ? 0 : pairsOf(one.tokens, one.uncached))),
				]);
			}
			// One worker dies: exactly its share goes.
			reclaimLedger(shared, 0);
			for (let row = 0; row < ROWS; row++)
				t.is(reader.total(REQUESTS, row), live.filter((one) => one.row === row && one.worker === 1).length);
			t.is(reclaimLedger(shared, 0), 0, 'there is nothing left to take back');
		}),
		{ numRuns: 150 },
	);
});

test('a reclaim tells readers which rows changed', (t) => {
	const shared = createInflight(ROWS, 2);
	const reader = new InflightReader(shared);
	const ledger = new WorkerLedger(new InflightWriter(shared, 1), 8, () => 0);
	ledger.dispatch(target(2), 10, 10);
	ledger.dispatch(target(5), 10, 10);
	const before = reader.head(1);
	t.is(reclaimLedger(shared, 1), 2);
	const rows = Array.from({ length: reader.head(1) - before }, (_, i) => reader.changedRow(1, before + i));
	t.deepEqual(rows, [2, 5]);
	t.is(reclaimLedger(shared, 9), 0, 'a worker that never was has no share');
});

test('threads that count at once lose nothing', async (t) => {
	const shared = createInflight(ROWS, 3);
	const url = import.meta.resolve('./inflight.js');
	const text = (worker: number) => `import { workerData } from 'node:worker_threads';
		import { InflightWriter } from ${JSON.stringify(url)};
		const writer = new InflightWriter(workerData, ${worker});
		for (let i = 0; i < 50000; i++) { writer.add(0, i % ${ROWS}, 1); writer.changed(i % ${ROWS}); if (i % 2) { writer.add(0, (i - 1) % ${ROWS}, -1); writer.changed(i % ${ROWS}); } }`;
	await Promise.all([0, 1, 2].map((worker) => runThread(text(worker), shared)));
	const reader = new InflightReader(shared);
	let sum = 0;
	for (let row = 0; row < ROWS; row++) sum += reader.total(REQUESTS, row);
	t.is(sum, 3 * 25_000);
	for (const worker of [0, 1, 2]) t.is(reader.head(worker), 75_000);
	t.is(reclaimLedger(shared, 1), ROWS / 2);
	sum = 0;
	for (let row = 0; row < ROWS; row++) sum += reader.total(REQUESTS, row);
	t.is(sum, 2 * 25_000);
});

test('a total is never negative, and workers beyond the bound are refused', (t) => {
	const shared = createInflight(ROWS, 1);
	new InflightWriter(shared, 0).add(REQUESTS, 0, -5);
	t.is(new InflightReader(shared).total(REQUESTS, 0), 0);
	t.throws(() => createInflight(ROWS, 0), { instanceOf: RangeError });
	t.throws(() => createInflight(ROWS, 65), { instanceOf: RangeError });
	t.throws(() => new InflightWriter(shared, 2), { instanceOf: RangeError });
});
