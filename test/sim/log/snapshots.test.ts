// Snapshot files on a simulated disk: what is finished survives a crash whole, what is damaged is refused by name, what was received goes on.
import { createHash } from 'node:crypto';
import {
	type AnnouncedSnapshot,
	inlineSnapshots,
	type LogMutation,
	SnapshotFiles,
	type SnapshotReader,
	type SnapshotStore,
	type SnapshotWriter,
	snapshotFilesDefaults,
} from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { SimDisk } from '../world/sim-disk.js';

const membership = { voters: ['a', 'b'], outgoing: [], learners: ['c'], learnersNext: [] };

function meta(index: number) {
	return { index, term: 3, membership };
}

function content(seed: number, bytes: number): Uint8Array {
	const random = new SeededRandom(seed, 9);
	return Uint8Array.from({ length: bytes }, () => random.nextU32() & 0xff);
}

function announce(index: number, bytes: Uint8Array): AnnouncedSnapshot {
	return { meta: meta(index), totalBytes: bytes.length, digest: createHash('sha256').update(bytes).digest() };
}

/** A store whose answers wait until `settle`. */
function openStore(disk: SimDisk, mutations: readonly LogMutation[] = []) {
	let calls: (() => void)[] = [];
	const files = new SnapshotFiles(disk, { ...snapshotFilesDefaults, mutations: new Set(mutations) });
	const { store } = inlineSnapshots(files, {
		schedule: (_, fn) => calls.push(fn),
		takeElapsedMicros: () => disk.takeElapsedMicros(),
		nowMicros: () => 0,
	});
	const settle = (): void => {
		while (calls.length > 0) {
			const run = calls;
			calls = [];
			for (const call of run) call();
		}
	};
	return { store, settle };
}

type Outcome = { done: boolean; error: string | undefined };

function outcome(run: (done: () => void, failed: (error: Error) => void) => void, settle: () => void): Outcome {
	const result: Outcome = { done: false, error: undefined };
	run(
		() => {
			result.done = true;
		},
		(error) => {
			result.error = 'code' in error ? String(error.code) : error.message;
		},
	);
	settle();
	return result;
}

function writeAll(
	writer: SnapshotWriter,
	bytes: Uint8Array,
	from: number,
	settle: () => void,
	pieceBytes = 30_000,
): void {
	for (let at = from; at < bytes.length; at += pieceBytes)
		writer.write(
			bytes.subarray(at, at + pieceBytes),
			() => undefined,
			() => undefined,
		);
	settle();
}

function save(store: SnapshotStore, index: number, bytes: Uint8Array, settle: () => void): Outcome {
	const writer = store.create(0, meta(index));
	writeAll(writer, bytes, 0, settle);
	return outcome((done, failed) => writer.finish(done, failed), settle);
}

/** All bytes of the snapshot, or the code of the refusal. */
function load(reader: SnapshotReader | undefined, settle: () => void): Buffer | string {
	if (reader === undefined) return 'absent';
	const pieces: Uint8Array[] = [];
	let refusal: string | undefined;
	const next = (offset: number): void =>
		reader.read(
			offset,
			50_000,
			(bytes) => {
				pieces.push(bytes);
				if (bytes.length > 0) next(offset + bytes.length);
			},
			(error) => {
				refusal = 'code' in error ? String(error.code) : error.message;
			},
		);
	next(0);
	settle();
	reader.close();
	settle();
	return refusal ?? Buffer.concat(pieces);
}

function crashRuns(mutations: readonly LogMutation[], runs: number): string | undefined {
	for (let seed = 1; seed <= runs; seed++) {
		const disk = new SimDisk(new SeededRandom(seed));
		const { store, settle } = openStore(disk, mutations);
		const bytes = content(seed, 1 + ((seed * 7919) % 200_000));
		const older = content(seed + 1, 1000);
		save(store, 5, older, settle);
		const saved = save(store, 10, bytes, settle);
		// A third is still being written when the machine dies.
		writeAll(store.create(0, meta(15)), bytes, 0, settle);
		disk.crash();
		const after = openStore(disk);
		const found = load(after.store.open(0, meta(10)), after.settle);
		if (!saved.done) return `seed ${seed}: not saved: ${saved.error}`;
		if (typeof found === 'string' || !found.equals(bytes)) return `seed ${seed}: ${String(found).slice(0, 40)}`;
		if (after.store.open(0, meta(15)) !== undefined) return `seed ${seed}: an unfinished snapshot is there`;
		if (disk.paths().some((path) => path.endsWith('.creating'))) return `seed ${seed}: an unfinished file stays`;
	}
	return undefined;
}

test('a finished snapshot survives any crash whole, an unfinished one is not there', (t) => {
	t.is(crashRuns([], 60), undefined);
});

for (const mutation of ['skip-fsync', 'no-folder-sync'] as const) {
	test(`the bug ${mutation} is noticed in snapshots`, (t) => {
		const noticed = crashRuns([mutation], 30);
		t.log(noticed);
		t.not(noticed, undefined);
	});
}

function flipRuns(mutations: readonly LogMutation[], runs: number) {
	let refused = 0;
	for (let seed = 1; seed <= runs; seed++) {
		const random = new SeededRandom(seed, 5);
		const disk = new SimDisk(new SeededRandom(seed));
		const bytes = content(seed, 1 + (seed % 5) * 40_000);
		const first = openStore(disk);
		save(first.store, 7, bytes, first.settle);
		const path = disk.paths().find((one) => one.endsWith('.snapshot')) ?? '';
		disk.flipBit(path, Math.floor(random.nextFloat() * disk.contents(path).length * 8));
		const { store, settle } = openStore(disk, mutations);
		const found = load(store.open(0, meta(7)), settle);
		if (found === 'IM_SNAPSHOT_CORRUPT') refused++;
		else if (typeof found === 'string' || !found.equals(bytes)) return { refused, violation: `seed ${seed}` };
	}
	return { refused, violation: undefined };
}

