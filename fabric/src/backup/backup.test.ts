// Backups: what goes in comes out, whatever the pieces; a file with one flipped bit or cut anywhere is refused by name; a group laid down in a folder is
// what a member then starts from.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ErrorCode, MeshError, SeededRandom } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import { blobIdOf } from '../blobs/memory-blobs.js';
import { foundedGroup, foundingWrite } from '../consensus/raft/bootstrap.js';
import { seal } from '../consensus/raft/envelope.js';
import { FileDisk } from '../log/file-disk.js';
import { segmentLogDefaults } from '../log/options.js';
import { SegmentLog } from '../log/segment-log.js';
import { encodeCommand } from '../store/command-codec.js';
import { Store } from '../store/store.js';
import { frameOf, tags } from './format.js';
import { plantGroup, readGroup, reborn } from './offline-group.js';
import { BackupReader } from './reader.js';
import { BackupWriter } from './writer.js';

const header = {
	meshId: 'mesh-1',
	revision: 7,
	appliedIndex: 9,
	appliedHash: 'ab'.repeat(32),
	version: '0.1.0',
	node: 'node-1',
	takenAtMs: 1_700_000_000_000,
};
const state = [Buffer.from('first piece'), Buffer.from('second piece')];
const blobs = [Buffer.alloc(3 << 20, 5), Buffer.from(''), Buffer.from('small')];
const GROUP = 1;
const log = { ...segmentLogDefaults, segmentBytes: 8 << 20 };

function written(blobsOf: readonly Buffer[] = blobs): Buffer {
	const writer = new BackupWriter();
	const out = [writer.header(header), ...state.map((piece) => writer.state(piece))];
	for (const blob of blobsOf) out.push(...writer.blob(blobIdOf(blob), blob));
	out.push(writer.missing('cd'.repeat(32)), writer.end());
	return Buffer.concat(out);
}

function codeOf(work: () => unknown): ErrorCode | 'none' {
	try {
		work();
		return 'none';
	} catch (error) {
		if (error instanceof MeshError) return error.code;
		throw error;
	}
}

function read(file: Buffer, pieceBytes = file.length) {
	const states: Buffer[] = [];
	const found = new Map<string, Buffer>();
	const reader = new BackupReader({
		state: (piece) => void states.push(Buffer.from(piece)),
		blob: (id, bytes) => void found.set(id, Buffer.from(bytes)),
	});
	for (let at = 0; at < file.length; at += pieceBytes) reader.push(file.subarray(at, at + pieceBytes));
	return { summary: reader.finish(), states, found };
}

test('what was saved is read again, however the file is cut into pieces', (t) => {
	const file = written();
	for (const pieceBytes of [file.length, 65_536, 4096 + 7]) {
		const { summary, states, found } = read(file, pieceBytes);
		t.deepEqual(summary.header, header);
		t.deepEqual(states, state);
		t.deepEqual([...found.values()].map(blobIdOf), blobs.map(blobIdOf));
		t.is(summary.bytes, file.length);
		t.deepEqual(summary.missing, ['cd'.repeat(32)]);
	}
	t.deepEqual(read(written([]), 1).states, state);
});

test('a backup cut short anywhere is refused by name', (t) => {
	const file = written([Buffer.from('small')]);
	for (let end = 0; end < file.length; end++) {
		const code = codeOf(() => read(file.subarray(0, end)));
		t.is(code, end < 8 ? 'IM_SNAPSHOT_FILE_FOREIGN' : 'IM_SNAPSHOT_FILE_CUT', `cut at ${end} of ${file.length}`);
	}
});

test('a backup with one flipped bit is refused by name, wherever it is', (t) => {
	const file = written([Buffer.from('small')]);
	for (let at = 0; at < file.length; at++) {
		const copy = Buffer.from(file);
		copy[at] = (copy[at] as number) ^ (1 << (at % 8));
		const code = codeOf(() => read(copy));
		t.regex(code, /^IM_SNAPSHOT_FILE_(FOREIGN|CUT|DAMAGED)$/, `byte ${at}`);
		if (at < 8) t.is(code, 'IM_SNAPSHOT_FILE_FOREIGN');
		if (at >= 12 && at < 100) t.is(code, 'IM_SNAPSHOT_FILE_DAMAGED');
	}
});

test('whatever comes in, a reader answers a whole backup or refuses by name', (t) => {
	const file = written([Buffer.from('small')]);
	const pieces = fc.array(
		fc.oneof(
			fc.uint8Array({ maxLength: 64 }),
			fc
				.tuple(fc.nat(file.length), fc.nat(file.length))
				.map(([a, b]) => Uint8Array.from(file.subarray(Math.min(a, b), Math.max(a, b)))),
			fc
				.tuple(fc.integer({ min: 0, max: 7 }), fc.uint8Array({ maxLength: 64 }))
				.map(([tag, body]) => Uint8Array.from(frameOf(tag, body))),
		),
		{ maxLength: 8 },
	);
	const begun = Uint8Array.from(Buffer.concat([new BackupWriter().header(header)]));
	fc.assert(
		fc.property(fc.boolean(), pieces, (withHeader, parts) => {
			const input = Buffer.concat(withHeader ? [begun, ...parts] : parts);
			const code = codeOf(() => read(input));
			return code === 'none' ? input.equals(file) : code.startsWith('IM_SNAPSHOT_FILE_');
		}),
		{ numRuns: Number(process.env['FUZZ_RUNS'] ?? 2000) },
	);
	t.pass();
});

