import test from 'ava';
import { runThread } from '../../fleet/testing.js';
import { createStateBlock, StateBlockReader, StateBlockWriter } from './state-block.js';

test('a reader gets the newest block once, and knows when there is none newer', (t) => {
	const shared = createStateBlock(8);
	const [writer, reader] = [new StateBlockWriter(shared), new StateBlockReader(shared)];
	const into = new Uint8Array(8);
	t.is(reader.read(into, 0), 0, 'never written');
	t.is(writer.publish(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)), 1);
	t.is(reader.read(into, 0), 1);
	t.deepEqual([...into], [1, 2, 3, 4, 5, 6, 7, 8]);
	into.fill(0);
	t.is(reader.read(into, 1), 1);
	t.deepEqual([...into], [0, 0, 0, 0, 0, 0, 0, 0], 'nothing is copied again');
	writer.publish(new Uint8Array(8).fill(2));
	t.is(writer.publish(new Uint8Array(8).fill(3)), 3);
	t.is(reader.read(into, 1), 3);
	t.is(into[7], 3);
});

test('a reader in another thread never sees two blocks mixed', async (t) => {
	const shared = createStateBlock(64 * 1024);
	const done = new Int32Array(new SharedArrayBuffer(4));
	const reading = runThread<{ mixed: number; reads: number }>(
		`import { parentPort, workerData } from 'node:worker_threads';
		import { StateBlockReader } from ${JSON.stringify(import.meta.resolve('./state-block.js'))};
		const reader = new StateBlockReader(workerData.shared);
		const into = new Uint8Array(reader.bytes);
		let known = 0, mixed = 0, reads = 0;
		while (Atomics.load(workerData.done, 0) === 0) {
			const epoch = reader.read(into, known);
			if (epoch === known) continue;
			known = epoch;
			reads++;
			if (into.some((byte) => byte !== into[0]) || into[0] !== (epoch & 255)) mixed++;
		}
		parentPort.postMessage({ mixed, reads });`,
		{ shared, done },
	);
	const writer = new StateBlockWriter(shared);
	const state = new Uint8Array(64 * 1024);
	const until = performance.now() + 400;
	for (let epoch = 1; performance.now() < until; epoch++) {
		state.fill(epoch & 255);
		writer.publish(state);
		for (let spin = 0; spin < 20_000; spin++) Atomics.load(done, 0);
	}
	Atomics.store(done, 0, 1);
	const [result] = await reading;
	t.is(result?.mixed, 0);
	t.true((result?.reads ?? 0) > 20, `${result?.reads} reads`);
});
