// Owns the encoding of stream messages: what travels whole over a connection, sealed like a packet.
import { ByteReader, ByteWriter, Malformed } from '../../bytes/binary.js';
import {
	type Claim,
	emptyBytes,
	type GossipMessage,
	type MemberRecord,
	type NodeId,
	type StreamMessage,
} from '../messages.js';
import { swimBounds } from '../settings.js';
import { readSigned, writeSigned } from './claim-bytes.js';
import { messageBytes, readMessage } from './message-bytes.js';
import { readId, readOptionalId, writeId, writeOptionalId } from './wire.js';

const streamKind = {
	streamPing: 1,
	streamAck: 2,
	digest: 3,
	difference: 4,
	pushPull: 5,
	push: 6,
	deliver: 7,
	askCredentials: 8,
	credentials: 9,
	done: 10,
	refused: 11,
} as const;

export const streamBounds = Object.freeze({
	/** Marks in one record. */
	marksMax: 16,
	/** Messages in one delivery. */
	deliverMax: 64,
	/** Chains in one answer; a chain's certificates together. */
	chainsMax: 2_048,
	chainMaxBytes: 16 * 1_024,
	reasonMaxBytes: 200,
});

/** Least bytes of a record: kind, id, incarnation, address, meta, credential flag, proof, marks. */
const recordMinBytes = 1 + 16 + 1 + 5 + 1 + 1 + 1 + 1;

export function streamBytes(message: StreamMessage): Uint8Array {
	const writer = new ByteWriter(1_024);
	writer.u8(streamKind[message.kind]);
	switch (message.kind) {
		case 'streamPing':
			writer.u32(message.sequence);
			writeOptionalId(writer, message.target);
			break;
		case 'streamAck':
			writer.u32(message.sequence).bytes(message.payload);
			break;
		case 'digest':
			writer.varint(message.sums.length);
			for (const sum of message.sums) writer.u32(sum);
			break;
		case 'difference':
			writer.varint(message.buckets.length);
			for (const bucket of message.buckets) writer.varint(bucket);
			writeRecords(writer, message.records);
			break;
		case 'pushPull':
			writer.u8(message.join ? 1 : 0);
			writeRecords(writer, message.records);
			break;
		case 'push':
			writeRecords(writer, message.records);
			break;
		case 'deliver':
			writer.varint(message.messages.length);
			for (const one of message.messages) writer.raw(messageBytes(one));
			break;
		case 'askCredentials':
			writer.varint(message.ids.length);
			for (const id of message.ids) writeId(writer, id);
			break;
		case 'credentials':
			writer.varint(message.chains.length);
			for (const chain of message.chains) writer.bytes(chain);
			break;
		case 'done':
			break;
		case 'refused':
			writer.utf8(message.reason.slice(0, streamBounds.reasonMaxBytes / 4));
			break;
	}
	return writer.finish();
}

/** `sender` is who sealed it. Throws Malformed. */
export function readStream(bytes: Uint8Array, sender: NodeId): StreamMessage {
	const reader = new ByteReader(bytes);
	const message = readBody(reader, sender);
	reader.end();
	return message;
}

function readBody(reader: ByteReader, from: NodeId): StreamMessage {
	switch (reader.u8()) {
		case streamKind.streamPing:
			return { kind: 'streamPing', sequence: reader.u32(), target: readOptionalId(reader), from };
		case streamKind.streamAck: {
			const sequence = reader.u32();
			const payload = reader.bytes();
			if (payload.length > swimBounds.ackPayloadMaxBytes) throw new Malformed('coordinate too long');
			return { kind: 'streamAck', sequence, payload };
		}
		case streamKind.digest:
			return { kind: 'digest', from, sums: readSums(reader) };
		case streamKind.difference: {
			const buckets = readMany(reader, swimBounds.digestBucketsMax, 1, () => reader.varint());
			return { kind: 'difference', from, buckets, records: readRecords(reader) };
		}
		case streamKind.pushPull:
			return { kind: 'pushPull', from, join: reader.flag(), records: readRecords(reader), user: emptyBytes };
		case streamKind.push:
			return { kind: 'push', from, records: readRecords(reader) };
		case streamKind.deliver: {
			const messages = readMany(reader, streamBounds.deliverMax, 2, () => readMessage(reader.bytes(), from));
			return { kind: 'deliver', from, messages: messages.filter((one): one is GossipMessage => one !== undefined) };
		}
		case streamKind.askCredentials:
			return { kind: 'askCredentials', ids: readMany(reader, streamBounds.chainsMax, 16, () => readId(reader)) };
		case streamKind.credentials:
			return { kind: 'credentials', chains: readMany(reader, streamBounds.chainsMax, 1, () => readChain(reader)) };
		case streamKind.done:
			return { kind: 'done' };
		case streamKind.refused:
			return { kind: 'refused', reason: reader.utf8(streamBounds.reasonMaxBytes) };
		default:
			throw new Malformed('stream kind');
	}
}

function readSums(reader: ByteReader): Uint32Array {
	const sums = new Uint32Array(reader.count(swimBounds.digestBucketsMax * 2, 4));
	for (let i = 0; i < sums.length; i++) sums[i] = reader.u32();
	return sums;
}

function readChain(reader: ByteReader): Uint8Array {
	const chain = reader.bytes();
	if (chain.length > streamBounds.chainMaxBytes) throw new Malformed('certificate chain too long');
	return chain;
}

function writeRecords(writer: ByteWriter, records: readonly MemberRecord[]): void {
	writer.varint(records.length);
	for (const { alive, marks } of records) {
		writeSigned(writer, alive);
		writer.u8(marks.length);
		for (const mark of marks) writeSigned(writer, mark);
	}
}

function readRecords(reader: ByteReader): MemberRecord[] {
	return readMany(reader, swimBounds.membersMax + 1, recordMinBytes, () => {
		const alive = readSigned(reader, reader.u8());
		if (alive.kind !== 'alive') throw new Malformed('a record begins with an alive claim');
		const count = reader.u8();
		if (count > streamBounds.marksMax) throw new Malformed('marks of a record');
		return { alive, marks: Array.from({ length: count }, () => readMark(reader)) };
	});
}

function readMark(reader: ByteReader): Exclude<Claim, { kind: 'alive' }> {
	const mark = readSigned(reader, reader.u8());
	if (mark.kind === 'alive' || mark.kind === 'user') throw new Malformed('mark kind');
	return mark;
}

function readMany<T>(reader: ByteReader, max: number, bytesEach: number, read: () => T): T[] {
	const count = reader.count(max, bytesEach);
	const items: T[] = [];
	for (let i = 0; i < count; i++) items.push(read());
	return items;
}
