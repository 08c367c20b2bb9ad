// Owns the bytes of messages and entries. A message is: version byte (major in the high half, minor in the low), kind, body with its length. A
// body of a newer minor version may end with fields unknown here, which are skipped; everything else that is not understood is refused with
// IM_RAFT_MESSAGE_INVALID. Decoded bytes are views of the input.
import { raftError } from './errors.js';
import { decodeMembership, encodeMembership, readPeerId } from './membership-codec.js';
import type { Entry, EntryKind, Message, MessageKind, SnapshotMeta } from './messages.js';
import { Reader, Writer } from './wire.js';

const major = 1;
const minor = 0;

/** Bounds of what one message may carry. */
export const messageBounds = {
	bytesMax: 64 * 1024 * 1024,
	entriesMax: 65_536,
	entryBytesMax: 32 * 1024 * 1024,
	membershipBytesMax: 32 * 1024,
} as const;

/** The place in this list is the kind on the wire: only add at the end. */
const kinds = [
	'append',
	'appendReply',
	'heartbeat',
	'heartbeatReply',
	'preVote',
	'preVoteReply',
	'vote',
	'voteReply',
	'snapshot',
	'timeoutNow',
	'propose',
	'readIndex',
	'readIndexReply',
] as const satisfies readonly MessageKind[];

const entryKinds = ['command', 'config', 'noop'] as const satisfies readonly EntryKind[];

function writeEntry(writer: Writer, entry: Entry): void {
	writer.byte(entryKinds.indexOf(entry.kind)).varint(entry.term).varint(entry.index).bytes(entry.data);
}

function readEntry(reader: Reader): Entry {
	const kind = entryKinds[reader.byte()];
	if (kind === undefined) throw raftError('IM_RAFT_MESSAGE_INVALID', 'an entry of an unknown kind');
	const term = reader.varint();
	const index = reader.varint();
	const data = reader.bytes(messageBounds.entryBytesMax);
	if (term === 0 || index === 0) throw raftError('IM_RAFT_MESSAGE_INVALID', 'an entry with term or index 0');
	if (kind === 'config') decodeMembership(data);
	if (kind === 'noop' && data.length > 0) throw raftError('IM_RAFT_MESSAGE_INVALID', 'a no-op with data');
	return { term, index, kind, data };
}

/** One entry, for storage. */
export function encodeEntry(entry: Entry): Uint8Array {
	const writer = new Writer();
	writeEntry(writer, entry);
	return writer.finish();
}

/** Throws IM_RAFT_MESSAGE_INVALID. */
export function decodeEntry(bytes: Uint8Array): Entry {
	const reader = new Reader(bytes);
	const entry = readEntry(reader);
	if (reader.left > 0) throw raftError('IM_RAFT_MESSAGE_INVALID', 'bytes after an entry');
	return entry;
}

function writeMeta(writer: Writer, meta: SnapshotMeta): void {
	writer.varint(meta.index).varint(meta.term).bytes(encodeMembership(meta.membership));
}

function readMeta(reader: Reader): SnapshotMeta {
	const index = reader.varint();
	const term = reader.varint();
	return { index, term, membership: decodeMembership(reader.bytes(messageBounds.membershipBytesMax)) };
}

/** What a snapshot stands for, for storage beside its bytes. */
export function encodeSnapshotMeta(meta: SnapshotMeta): Uint8Array {
	const writer = new Writer();
	writeMeta(writer, meta);
	return writer.finish();
}

/** Throws IM_RAFT_MESSAGE_INVALID. */
export function decodeSnapshotMeta(bytes: Uint8Array): SnapshotMeta {
	const reader = new Reader(bytes);
	const meta = readMeta(reader);
	if (reader.left > 0) throw raftError('IM_RAFT_MESSAGE_INVALID', 'bytes after a snapshot mark');
	return meta;
}

function writeBody(writer: Writer, message: Message): void {
	switch (message.kind) {
		case 'append':
			writer.varint(message.previousIndex).varint(message.previousTerm).varint(message.commit);
			writer.varint(message.entries.length);
			for (const entry of message.entries) writeEntry(writer, entry);
			return;
		case 'appendReply':
			writer.varint(message.index).byte(message.rejected ? 1 : 0);
			writer.varint(message.hintIndex).varint(message.hintTerm);
			return;
		case 'heartbeat':
			writer.varint(message.commit).varint(message.readRound);
			return;
		case 'heartbeatReply':
			writer.varint(message.readRound);
			return;
		case 'preVote':
		case 'vote':
			writer
				.varint(message.lastIndex)
				.varint(message.lastTerm)
				.byte(message.transfer ? 1 : 0);
			return;
		case 'preVoteReply':
		case 'voteReply':
			writer.byte(message.granted ? 1 : 0);
			return;
		case 'snapshot':
			writeMeta(writer, message.meta);
			return;
		case 'propose':
			writer.varint(message.data.length);
			for (const data of message.data) writer.bytes(data);
			return;
		case 'readIndex':
			writer.varint(message.context);
			return;
		case 'readIndexReply':
			writer.varint(message.context).varint(message.index);
			return;
		case 'timeoutNow':
	}
}

