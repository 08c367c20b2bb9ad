// Owns the bodies of memberlist's messages, one type byte and one struct each, as the core's values and back.
import { MeshError } from '@infermesh/proto';
import { ByteWriter, Malformed } from '../../bytes/binary.js';
import type { Address } from '../../effects/packets.js';
import { membershipErrors } from '../errors.js';
import {
	type Accusation,
	type AliveClaim,
	emptyBytes,
	type GossipMessage,
	type LeftClaim,
	type MemberRecord,
} from '../messages.js';
import { swimBounds } from '../settings.js';
import { addressBytes, Fields, struct } from './fields.js';
import { wireType } from './framing.js';
import { bodyLimits, type Encodable, ValueReader, writeValue } from './msgpack.js';

/** pmin, pmax, pcur, dmin, dmax, dcur: what this codec speaks, and Serf 0.8 and later. */
export const serfProtocol: Uint8Array = Uint8Array.of(1, 5, 2, 2, 5, 5);

const versionBytes = 6;
/** The versions of memberlist that are understood. */
const understood = { min: 1, max: 5, spoken: 2 };
const memberState = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;

/** Whether the two can talk: each one's current version within what the other understands. A member that tells no versions can. */
export function speaks(protocol: Uint8Array): boolean {
	if (protocol.length === 0) return true;
	const [min, max, current] = protocol as unknown as readonly [number, number, number];
	return min <= understood.spoken && understood.spoken <= max && current >= understood.min && current <= understood.max;
}

/** Type byte and body; a user message is its payload. Throws MeshError for what memberlist cannot say. */
export function messageBytes(message: GossipMessage): Uint8Array {
	switch (message.kind) {
		case 'ping':
			return typed(wireType.ping, {
				Node: message.target,
				SeqNo: message.sequence,
				...sourceFields(message.from, message.fromAddress),
			});
		case 'pingRequest': {
			const target = ipOf(message.targetAddress);
			return typed(wireType.indirectPing, {
				Nack: message.wantNack,
				Node: message.target,
				Port: target.port,
				SeqNo: message.sequence,
				...sourceFields(message.from, message.fromAddress),
				Target: target.host,
			});
		}
		case 'ack':
			return typed(wireType.ack, {
				Payload: message.payload.length === 0 ? null : message.payload,
				SeqNo: message.sequence,
			});
		case 'nack':
			return typed(wireType.nack, { SeqNo: message.sequence });
		case 'suspect':
		case 'dead':
			return accusationBytes(wireType[message.kind], message.incarnation, message.id, message.by);
		case 'left':
			return accusationBytes(wireType.dead, message.incarnation, message.id, message.id);
		case 'alive':
			return typed(wireType.alive, aliveFields(message, 'Node'));
		case 'user': {
			const bytes = new Uint8Array(1 + message.payload.length);
			bytes[0] = wireType.user;
			bytes.set(message.payload, 1);
			return bytes;
		}
	}
}

/** One message of a packet, layers taken off. Throws Malformed. */
export function readMessage(bytes: Uint8Array): GossipMessage {
	const type = bytes[0] ?? -1;
	if (type === wireType.user)
		return {
			kind: 'user',
			origin: '',
			key: '',
			sequence: 0,
			payload: new Uint8Array(bytes.subarray(1)),
			proof: emptyBytes,
		};
	const fields = new Fields(new ValueReader(bytes, bodyLimits, 1).readMap());
	switch (type) {
		case wireType.ping:
			return {
				kind: 'ping',
				sequence: fields.u32('SeqNo'),
				target: fields.name('Node'),
				from: fields.name('SourceNode'),
				fromAddress: fields.address('SourceAddr', 'SourcePort'),
			};
		case wireType.indirectPing: {
			const targetAddress = fields.address('Target', 'Port');
			if (targetAddress === '') throw new Malformed('Target');
			return {
				kind: 'pingRequest',
				sequence: fields.u32('SeqNo'),
				target: fields.name('Node'),
				targetAddress,
				wantNack: fields.flag('Nack'),
				from: fields.name('SourceNode'),
				fromAddress: fields.address('SourceAddr', 'SourcePort'),
			};
		}
		case wireType.ack:
			return readAck(fields);
		case wireType.nack:
			return { kind: 'nack', sequence: fields.u32('SeqNo') };
		case wireType.suspect:
			return readAccusation('suspect', fields);
		case wireType.dead: {
			const dead = readAccusation('dead', fields);
			return dead.by === dead.id ? leftOf(dead.id, dead.incarnation) : dead;
		}
		case wireType.alive:
			return readAlive(fields, 'Node');
		default:
			throw new Malformed('message type');
	}
}

