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
	// Word 0: stop; word 1: blocks read so far.
	const progress = new Int32Array(new SharedArrayBuffer(8));
	const reading = runThread<number>(
		`import { parentPort, workerData } from 'node:worker_threads';
		import { StateBlockReader } from ${JSON.stringify(import.meta.resolve('./state-block.js'))};
		const reader = new StateBlockReader(workerData.shared);
		const into = new Uint8Array(reader.bytes);
		let known = 0, mixed = 0;
		while (Atomics.load(workerData.progress, 0) === 0) {
			let epoch = known;
			// This writer does not pause as an observer does: on a busy machine it may publish during every attempt, which is refused and no mixture.
			try { epoch = reader.read(into, known); } catch (error) { if (!String(error).includes('torn')) throw error; }
			if (epoch === known) continue;
			known = epoch;
			if (into[0] !== (epoch & 255) || into[into.length - 1] !== into[0] || into[into.length >> 1] !== into[0]) mixed++;
			Atomics.add(workerData.progress, 1, 1);
		}
		parentPort.postMessage(mixed);`,
		{ shared, progress },
	);
	const writer = new StateBlockWriter(shared);
	const state = new Uint8Array(64 * 1024);
	const deadline = performance.now() + 60_000;
	for (let epoch = 1; Atomics.load(progress, 1) < 5000 && performance.now() < deadline; epoch++) {
		state.fill(epoch & 255);
		writer.publish(state);
		for (let spin = 0; spin < (epoch % 16) * 200; spin++) Atomics.load(progress, 0);
	}
	t.true(Atomics.load(progress, 1) >= 5000, `${Atomics.load(progress, 1)} blocks`);
	Atomics.store(progress, 0, 1);
	t.deepEqual(await reading, [0]);
});
