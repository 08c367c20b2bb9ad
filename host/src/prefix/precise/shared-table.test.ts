// The published table between two real threads: what is read was written at one time, or is not there.
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { createKvTable, KvTableReader, KvTableWriter, packHolder } from './shared-table.js';
import type { WriterStart } from './shared-table.test-support.js';

test('a reader sees an entry as it stood at one time, however fast it changes, comes and goes', async (t) => {
	const table = createKvTable(1024, 64);
	const stop = new SharedArrayBuffer(4);
	const start: WriterStart = { table, stop, low: 7, high: 9 };
	const writer = new Worker(new URL('./shared-table.test-support.js', import.meta.url), { workerData: start });
	const ended = new Promise<number>((resolve) => void writer.once('exit', resolve));
	await new Promise<void>((resolve) => void writer.once('online', resolve));
	const reader = new KvTableReader(table);
	const seen = [0, 0, 0];
	let mixed = 0;
	// Until both sets have been seen many times; the writer goes on as long as that takes.
	while ((seen[1] as number) < 2000 || (seen[2] as number) < 2000) {
		for (let read = 0; read < 2000; read++) {
			reader.find(7, 9);
			const set = reader.count === 0 ? 0 : reader.generationAt(0);
			seen[set] = (seen[set] ?? 0) + 1;
			for (let at = 0; at < reader.named; at++)
				if (reader.rowAt(at) !== set * 100 + at || reader.generationAt(at) !== set || reader.tierAt(at) !== set)
					mixed++;
		}
		await new Promise((resolve) => setImmediate(resolve));
	}
	Atomics.store(new Int32Array(stop), 0, 1);
	t.is(await ended, 0);
	t.is(mixed, 0);
});

test('a bucket that is full takes no more, and a hash of low word 0 is a hash', (t) => {
	const table = createKvTable(16, 1);
	const writer = new KvTableWriter(table);
	const reader = new KvTableReader(table);
	const ways = Array.from({ length: 17 }, (_, at) => writer.add(at, 1, packHolder(1, 1, 0)));
	t.is(ways.filter((way) => way >= 0).length, 16);
	writer.set(ways[0] as number, 1, Uint32Array.of(packHolder(3, 1, 2)), 1);
	reader.find(0, 1);
	t.deepEqual([reader.count, reader.rowAt(0), reader.tierAt(0)], [1, 3, 2]);
	writer.rename(ways[0] as number, packHolder(3, 1, 2), packHolder(3, 1, 1));
	reader.find(0, 1);
	t.deepEqual([reader.count, reader.rowAt(0), reader.tierAt(0)], [1, 3, 1]);
	writer.remove(ways[0] as number);
	reader.find(0, 1);
	t.is(reader.count, 0);
	t.true(writer.add(99, 1, packHolder(1, 1, 0)) >= 0);
});

test('a row is live for one generation, and a new writer takes back all that was said', (t) => {
	const table = createKvTable(16, 64);
	const writer = new KvTableWriter(table);
	const reader = new KvTableReader(table);
	const before = reader.rowsEpoch();
	writer.setRow(3, 7, 16);
	t.not(reader.rowsEpoch(), before);
	t.deepEqual(
		[reader.strideOf(3, 7), reader.strideOf(3, 8), reader.strideOf(2, 7), reader.strideOf(99, 7)],
		[16, 0, 0, 0],
	);
	writer.add(5, 6, packHolder(3, 7, 0));
	new KvTableWriter(table).reset();
	reader.find(5, 6);
	t.is(reader.count, 0);
	t.is(reader.strideOf(3, 7), 0);
});
