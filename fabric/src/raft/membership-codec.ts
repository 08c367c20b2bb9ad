// Owns the bytes of a membership, as config entries and snapshot marks carry it: format byte, then the four lists of names. Strict: lists are
// sorted, without repeats, and nobody is in two that exclude each other.
import { raftError } from './errors.js';
import { membersMax } from './membership.js';
import type { Membership, PeerId } from './messages.js';
import { Reader, Writer } from './wire.js';

const format = 1;
export const peerIdBytesMax = 64;

export function readPeerId(reader: Reader): PeerId {
	const id = reader.string(peerIdBytesMax);
	if (id === '') throw raftError('IM_RAFT_MESSAGE_INVALID', 'a node id is empty');
	return id;
}

function readList(reader: Reader): PeerId[] {
	const ids: PeerId[] = [];
	const count = reader.count(membersMax);
	for (let at = 0; at < count; at++) {
		const id = readPeerId(reader);
		const before = ids.at(-1);
		if (before !== undefined && before >= id)
			throw raftError('IM_RAFT_MESSAGE_INVALID', 'the members of a list are not in order');
		ids.push(id);
	}
	return ids;
}

export function encodeMembership(membership: Membership): Uint8Array {
	const writer = new Writer().byte(format);
	for (const list of [membership.voters, membership.outgoing, membership.learners, membership.learnersNext]) {
		writer.varint(list.length);
		for (const id of list) writer.string(id);
	}
	return writer.finish();
}

/** Throws IM_RAFT_MESSAGE_INVALID. */
export function decodeMembership(bytes: Uint8Array): Membership {
	const reader = new Reader(bytes);
	if (reader.byte() !== format) throw raftError('IM_RAFT_MESSAGE_INVALID', 'a membership of an unknown format');
	const voters = readList(reader);
	const outgoing = readList(reader);
	const learners = readList(reader);
	const learnersNext = readList(reader);
	if (reader.left > 0) throw raftError('IM_RAFT_MESSAGE_INVALID', 'bytes after a membership');
	const twice = learners.some((id) => voters.includes(id) || outgoing.includes(id));
	const astray = learnersNext.some((id) => voters.includes(id) || !outgoing.includes(id));
	if (twice || astray) throw raftError('IM_RAFT_MESSAGE_INVALID', 'a member is in two lists that exclude each other');
	return { voters, outgoing, learners, learnersNext };
}