test('parts that are whole and do not belong together are refused by name', (t) => {
	const file = written([]);
	t.is(
		codeOf(() => read(Buffer.concat([file, frameOf(tags.state, state[0] as Buffer)]))),
		'IM_SNAPSHOT_FILE_DAMAGED',
	);
	// A frame taken out of the middle leaves every other one sound.
	const first = frameOf(tags.state, state[0] as Buffer);
	const at = file.indexOf(first);
	t.true(at > 0);
	const without = Buffer.concat([file.subarray(0, at), file.subarray(at + first.length)]);
	t.is(
		codeOf(() => read(without)),
		'IM_SNAPSHOT_FILE_DAMAGED',
	);
	const other = Buffer.concat([...new BackupWriter().blob('00'.repeat(32), Buffer.from('not what its name says'))]);
	const lying = Buffer.concat([new BackupWriter().header(header), other]);
	t.is(
		codeOf(() => read(lying)),
		'IM_SNAPSHOT_FILE_DAMAGED',
	);
});

test('a backup of a later format is refused by name', (t) => {
	const body = Buffer.from(JSON.stringify({ ...header, format: 2 }), 'utf8');
	const file = Buffer.concat([Buffer.from('IMBACKUP'), frameOf(tags.header, body)]);
	t.is(
		codeOf(() => read(file)),
		'IM_SNAPSHOT_FILE_FORMAT',
	);
});

test('a member that does not run is read with all its log holds, and a new group begins from it', (t) => {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-offline-'));
	t.teardown(() => rmSync(root, { recursive: true, force: true }));
	const options = (folder: string) => ({
		disk: new FileDisk(path.join(root, folder)),
		random: new SeededRandom(1, 2),
		log,
		group: GROUP,
	});
	t.is(readGroup(options('empty')), undefined);

	const founded = foundedGroup(['a', 'b', 'c']);
	const put = (key: string) =>
		encodeCommand({
			kind: 'transact',
			transaction: { when: [], then: [{ put: key, value: Buffer.from(key) }] },
		});
	const commands = [encodeCommand({ kind: 'found', clusterId: 'old' }), put('known'), put('not-known-to-be-committed')];
	const old = SegmentLog.open(options('old').disk, new SeededRandom(3, 4), log);
	old.append([foundingWrite(GROUP, founded)]);
	const entries = commands.map((command, at) => ({
		term: 3,
		index: at + 2,
		kind: 'command' as const,
		data: seal(1, at, command),
	}));
	old.append([{ group: GROUP, snapshot: undefined, entries, hardState: { term: 5, votedFor: undefined, commit: 3 } }]);
	old.close();

	const group = readGroup(options('old'));
	if (group === undefined) throw new Error('nothing was read');
	t.like(group, { lastIndex: 4, lastTerm: 3, commitIndex: 3, term: 5 });
	t.deepEqual(group.membership.voters, ['a', 'b', 'c']);
	t.deepEqual(
		group.store.read({ prefix: '' }).items.map(({ key }) => key),
		['known', 'not-known-to-be-committed'],
	);

	const store = reborn(group.store, 'new');
	store.apply(put('audit'), 1);
	plantGroup(options('new'), { voter: 'a', index: 5, term: 6, store });
	const planted = readGroup(options('new'));
	t.like(planted, { lastIndex: 5, lastTerm: 6, commitIndex: 5, term: 6 });
	t.deepEqual(planted?.membership.voters, ['a']);
	t.is(planted?.store.clusterId, 'new');
	t.deepEqual(
		planted?.store.read({ prefix: '' }).items.map(({ key }) => key),
		['audit', 'known', 'not-known-to-be-committed'],
	);
	t.true((planted?.store.revision ?? 0) > group.store.revision + 1e11);
});

test('a store that is saved and read through a backup holds the same', (t) => {
	const store = new Store();
	store.apply(encodeCommand({ kind: 'found', clusterId: 'mesh-1' }), 1);
	for (let n = 0; n < 500; n++)
		store.apply(
			encodeCommand({
				kind: 'transact',
				transaction: { when: [], then: [{ put: `k/${n % 50}`, value: Buffer.alloc(4096, n) }] },
			}),
			n + 2,
		);
	const writer = new BackupWriter();
	const out = [writer.header(header)];
	for (const piece of store.snapshot()) out.push(writer.state(piece));
	out.push(writer.end());
	const again = new Store();
	const restore = again.beginRestore();
	const reader = new BackupReader({ state: (piece) => restore.push(piece) });
	reader.push(Buffer.concat(out));
	reader.finish();
	restore.finish();
	t.is(again.appliedHash, store.appliedHash);
	t.deepEqual(again.read({ prefix: '' }), store.read({ prefix: '' }));
});