/** Also of a stream; the payload is opaque here. */
export function readAck(fields: Fields): Extract<GossipMessage, { kind: 'ack' }> {
	return {
		kind: 'ack',
		sequence: fields.u32('SeqNo'),
		payload: fields.bytes('Payload', swimBounds.ackPayloadMaxBytes),
	};
}

/** A member as full state has it: one incarnation, of the claim or of what stands against it. */
export function recordFields(record: MemberRecord): Map<string, Encodable> {
	const [mark] = record.marks;
	const dead = record.marks.some(({ kind }) => kind === 'dead');
	const state = mark === undefined ? 'alive' : dead ? 'dead' : mark.kind;
	const incarnation = Math.max(record.alive.incarnation, ...record.marks.map((one) => one.incarnation));
	const { Vsn, ...fields } = aliveFields({ ...record.alive, incarnation }, 'Name');
	return struct({ ...fields, State: memberState[state], Vsn });
}

/** Throws Malformed. Who accuses is not told: `by` is empty. */
export function readRecord(fields: Fields): MemberRecord {
	const alive = readAlive(fields, 'Name');
	const { id, incarnation } = alive;
	switch (fields.unsigned('State', memberState.left)) {
		case memberState.alive:
			return { alive, marks: [] };
		case memberState.left:
			return { alive, marks: [leftOf(id, incarnation)] };
		case memberState.dead:
			return { alive, marks: [{ kind: 'dead', id, incarnation, by: '', proof: emptyBytes }] };
		default:
			return { alive, marks: [{ kind: 'suspect', id, incarnation, by: '', proof: emptyBytes }] };
	}
}

function typed(type: number, fields: Readonly<Record<string, Encodable | undefined>>): Uint8Array {
	const writer = new ByteWriter(128);
	writer.u8(type);
	writeValue(writer, struct(fields));
	return writer.finish();
}

function accusationBytes(type: number, incarnation: number, node: string, from: string): Uint8Array {
	return typed(type, { From: from, Incarnation: u32(incarnation), Node: node });
}

function aliveFields(claim: AliveClaim, nameField: 'Node' | 'Name'): Readonly<Record<string, Encodable>> {
	const { host, port } = ipOf(claim.address);
	return {
		Addr: host,
		Incarnation: u32(claim.incarnation),
		Meta: claim.meta,
		[nameField]: claim.id,
		Port: port,
		Vsn: claim.protocol,
	};
}

function readAlive(fields: Fields, nameField: 'Node' | 'Name'): AliveClaim {
	const id = fields.name(nameField);
	const address = fields.address('Addr', 'Port');
	const protocol = fields.bytes('Vsn', versionBytes);
	const incarnation = fields.incarnation();
	if (id === '' || address === '' || incarnation === 0) throw new Malformed('alive');
	if (protocol.length !== 0 && protocol.length !== versionBytes) throw new Malformed('Vsn');
	const meta = fields.bytes('Meta', swimBounds.metaMaxBytes);
	return { kind: 'alive', id, incarnation, address, meta, credential: emptyBytes, protocol, proof: emptyBytes };
}

function readAccusation(kind: 'suspect' | 'dead', fields: Fields): Accusation {
	const id = fields.name('Node');
	if (id === '') throw new Malformed('Node');
	return { kind, id, incarnation: fields.incarnation(), by: fields.name('From'), proof: emptyBytes };
}

function leftOf(id: string, incarnation: number): LeftClaim {
	return { kind: 'left', id, incarnation, proof: emptyBytes };
}

/** Nothing for what is not known, as older peers have it. */
function sourceFields(from: string, address: Address): Readonly<Record<string, Encodable | undefined>> {
	const source = address === '' ? undefined : ipOf(address);
	return { SourceAddr: source?.host, SourceNode: from === '' ? undefined : from, SourcePort: source?.port };
}

function ipOf(address: Address): { readonly host: Uint8Array; readonly port: number } {
	const bytes = addressBytes(address);
	if (bytes !== undefined) return bytes;
	throw new MeshError(
		membershipErrors,
		'IM_MEMBERSHIP_ADDRESS',
		`${address.slice(0, 80)} is no IP address with a port`,
	);
}

function u32(incarnation: number): number {
	if (incarnation <= 0xffff_ffff) return incarnation;
	throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_SETTING', `incarnation ${incarnation} is beyond 32 bits`);
}
