// Owns the encoding of a packet's messages, one after the other, each with its length, so that a reader skips kinds of later versions. Encoded
// messages are remembered as long as the message lives: a broadcast is encoded once.
import { ByteReader, ByteWriter, Malformed } from '../../bytes/binary.js';
import { type Challenge, emptyBytes, type GossipMessage, type NodeId } from '../messages.js';
import { swimBounds } from '../settings.js';
import { isSignedKind, messageKind, nonceBytes, readProof, readSigned, writeSigned } from './claim-bytes.js';
import { readAddress, readId, readOptionalId, writeAddress, writeId, writeOptionalId } from './wire.js';

const encoded = new WeakMap<GossipMessage, Uint8Array>();

/** The message with its length before it. */
export function messageBytes(message: GossipMessage): Uint8Array {
	const known = encoded.get(message);
	if (known !== undefined) return known;
	const body = new ByteWriter();
	writeMessage(body, message);
	const bytes = new ByteWriter(body.length + 2).bytes(body.finish()).finish();
	encoded.set(message, bytes);
	return bytes;
}

function writeMessage(writer: ByteWriter, message: GossipMessage): void {
	switch (message.kind) {
		case 'ping':
			writer.u8(messageKind.ping).u32(message.sequence);
			writeOptionalId(writer, message.target);
			writeChallenge(writer, message.challenge);
			break;
		case 'pingRequest':
			writer.u8(messageKind.pingRequest).u32(message.sequence);
			writeOptionalId(writer, message.target);
			writeAddress(writer, message.targetAddress);
			writer.u8(message.wantNack ? 1 : 0);
			writeChallenge(writer, message.challenge);
			break;
		case 'ack':
			writer
				.u8(messageKind.ack)
				.u32(message.sequence)
				.bytes(message.payload)
				.bytes(message.proof ?? emptyBytes);
			break;
		case 'nack':
			writer.u8(messageKind.nack).u32(message.sequence);
			break;
		case 'alive':
		case 'suspect':
		case 'dead':
		case 'left':
		case 'user':
			writeSigned(writer, message);
			break;
	}
}

/** Reads one message, or undefined for a kind of a later version. `sender` is who sealed it. Throws Malformed. */
export function readMessage(bytes: Uint8Array, sender: NodeId): GossipMessage | undefined {
	const reader = new ByteReader(bytes);
	const kind = reader.u8();
	const message = isSignedKind(kind) ? readSigned(reader, kind) : readProbe(reader, kind, sender);
	if (message !== undefined) reader.end();
	return message;
}

/** A probe says nothing of who sends it or where to answer: the seal and the packet's source do. */
function readProbe(reader: ByteReader, kind: number, sender: NodeId): GossipMessage | undefined {
	switch (kind) {
		case messageKind.ping:
			return {
				kind: 'ping',
				sequence: reader.u32(),
				target: readOptionalId(reader),
				from: sender,
				fromAddress: '',
				...readChallenge(reader),
			};
		case messageKind.pingRequest: {
			const sequence = reader.u32();
			const target = readOptionalId(reader);
			const targetAddress = readAddress(reader);
			if (targetAddress === '') throw new Malformed('probe of no address');
			return {
				kind: 'pingRequest',
				sequence,
				target,
				targetAddress,
				wantNack: reader.flag(),
				from: sender,
				fromAddress: '',
				...readChallenge(reader),
			};
		}
		case messageKind.ack: {
			const sequence = reader.u32();
			const payload = reader.bytes();
			if (payload.length > swimBounds.ackPayloadMaxBytes) throw new Malformed('coordinate too long');
			return { kind: 'ack', sequence, payload, proof: readProof(reader) };
		}
		case messageKind.nack:
			return { kind: 'nack', sequence: reader.u32() };
		default:
			return undefined;
	}
}

function writeChallenge(writer: ByteWriter, challenge: Challenge | undefined): void {
	writer.u8(challenge === undefined ? 0 : 1);
	if (challenge === undefined) return;
	writeId(writer, challenge.by);
	writer.raw(challenge.nonce);
}

function readChallenge(reader: ByteReader): { readonly challenge?: Challenge } {
	if (!reader.flag()) return {};
	return { challenge: { by: readId(reader), nonce: new Uint8Array(reader.raw(nonceBytes)) } };
}