test('a flipped bit anywhere in a snapshot is refused', (t) => {
	const { refused, violation } = flipRuns([], 200);
	t.is(violation, undefined);
	t.is(refused, 200);
	t.not(flipRuns(['ignore-checksum'], 200).violation, undefined);
});

test('a snapshot cut short is refused, wherever it was cut', (t) => {
	const bytes = content(1, 100_000);
	for (let cut = 1; cut < 100_700; cut += 3001) {
		const disk = new SimDisk(new SeededRandom(1));
		const first = openStore(disk);
		save(first.store, 7, bytes, first.settle);
		const path = disk.paths().find((one) => one.endsWith('.snapshot')) ?? '';
		const file = disk.open(path, { create: false });
		file.truncate(disk.contents(path).length - cut);
		file.close();
		const { store, settle } = openStore(disk);
		t.is(load(store.open(0, meta(7)), settle), 'IM_SNAPSHOT_CORRUPT', `cut ${cut}`);
	}
});

test('a received snapshot goes on where it stopped, also after a restart', (t) => {
	const bytes = content(3, 300_000);
	const announced = announce(20, bytes);
	const disk = new SimDisk(new SeededRandom(4));
	const first = openStore(disk);
	const writer = first.store.receive(0, announced);
	t.is(writer.length, 0);
	writeAll(writer, bytes.subarray(0, 120_000), 0, first.settle);
	writer.abandon();
	first.settle();
	const second = first.store.receive(0, announced);
	t.is(second.length, 120_000);
	writeAll(second, bytes.subarray(0, 200_000), second.length, first.settle);
	disk.killProcess();
	const third = openStore(disk);
	const rest = third.store.receive(0, announced);
	t.is(rest.length, 200_000);
	writeAll(rest, bytes, rest.length, third.settle);
	t.true(outcome((done, failed) => rest.finish(done, failed), third.settle).done);
	t.deepEqual(load(third.store.open(0, meta(20)), third.settle), Buffer.from(bytes));
});

test('a received part that a crash tore is noticed at the end, and begins anew', (t) => {
	const bytes = content(5, 100_000);
	const announced = announce(20, bytes);
	let refused = 0;
	for (let seed = 1; seed <= 30; seed++) {
		const disk = new SimDisk(new SeededRandom(seed));
		const first = openStore(disk);
		writeAll(first.store.receive(0, announced), bytes.subarray(0, 60_000), 0, first.settle);
		disk.syncFolder('snapshots');
		disk.crash();
		for (let tries = 0; ; tries++) {
			t.true(tries < 2, `seed ${seed}`);
			const { store, settle } = openStore(disk);
			const writer = store.receive(0, announced);
			writeAll(writer, bytes, writer.length, settle);
			const finished = outcome((done, failed) => writer.finish(done, failed), settle);
			if (finished.error === 'IM_SNAPSHOT_CORRUPT') {
				refused++;
				continue;
			}
			t.true(finished.done);
			t.deepEqual(load(store.open(0, meta(20)), settle), Buffer.from(bytes));
			break;
		}
	}
	t.true(refused > 0);
});

test('a snapshot that is not what was announced is refused and leaves nothing', (t) => {
	const bytes = content(6, 50_000);
	const disk = new SimDisk(new SeededRandom(1));
	const { store, settle } = openStore(disk);
	const wrong = store.receive(0, announce(9, content(7, 50_000)));
	writeAll(wrong, bytes, 0, settle);
	t.is(outcome((done, failed) => wrong.finish(done, failed), settle).error, 'IM_SNAPSHOT_CORRUPT');
	const short = store.receive(0, announce(9, bytes));
	writeAll(short, bytes.subarray(0, 40_000), 0, settle);
	t.is(outcome((done, failed) => short.finish(done, failed), settle).error, 'IM_SNAPSHOT_CORRUPT');
	const long = store.receive(0, announce(9, bytes));
	t.is(
		outcome((done, failed) => long.write(new Uint8Array(50_001), done, failed), settle).error,
		'IM_SNAPSHOT_CORRUPT',
	);
	t.is(store.open(0, meta(9)), undefined);
	t.deepEqual(disk.list('snapshots'), []);
});

test('release removes older snapshots, and what is being read stays readable', (t) => {
	const disk = new SimDisk(new SeededRandom(1));
	const { store, settle } = openStore(disk);
	const bytes = content(1, 90_000);
	for (const index of [1, 2, 3]) save(store, index, bytes, settle);
	const reading = store.open(0, meta(1));
	store.release(0, 3);
	settle();
	t.deepEqual(disk.list('snapshots'), ['0-3-3.snapshot']);
	t.deepEqual(load(reading, settle), Buffer.from(bytes));
	t.is(store.open(0, meta(2)), undefined);
});

test('a full disk ends one snapshot and nothing else', (t) => {
	const disk = new SimDisk(new SeededRandom(1));
	const { store, settle } = openStore(disk);
	disk.faults.capacityBytes = 40_000;
	const writer = store.create(0, meta(1));
	const bytes = content(1, 60_000);
	t.true(outcome((done, failed) => writer.write(bytes.subarray(0, 30_000), done, failed), settle).done);
	t.is(outcome((done, failed) => writer.write(bytes.subarray(30_000), done, failed), settle).error, 'IM_LOG_DISK_FULL');
	t.is(disk.usedBytes, 0);
	disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
	t.true(save(store, 1, bytes, settle).done);
});