export function encodeMessage(message: Message): Uint8Array {
	const body = new Writer();
	body.string(message.from).string(message.to).varint(message.term);
	writeBody(body, message);
	return new Writer()
		.byte((major << 4) | minor)
		.byte(kinds.indexOf(message.kind))
		.bytes(body.finish())
		.finish();
}

function readEntries(reader: Reader, previousIndex: number, previousTerm: number): Entry[] {
	const count = reader.count(messageBounds.entriesMax);
	const entries: Entry[] = [];
	let before = { index: previousIndex, term: previousTerm };
	for (let at = 0; at < count; at++) {
		const entry = readEntry(reader);
		if (entry.index !== before.index + 1 || entry.term < before.term)
			throw raftError('IM_RAFT_MESSAGE_INVALID', 'the entries of an append are not in order');
		entries.push(entry);
		before = entry;
	}
	return entries;
}

function readCommands(reader: Reader): Uint8Array[] {
	const count = reader.count(messageBounds.entriesMax);
	if (count === 0) throw raftError('IM_RAFT_MESSAGE_INVALID', 'a proposal without commands');
	return Array.from({ length: count }, () => reader.bytes(messageBounds.entryBytesMax));
}

function readBody(kind: MessageKind, reader: Reader): Message {
	const head = { from: readPeerId(reader), to: readPeerId(reader), term: reader.varint() };
	switch (kind) {
		case 'append': {
			const [previousIndex, previousTerm, commit] = [reader.varint(), reader.varint(), reader.varint()];
			const entries = readEntries(reader, previousIndex, previousTerm);
			if ((entries.at(-1)?.term ?? previousTerm) > head.term)
				throw raftError('IM_RAFT_MESSAGE_INVALID', 'an append carries entries of a later term than its own');
			return { ...head, kind, previousIndex, previousTerm, commit, entries };
		}
		case 'appendReply':
			return {
				...head,
				kind,
				index: reader.varint(),
				rejected: reader.flag(),
				hintIndex: reader.varint(),
				hintTerm: reader.varint(),
			};
		case 'heartbeat':
			return { ...head, kind, commit: reader.varint(), readRound: reader.varint() };
		case 'heartbeatReply':
			return { ...head, kind, readRound: reader.varint() };
		case 'preVote':
		case 'vote':
			return { ...head, kind, lastIndex: reader.varint(), lastTerm: reader.varint(), transfer: reader.flag() };
		case 'preVoteReply':
		case 'voteReply':
			return { ...head, kind, granted: reader.flag() };
		case 'snapshot':
			return { ...head, kind, meta: readMeta(reader) };
		case 'propose':
			return { ...head, kind, data: readCommands(reader) };
		case 'readIndex':
			return { ...head, kind, context: reader.varint() };
		case 'readIndexReply':
			return { ...head, kind, context: reader.varint(), index: reader.varint() };
		case 'timeoutNow':
	}
	return { ...head, kind };
}

/** Throws IM_RAFT_MESSAGE_INVALID for anything that is not exactly one message of major version 1. */
export function decodeMessage(bytes: Uint8Array): Message {
	if (bytes.length > messageBounds.bytesMax) throw raftError('IM_RAFT_MESSAGE_INVALID', 'the message is too long');
	const reader = new Reader(bytes);
	const version = reader.byte();
	if (version >> 4 !== major) throw raftError('IM_RAFT_MESSAGE_INVALID', `a message of version ${version >> 4}`);
	const kind = kinds[reader.byte()];
	if (kind === undefined) throw raftError('IM_RAFT_MESSAGE_INVALID', 'a message of an unknown kind');
	const body = new Reader(reader.bytes(messageBounds.bytesMax));
	const message = readBody(kind, body);
	const newer = (version & 0x0f) > minor;
	if (reader.left > 0 || (body.left > 0 && !newer)) throw raftError('IM_RAFT_MESSAGE_INVALID', 'bytes after a message');
	return message;
}
