import { columns } from '@infermesh/sdk';
import test from 'ava';
import * as fc from 'fast-check';
import { createFleetTable, FleetTableReader, FleetTableWriter, LOAD_BASE_COLUMN } from './table.js';
import { runThread } from './testing.js';

const LOAD = columns.findIndex(({ name }) => name === 'queue_depth');
const STATE = columns.findIndex(({ name }) => name === 'state');

function open(rowsMax: number) {
	const shared = createFleetTable(rowsMax);
	return { shared, writer: new FleetTableWriter(shared), reader: new FleetTableReader(shared) };
}

test('what is written is seen whole after a publish, and not at all before', (t) => {
	const { writer, reader } = open(8);
	writer.setF32(LOAD, 3, 1.5);
	writer.setU32(STATE, 3, 2);
	const before = reader.epoch();
	t.is(new Float32Array(reader.cells(before).slice().buffer)[LOAD * 8 + 3], 0);
	t.is(writer.publish(), 1);
	reader.consistently((cells) => {
		t.is(new Float32Array(cells.slice().buffer)[LOAD * 8 + 3], 1.5);
		t.is(cells[STATE * 8 + 3], 2);
	});
	t.is(writer.publish(), 0, 'nothing changed');
	t.is(reader.epoch(), before + 1);
});

test('a cell set to what it is already changes nothing', (t) => {
	const { writer } = open(4);
	writer.setF32(LOAD, 1, 2);
	writer.publish();
	writer.setF32(LOAD, 1, 2);
	t.is(writer.publish(), 0);
});

test('a reset row has the initial values of the dictionary', (t) => {
	const { writer } = open(4);
	for (const { id, type } of columns) {
		if (type === 'f32') writer.setF32(id, 2, 77);
		else writer.setU32(id, 2, 77);
	}
	writer.setF32(LOAD_BASE_COLUMN, 2, 77);
	writer.resetRow(2);
	for (const { id, type, initial, name } of columns)
		t.is(
			type === 'f32' ? writer.getF32(id, 2) : writer.getU32(id, 2),
			type === 'f32' ? Math.fround(initial) : initial,
			name,
		);
	t.is(writer.getF32(LOAD_BASE_COLUMN, 2), 0);
});

test('a reader that follows the dirty ring has what the writer has, whatever is written', (t) => {
	fc.assert(
		fc.property(
			fc.array(
				fc.array(fc.tuple(fc.nat(15), fc.nat(columns.length - 1), fc.nat(1000)), { maxLength: 20, size: 'max' }),
				{
					maxLength: 30,
				},
			),
			(publishes) => {
				const { writer, reader } = open(16);
				const copy = new Uint32Array(reader.cells(0).length);
				let tail = 0;
				for (const cells of publishes) {
					for (const [row, column, value] of cells) writer.setU32(column, row, value);
					writer.publish();
					reader.consistently((front, head) => {
						for (; tail !== head; tail = (tail + 1) >>> 0) {
							const row = reader.dirtyRow(tail);
							for (let at = row; at < copy.length; at += 16) copy[at] = front[at] as number;
						}
					});
					t.deepEqual(copy, reader.cells(reader.epoch()));
					for (const { id } of columns)
						for (let row = 0; row < 16; row++) t.is(copy[id * 16 + row], writer.getU32(id, row));
				}
			},
		),
		{ numRuns: 60 },
	);
});

test('the ring remembers more than a publish of every row can add', (t) => {
	for (const rowsMax of [16, 5000, 16_384]) t.true(open(rowsMax).reader.ringEntries >= 2 * rowsMax);
});

test('a reader in another thread never sees half a publish', async (t) => {
	const rows = 64;
	const { shared, writer, reader } = open(rows);
	// Word 0: stop; word 1: reads so far.
	const progress = new Int32Array(new SharedArrayBuffer(8));
	const reading = runThread<{ torn: number; last: number }>(
		`import { parentPort, workerData } from 'node:worker_threads';
		import { FleetTableReader } from ${JSON.stringify(import.meta.resolve('./table.js'))};
		const reader = new FleetTableReader(workerData.shared);
		let torn = 0, last = 0;
		while (Atomics.load(workerData.progress, 0) === 0) {
			let seen;
			reader.consistently((cells) => {
				seen = new Set();
				for (let row = 0; row < ${rows}; row++) { seen.add(cells[${STATE} * ${rows} + row]); seen.add(cells[${LOAD} * ${rows} + row]); }
			});
			const value = [...seen][0];
			if (seen.size !== 1 || value < last) torn++;
			last = value;
			Atomics.add(workerData.progress, 1, 1);
		}
		parentPort.postMessage({ torn, last });`,
		{ shared, progress },
	);
	// Every cell of both columns holds the same number in each publish; a mixture is a torn read.
	let value = 0;
	const deadline = performance.now() + 20_000;
	while (Atomics.load(progress, 1) < 3000 && performance.now() < deadline) {
		value++;
		for (let row = 0; row < rows; row++) {
			writer.setU32(STATE, row, value);
			writer.setU32(LOAD, row, value);
		}
		writer.publish();
		// As often as a mesh never does, but not back to back: a reader must be able to finish a copy.
		for (let spin = 0; spin < 300; spin++) Atomics.load(progress, 0);
	}
	t.true(Atomics.load(progress, 1) >= 3000, `${Atomics.load(progress, 1)} reads`);
	Atomics.store(progress, 0, 1);
	const [result] = await reading;
	t.is(result?.torn, 0);
	t.is(reader.cells(reader.epoch())[STATE * rows], value);
});

test('sizes beyond reason are refused', (t) => {
	for (const rows of [0, -1, 1.5, Number.NaN, 2 ** 20 + 1])
		t.throws(() => createFleetTable(rows), { instanceOf: RangeError });
});
