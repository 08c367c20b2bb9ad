// Owns the records of the log and their bytes: what a frame's body is made of. A body is a sequence of records, each one kind of fact about
// one group; replaying them in order gives what the group had.

import { type ByteReader, type ByteWriter, Malformed } from '../bytes/binary.js';
import type { Entry, EntryKind, HardState, Membership, SnapshotMeta } from '../raft/messages.js';

export type LogRecord =
	/** Contiguous entries; the first replaces a tail that begins at its index. Never empty. */
	| { readonly kind: 'entries'; readonly group: number; readonly entries: readonly Entry[] }
	| { readonly kind: 'hardState'; readonly group: number; readonly hardState: HardState }
	/** What is covered by a snapshot goes; `keepsTail` says whether entries after it continue it or belong to a history that lost. */
	| { readonly kind: 'snapshot'; readonly group: number; readonly meta: SnapshotMeta; readonly keepsTail: boolean }
	/** Repeats at a segment's beginning what earlier segments say of the group, so that they can go. */
	| {
			readonly kind: 'marks';
			readonly group: number;
			readonly hardState: HardState;
			readonly snapshot: SnapshotMeta | undefined;
	  };

const kinds = ['entries', 'hardState', 'snapshot', 'marks'] as const satisfies readonly LogRecord['kind'][];
const entryKinds: readonly EntryKind[] = ['command', 'config', 'noop'];

/** Bytes an entry takes at most beside its data: term, kind, length. */
export const ENTRY_BYTES_MAX = 20;
/** Bytes a record of entries takes at most beside them, and an entry that begins a second one within a frame: kind, group, count, index. */
export const RUN_BYTES_MAX = 32;

/** Bytes a record of marks takes at most. */
export function marksBytesMax(record: Extract<LogRecord, { readonly kind: 'hardState' | 'snapshot' }>): number {
	const peers =
		record.kind === 'hardState'
			? [record.hardState.votedFor ?? '']
			: sets.flatMap((set) => record.meta.membership[set]);
	return peers.reduce((bytes, peer) => bytes + 8 + Buffer.byteLength(peer), 64);
}

export function writeRecord(writer: ByteWriter, record: LogRecord): void {
	writer.u8(kinds.indexOf(record.kind));
	writer.varint(record.group);
	switch (record.kind) {
		case 'entries':
			writeEntries(writer, record.entries);
			break;
		case 'hardState':
			writeHardState(writer, record.hardState);
			break;
		case 'snapshot':
			writeSnapshotMeta(writer, record.meta);
			writer.u8(record.keepsTail ? 1 : 0);
			break;
		case 'marks':
			writeHardState(writer, record.hardState);
			writer.u8(record.snapshot === undefined ? 0 : 1);
			if (record.snapshot !== undefined) writeSnapshotMeta(writer, record.snapshot);
			break;
	}
}

/** Reads records until the end. Entries' data are views. Throws Malformed. */
export function readRecords(reader: ByteReader): readonly LogRecord[] {
	const records: LogRecord[] = [];
	while (reader.left > 0) records.push(readRecord(reader));
	return records;
}

function readRecord(reader: ByteReader): LogRecord {
	const kind = kinds[reader.u8()];
	const group = reader.varint();
	switch (kind) {
		case 'entries': {
			const entries = readEntries(reader);
			if (entries.length === 0) throw new Malformed('no entries');
			return { kind, group, entries };
		}
		case 'hardState':
			return { kind, group, hardState: readHardState(reader) };
		case 'snapshot':
			return { kind, group, meta: readSnapshotMeta(reader), keepsTail: reader.u8() === 1 };
		case 'marks': {
			const hardState = readHardState(reader);
			return { kind, group, hardState, snapshot: reader.u8() === 0 ? undefined : readSnapshotMeta(reader) };
		}
		case undefined:
		default:
			throw new Malformed('unknown kind of record');
	}
}

/** Index of the first, then term, kind and data of each: the others' indices follow. */
export function writeEntries(writer: ByteWriter, entries: readonly Entry[]): void {
	writer.varint(entries.length);
	const first = entries[0];
	if (first === undefined) return;
	writer.varint(first.index);
	for (const entry of entries) {
		writer.varint(entry.term);
		writer.u8(entryKinds.indexOf(entry.kind));
		writer.bytes(entry.data);
	}
}

export function readEntries(reader: ByteReader): readonly Entry[] {
	const count = reader.varint();
	if (count === 0) return [];
	// An entry takes three bytes at least: a count that cannot be is refused before anything is made for it.
	if (count > reader.left / 3) throw new Malformed('cut short');
	const entries: Entry[] = [];
	const first = reader.varint();
	for (let at = 0; at < count; at++) {
		const term = reader.varint();
		const kind = entryKinds[reader.u8()];
		if (kind === undefined) throw new Malformed('unknown kind of entry');
		entries.push({ term, index: first + at, kind, data: reader.view() });
	}
	return entries;
}

export function writeHardState(writer: ByteWriter, hardState: HardState): void {
	writer.varint(hardState.term);
	writer.varint(hardState.commit);
	writer.u8(hardState.votedFor === undefined ? 0 : 1);
	if (hardState.votedFor !== undefined) writer.utf8(hardState.votedFor);
}

export function readHardState(reader: ByteReader): HardState {
	const term = reader.varint();
	const commit = reader.varint();
	return { term, commit, votedFor: reader.u8() === 0 ? undefined : reader.utf8() };
}

const sets = ['voters', 'outgoing', 'learners', 'learnersNext'] as const satisfies readonly (keyof Membership)[];

export function writeSnapshotMeta(writer: ByteWriter, meta: SnapshotMeta): void {
	writer.varint(meta.index);
	writer.varint(meta.term);
	for (const set of sets) {
		writer.varint(meta.membership[set].length);
		for (const peer of meta.membership[set]) writer.utf8(peer);
	}
}

export function readSnapshotMeta(reader: ByteReader): SnapshotMeta {
	const index = reader.varint();
	const term = reader.varint();
	const [voters, outgoing, learners, learnersNext] = sets.map(() => readPeers(reader));
	return {
		index,
		term,
		membership: {
			voters: voters ?? [],
			outgoing: outgoing ?? [],
			learners: learners ?? [],
			learnersNext: learnersNext ?? [],
		},
	};
}

function readPeers(reader: ByteReader): readonly string[] {
	const count = reader.varint();
	if (count > reader.left) throw new Malformed('cut short');
	return Array.from({ length: count }, () => reader.utf8());
}
