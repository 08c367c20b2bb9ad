// A snapshot is the whole state: a member that took one goes on exactly as one that applied everything.
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { hasCode } from '../consensus/errors.js';
import { encodeCommand } from './command-codec.js';
import { restoreRevisionGap, snapshotPieceBytes } from './limits.js';
import { Store } from './store.js';
import { command } from './testing/arbitraries.js';
import { put, restored, run, write } from './testing/run.js';

function bytesOf(store: Store): Buffer {
	return Buffer.concat([...store.snapshot()]);
}

test('restored from any point, cut anywhere, a store holds the same state and answers the same from then on', (t) => {
	const named = fc.tuple(command, fc.option(fc.nat(5), { nil: undefined }));
	fc.assert(
		fc.property(
			fc.array(named, { maxLength: 40, size: 'max' }),
			fc.nat(),
			fc.integer({ min: 1, max: 500 }),
			fc.constantFrom(1 as const, 2 as const),
			(commands, pick, partBytes, format) => {
				const encoded = commands.map(([command, request]) =>
					encodeCommand(command, request === undefined ? undefined : new Uint8Array(16).fill(request)),
				);
				const at = pick % (encoded.length + 1);
				const store = new Store();
				for (const bytes of encoded.slice(0, at)) store.apply(bytes, store.appliedIndex + 1);
				store.snapshotFormat = format;
				const copy = restored(store.snapshot(), { partBytes });
				copy.snapshotFormat = format;
				t.deepEqual(bytesOf(copy), bytesOf(store));
				for (const bytes of encoded.slice(at))
					t.deepEqual(copy.apply(bytes, copy.appliedIndex + 1), store.apply(bytes, store.appliedIndex + 1));
				t.is(copy.appliedHash, store.appliedHash);
				t.is(copy.usedBytes, store.usedBytes);
				t.is(copy.historyBytes, store.historyBytes);
				t.deepEqual(bytesOf(copy), bytesOf(store));
			},
		),
		{ numRuns: 300 },
	);
});

test('pieces are of the moment the snapshot was taken, whatever is applied while they are read', (t) => {
	const store = new Store();
	run(store, {
		kind: 'configure',
		settings: { quotaBytes: 1 << 30, historyRevisionsMax: 50, historyBytesMax: 1 << 20 },
	});
	for (let i = 0; i < 3_000; i++) put(store, `k${i}`, 'v'.repeat(400));
	const before = bytesOf(store);
	const pieces: Uint8Array[] = [];
	for (const piece of store.snapshot()) {
		pieces.push(piece);
		for (let i = 0; i < 200; i++) put(store, `k${i}`, `later ${pieces.length}`);
		write(store, { delete: { prefix: 'k1' } });
		run(store, { kind: 'compact', revision: store.revision });
	}
	t.true(pieces.length > 4);
	for (const piece of pieces) t.true(piece.length < snapshotPieceBytes + 1_000);
	t.true(Buffer.concat(pieces).equals(before));
});

test('format 2 is smaller and holds the same; a reader of format 1 refuses it by name and keeps what it had', (t) => {
	const store = new Store();
	for (let i = 0; i < 2_000; i++) put(store, `nodes/${i}`, JSON.stringify({ name: `node-${i}`, roles: ['router'] }));
	const plain = bytesOf(store);
	store.snapshotFormat = 2;
	const small = bytesOf(store);
	t.true(small.length < plain.length / 3, `${plain.length} → ${small.length} bytes`);
	t.deepEqual(bytesOf(restored([small])), plain);

	const older = new Store({ snapshotFormatMax: 1 });
	put(older, 'mine');
	const before = older.appliedHash;
	const error = t.throws(() => older.beginRestore().push(small));
	t.true(hasCode(error, 'IM_STORE_SNAPSHOT_VERSION'), String(error));
	t.is(older.appliedHash, before);
	const restore = older.beginRestore();
	restore.push(plain);
	restore.finish();
	t.is(older.appliedHash, store.appliedHash);
});

for (const format of [1, 2] as const)
	test(`a snapshot of format ${format} that is damaged or cut short is refused by name and changes nothing`, (t) => {
		const store = new Store();
		store.snapshotFormat = format;
		const lease = run(store, { kind: 'grant', ttlMs: 5_000 });
		for (let i = 0; i < 20; i++) put(store, `k${i % 7}`, `${i}`, lease.kind === 'lease' ? lease.id : undefined);
		run(store, { kind: 'revoke', id: 'none' }, new Uint8Array(16).fill(7));
		const whole = bytesOf(store);
		fc.assert(
			fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
				const bytes = Uint8Array.from(cut ? whole.subarray(0, at) : whole);
				if (!cut) bytes[at] = (bytes[at] as number) ^ flip;
				const victim = new Store();
				put(victim, 'mine');
				const before = victim.appliedHash;
				const error = t.throws(() => {
					const restore = victim.beginRestore();
					restore.push(bytes);
					restore.finish();
				});
				t.true(error instanceof MeshError && error.code.startsWith('IM_STORE_SNAPSHOT_'), String(error));
				t.is(victim.appliedHash, before);
				t.is(victim.read({ prefix: '' }).items.length, 1);
			}),
			{ numRuns: 1_000 },
		);
	});

test('restored into a new cluster, revisions and lease numbers never come back, history is gone, keys stay', (t) => {
	const store = new Store();
	run(store, { kind: 'found', clusterId: 'old' });
	const lease = run(store, { kind: 'grant', ttlMs: 5_000 });
	const id = lease.kind === 'lease' ? lease.id : '';
	put(store, 'lock', 'holder', id);
	put(store, 'a', '1');
	put(store, 'a', '2');
	const snapshot = [...store.snapshot()];
	const old = store.revision;
	put(store, 'lock', 'later holder', id);

	const fresh = restored(snapshot, { newCluster: { clusterId: 'new' } });
	t.is(fresh.clusterId, 'new');
	t.is(fresh.appliedIndex, 0);
	t.is(fresh.revision, old + restoreRevisionGap);
	t.is(fresh.compactedRevision, fresh.revision);
	t.true(
		hasCode(
			t.throws(() => fresh.read({ key: 'a' }, { revision: old })),
			'IM_CONSENSUS_COMPACTED',
		),
	);
	t.is(fresh.read({ key: 'a' }).items[0]?.version, 2);
	t.is(fresh.read({ key: 'lock' }).items[0]?.lease, id);
	put(fresh, 'lock', 'new holder');
	t.is(fresh.read({ key: 'lock' }).items[0]?.modRevision, old + restoreRevisionGap + 1);
	const next = run(fresh, { kind: 'grant', ttlMs: 5_000 });
	t.true(next.kind === 'lease' && Number.parseInt(next.id, 16) > restoreRevisionGap);
	const again = restored(fresh.snapshot(), { newCluster: { clusterId: 'newer' } });
	t.is(again.revision, fresh.revision + restoreRevisionGap);
});
