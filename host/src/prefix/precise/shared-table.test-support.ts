// A writer in a thread of its own for the tests of the shared table: two sets of holders take turns under one hash, and the hash comes and
// goes, and its entry stands for another hash in between, until the reader has seen enough. Ends with the word the reader sets.
import { workerData } from 'node:worker_threads';
import { HOLDERS_NAMED_MAX, type KvTableShared, KvTableWriter, packHolder } from './shared-table.js';

export interface WriterStart {
	readonly table: KvTableShared;
	/** One word: not 0 = stop. */
	readonly stop: SharedArrayBuffer;
	readonly low: number;
	readonly high: number;
}

const { table, stop, low, high } = workerData as WriterStart;
const writer = new KvTableWriter(table);
const word = new Int32Array(stop);
const sets = [1, 2].map((set) =>
	Uint32Array.from({ length: HOLDERS_NAMED_MAX }, (_, at) => packHolder(set * 100 + at, set, set)),
);
for (let turn = 0; Atomics.load(word, 0) === 0; turn++) {
	const way = writer.add(low, high, packHolder((1 + (turn & 1)) * 100, 1 + (turn & 1), 1 + (turn & 1)));
	for (let change = 0; change < 16; change++) {
		const holders = sets[(turn + change) & 1] as Uint32Array;
		writer.set(way, HOLDERS_NAMED_MAX, holders, HOLDERS_NAMED_MAX);
	}
	writer.remove(way);
	writer.remove(writer.add(low, high + 1, packHolder(500, 3, 3)));
}
