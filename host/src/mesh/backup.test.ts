// What a backup of the mesh is made of, over a real store: the state at one revision, the modules its strategies name, and the names of those nobody has.
import { BackupReader, blobIdOf, encodeCommand, MemoryBlobs, Store } from '@infermesh/fabric';
import test from 'ava';
import { systemClock } from '../main/clock.js';
import { recordKinds } from '../records/kinds.js';
import { backupPieces } from './backup.js';
import { lonelyMesh } from './testing.js';

const strategy = (blob: string, sourceMapBlob?: string) => ({
	label: 'one@1.0.0',
	blob,
	...(sourceMapBlob === undefined ? {} : { sourceMapBlob }),
	digest: 'digest',
	bytes: 1,
	loadedBy: 'one',
	loadedAtMs: 1,
});

test('a backup holds the modules that strategies name, once each, and names those nobody has', async (t) => {
	const { engine, records } = lonelyMesh();
	const blobs = new MemoryBlobs();
	const module = Buffer.from('module');
	const sourceMap = Buffer.from('source map');
	const held = await blobs.put(module);
	const map = await blobs.put(sourceMap);
	await blobs.put(Buffer.from('of nobody'));
	const gone = 'ab'.repeat(32);
	await records.put(recordKinds.strategies, 'one@1.0.0', strategy(held, map));
	await records.put(recordKinds.strategies, 'two@1.0.0', strategy(held));
	const revision = await records.put(recordKinds.strategies, 'three@1.0.0', strategy(gone));
	// Loaded after the state was taken hold of: no part of it.
	await records.put(recordKinds.strategies, 'later@1.0.0', strategy(await blobs.put(Buffer.from('later'))));

	const state = new Store();
	state.apply(encodeCommand({ kind: 'found', clusterId: 'mesh' }), 1);
	const saved = {
		clusterId: 'mesh',
		revision,
		appliedIndex: 1,
		appliedHash: state.appliedHash,
		pieces: (async function* () {
			yield* state.snapshot();
		})(),
		close: () => Promise.resolve(void closed++),
	};
	let closed = 0;
	const found = new Map<string, string>();
	const reader = new BackupReader({ blob: (id, bytes) => void found.set(id, Buffer.from(bytes).toString('utf8')) });
	const ports = { clock: systemClock, engine, blobs, version: '0.1.0', node: 'one' };
	for await (const piece of backupPieces(ports, () => Promise.resolve(saved))) reader.push(piece);
	const summary = reader.finish();
	t.is(closed, 1, 'the state is let go of');
	t.like(summary.header, { meshId: 'mesh', revision, node: 'one' });
	t.deepEqual(Object.fromEntries(found), { [blobIdOf(module)]: 'module', [blobIdOf(sourceMap)]: 'source map' });
	t.deepEqual(summary.missing, [gone]);
});
