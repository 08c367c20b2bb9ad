// The codec: every message comes back as it was, and no bytes at all make it fail in another way than IM_RAFT_MESSAGE_INVALID. FUZZ_RUNS makes it long.
import process from 'node:process';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import {
	decodeEntry,
	decodeMessage,
	decodeSnapshotMeta,
	encodeEntry,
	encodeMessage,
	encodeSnapshotMeta,
} from './codec.js';
import { decodeMembership, encodeMembership } from './membership-codec.js';
import type { Entry, Membership, Message } from './messages.js';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 2000);
const peer = fc.string({ minLength: 1, maxLength: 16 });
const whole = fc.maxSafeNat();
const data = fc.uint8Array({ maxLength: 64 });

const membership: fc.Arbitrary<Membership> = fc
	.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { maxLength: 8 })
	.chain((ids) => fc.tuple(fc.constant(ids), fc.array(fc.nat(4), { minLength: ids.length, maxLength: ids.length })))
	.map(([ids, places]) => {
		const at = (...wanted: number[]): string[] => ids.filter((_, index) => wanted.includes(places[index] ?? 0)).sort();
		return { voters: at(0, 1), outgoing: at(1, 2, 3), learners: at(4), learnersNext: at(3) };
	});

function entryAt(index: number, term: number): fc.Arbitrary<Entry> {
	return fc.oneof(
		data.map((bytes): Entry => ({ term, index, kind: 'command', data: bytes })),
		membership.map((value): Entry => ({ term, index, kind: 'config', data: encodeMembership(value) })),
		fc.constant<Entry>({ term, index, kind: 'noop', data: new Uint8Array(0) }),
	);
}

const head = { from: peer, to: peer, term: whole };

const appends = fc
	.tuple(peer, peer, fc.nat(1_000_000), fc.nat(1000), fc.nat(1000), whole, fc.nat(5))
	.chain(([from, to, previousIndex, previousTerm, above, commit, count]) => {
		const entries = fc.tuple(
			...Array.from({ length: count }, (_, at) => entryAt(previousIndex + 1 + at, previousTerm + 1)),
		);
		return entries.map((all): Message => {
			const term = previousTerm + 1 + above;
			return { kind: 'append', from, to, term, previousIndex, previousTerm, commit, entries: all };
		});
	});

const messages: fc.Arbitrary<Message> = fc.oneof(
	appends,
	fc.record({
		...head,
		kind: fc.constant('appendReply' as const),
		index: whole,
		rejected: fc.boolean(),
		hintIndex: whole,
		hintTerm: whole,
	}),
	fc.record({ ...head, kind: fc.constant('heartbeat' as const), commit: whole, readRound: whole }),
	fc.record({ ...head, kind: fc.constant('heartbeatReply' as const), readRound: whole }),
	fc.record({
		...head,
		kind: fc.constantFrom('vote', 'preVote'),
		lastIndex: whole,
		lastTerm: whole,
		transfer: fc.boolean(),
	}),
	fc.record({ ...head, kind: fc.constantFrom('voteReply', 'preVoteReply'), granted: fc.boolean() }),
	fc.record({
		...head,
		kind: fc.constant('snapshot' as const),
		meta: fc.record({ index: whole, term: whole, membership }),
	}),
	fc.record({ ...head, kind: fc.constant('timeoutNow' as const) }),
	fc.record({ ...head, kind: fc.constant('propose' as const), data: fc.array(data, { minLength: 1, maxLength: 4 }) }),
	fc.record({ ...head, kind: fc.constant('readIndex' as const), context: whole }),
	fc.record({ ...head, kind: fc.constant('readIndexReply' as const), context: whole, index: whole }),
) as fc.Arbitrary<Message>;

/** Decodes, or answers undefined when the bytes are refused with the one error that is right. */
function refusedOr<T>(decode: () => T): T | undefined {
	try {
		return decode();
	} catch (error) {
		if (error instanceof MeshError && error.code === 'IM_RAFT_MESSAGE_INVALID') return undefined;
		throw error;
	}
}

test('every message comes back as it was', (t) => {
	fc.assert(
		fc.property(messages, (message) => {
			t.deepEqual(decodeMessage(encodeMessage(message)), message);
		}),
		{ numRuns },
	);
});

test('entries, memberships and snapshot marks come back as they were', (t) => {
	fc.assert(
		fc.property(entryAt(7, 3), membership, (entry, value) => {
			t.deepEqual(decodeEntry(encodeEntry(entry)), entry);
			t.deepEqual(decodeMembership(encodeMembership(value)), value);
			const meta = { index: 7, term: 3, membership: value };
			t.deepEqual(decodeSnapshotMeta(encodeSnapshotMeta(meta)), meta);
		}),
		{ numRuns },
	);
});

test('arbitrary bytes are refused or are a message, never another failure', (t) => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			refusedOr(() => decodeMessage(bytes));
			refusedOr(() => decodeEntry(bytes));
			refusedOr(() => decodeMembership(bytes));
			refusedOr(() => decodeSnapshotMeta(bytes));
		}),
		{ numRuns },
	);
	t.pass();
});

test('a message with bytes changed, cut or added is refused or another message of the same form', (t) => {
	fc.assert(
		fc.property(messages, fc.nat(), fc.nat(255), fc.nat(), (message, at, value, cut) => {
			const bytes = Buffer.from(encodeMessage(message));
			const changed = Buffer.from(bytes);
			changed[at % changed.length] = value;
			const decoded = refusedOr(() => decodeMessage(changed));
			// What is understood has one form only, but for fields of a newer minor version.
			if (decoded !== undefined && changed[0] === bytes[0]) t.deepEqual(Buffer.from(encodeMessage(decoded)), changed);
			t.is(
				refusedOr(() => decodeMessage(bytes.subarray(0, cut % bytes.length))),
				undefined,
			);
			t.is(
				refusedOr(() => decodeMessage(Buffer.concat([bytes, Buffer.from([0])]))),
				undefined,
			);
		}),
		{ numRuns },
	);
});

test('a newer minor version may add fields at the end of a body; a newer major version is refused', (t) => {
	const message: Message = { kind: 'timeoutNow', from: 'a', to: 'b', term: 300 };
	const bytes = Buffer.from(encodeMessage(message));
	const longer = Buffer.concat([bytes, Buffer.from([1, 2, 3])]);
	longer[0] = 0x11;
	longer[2] = (bytes[2] ?? 0) + 3;
	t.deepEqual(decodeMessage(longer), message);
	longer[0] = 0x10;
	t.throws(() => decodeMessage(longer), { code: 'IM_RAFT_MESSAGE_INVALID' });
	bytes[0] = 0x20;
	t.throws(() => decodeMessage(bytes), { code: 'IM_RAFT_MESSAGE_INVALID' });
});

test('the bytes of version 1 stay as they are', (t) => {
	const message: Message = {
		kind: 'append',
		from: 'a',
		to: 'b',
		term: 3,
		previousIndex: 300,
		previousTerm: 2,
		commit: 299,
		entries: [{ term: 3, index: 301, kind: 'command', data: Buffer.from('x') }],
	};
	t.is(Buffer.from(encodeMessage(message)).toString('hex'), '1000110161016203ac0202ab02010003ad020178');
});
