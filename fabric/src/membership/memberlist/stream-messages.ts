// Owns memberlist's stream messages: full state, pings, errors and user messages, as the core's values and back.
import { MeshError } from '@infermesh/proto';
import { ByteWriter, Malformed } from '../../bytes/binary.js';
import { membershipErrors } from '../errors.js';
import type { MemberRecord, StreamMessage } from '../messages.js';
import { Fields, struct } from './fields.js';
import { framingBounds, pushPullHeader, userSpan, wireType } from './framing.js';
import { messageBytes, readAck, readMessage, readRecord, recordFields } from './messages.js';
import { bodyLimits, type Encodable, ValueReader, writeValue } from './msgpack.js';

const reasonMaxBytes = 1_024;

/** Without compression and encryption; empty for `done`, which memberlist says by closing. Throws MeshError for what it cannot say. */
export function streamBytes(message: StreamMessage): Uint8Array {
	switch (message.kind) {
		case 'streamPing': {
			const { sequence, target, from } = message;
			return messageBytes({ kind: 'ping', sequence, target, from, fromAddress: '' });
		}
		case 'streamAck':
			return messageBytes({ kind: 'ack', sequence: message.sequence, payload: message.payload });
		case 'pushPull':
			return pushPullBytes(message);
		case 'deliver': {
			const [user, ...more] = message.messages;
			if (user?.kind !== 'user' || more.length > 0) throw unsayable('several messages on one connection');
			return withHeader(wireType.user, { UserMsgLen: user.payload.length }).raw(user.payload).finish();
		}
		case 'refused':
			return withHeader(wireType.error, { Error: message.reason }).finish();
		case 'done':
			return new Uint8Array(0);
		case 'digest':
		case 'difference':
		case 'push':
		case 'askCredentials':
		case 'credentials':
			throw unsayable(message.kind);
	}
}

/** Layers taken off. Throws Malformed. */
export function readStream(bytes: Uint8Array): StreamMessage {
	if (bytes.length === 0) return { kind: 'done' };
	switch (bytes[0] ?? -1) {
		case wireType.ping: {
			const ping = readMessage(bytes);
			if (ping.kind !== 'ping') throw new Malformed('ping');
			return { kind: 'streamPing', sequence: ping.sequence, target: ping.target, from: ping.from };
		}
		case wireType.ack: {
			const { sequence, payload } = readAck(fieldsAt(bytes));
			return { kind: 'streamAck', sequence, payload };
		}
		case wireType.error:
			return { kind: 'refused', reason: fieldsAt(bytes).text('Error', reasonMaxBytes) };
		case wireType.user: {
			const { start, end } = userSpan(bytes, 0);
			if (end !== bytes.length) throw new Malformed('user message');
			const payload = new Uint8Array(bytes.subarray(start - 1));
			payload[0] = wireType.user;
			return { kind: 'deliver', from: '', messages: [readMessage(payload)] };
		}
		case wireType.pushPull:
			return readPushPull(bytes);
		default:
			throw new Malformed('stream message type');
	}
}

function fieldsAt(bytes: Uint8Array): Fields {
	return new Fields(new ValueReader(bytes, bodyLimits, 1).readMap());
}

function pushPullBytes(message: Extract<StreamMessage, { kind: 'pushPull' }>): Uint8Array {
	const { records, user, join } = message;
	const writer = withHeader(wireType.pushPull, { Join: join, Nodes: records.length, UserStateLen: user.length });
	for (const record of records) writeValue(writer, recordFields(record));
	return writer.raw(user).finish();
}

function readPushPull(bytes: Uint8Array): StreamMessage {
	const { members, userBytes, join, end } = pushPullHeader(bytes, 0);
	if (members + userBytes > bytes.length - end) throw new Malformed('cut short');
	const reader = new ValueReader(bytes, bodyLimits, end);
	const records: MemberRecord[] = [];
	for (let i = 0; i < members; i++) {
		const start = reader.at;
		records.push(readRecord(new Fields(reader.readMap())));
		if (reader.at - start > framingBounds.memberMaxBytes) throw new Malformed('member too long');
	}
	if (reader.at + userBytes !== bytes.length) throw new Malformed('length');
	return { kind: 'pushPull', from: '', join, records, user: new Uint8Array(bytes.subarray(reader.at)) };
}

function withHeader(type: number, fields: Readonly<Record<string, Encodable>>): ByteWriter {
	const writer = new ByteWriter(1_024);
	writer.u8(type);
	writeValue(writer, struct(fields));
	return writer;
}

function unsayable(what: string): MeshError {
	return new MeshError(membershipErrors, 'IM_MEMBERSHIP_SETTING', `memberlist's protocol has no ${what}`, {
		hint: 'Set digestFirst and signedRecords to false where the memberlist codec is used.',
	});
}
