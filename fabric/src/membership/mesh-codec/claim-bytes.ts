// Owns the encoding of claims and user messages, which is also what their signatures are over: the same fields always give the same bytes.
import type { ByteReader, ByteWriter } from '../../bytes/binary.js';
import { Malformed } from '../../bytes/binary.js';
import { type Claim, emptyBytes, type UserMessage } from '../messages.js';
import type { Signable } from '../ports.js';
import { swimBounds } from '../settings.js';
import { readAddress, readId, writeAddress, writeId } from './wire.js';

/** First byte of a message in a packet. The list only grows; unknown kinds are skipped by their length. */
export const messageKind = {
	alive: 1,
	suspect: 2,
	dead: 3,
	left: 4,
	user: 5,
	ping: 6,
	pingRequest: 7,
	ack: 8,
	nack: 9,
} as const;

/** A P-256 signature has 64 bytes; keys of a foreign authority may have longer ones. */
const proofMaxBytes = 512;
const credentialBytes = 32;
/** Of a challenge's nonce. */
export const nonceBytes = 8;

export type Signed = Claim | UserMessage;

/** What is signed: kind and fields without the proof. */
export function writeSignable(writer: ByteWriter, claim: Signable): void {
	if (claim.kind === 'answer') {
		writer.u8(messageKind.ack);
		writeId(writer, claim.id);
		writeId(writer, claim.challenge.by);
		writer.raw(claim.challenge.nonce).bytes(claim.payload);
		return;
	}
	writer.u8(messageKind[claim.kind]);
	if (claim.kind === 'user') {
		writeId(writer, claim.origin);
		writer.utf8(claim.key).varint(claim.sequence).bytes(claim.payload);
		return;
	}
	writeId(writer, claim.id);
	writer.varint(claim.incarnation);
	if (claim.kind === 'suspect' || claim.kind === 'dead') writeId(writer, claim.by);
	if (claim.kind !== 'alive') return;
	writeAddress(writer, claim.address);
	writer.bytes(claim.meta);
	writer.u8(claim.credential.length === 0 ? 0 : 1).raw(claim.credential);
}

export function writeSigned(writer: ByteWriter, claim: Signed): void {
	writeSignable(writer, claim);
	writer.bytes(claim.proof);
}

export function isSignedKind(kind: number): boolean {
	return kind >= messageKind.alive && kind <= messageKind.user;
}

/** Reads what follows the kind byte. Throws Malformed. */
export function readSigned(reader: ByteReader, kind: number): Signed {
	if (kind === messageKind.user) {
		const origin = readId(reader);
		const key = reader.utf8(swimBounds.userKeyMaxBytes);
		const sequence = reader.varint();
		const payload = atMost(reader.bytes(), swimBounds.userStreamMaxBytes);
		return { kind: 'user', origin, key, sequence, payload, proof: readProof(reader) };
	}
	const id = readId(reader);
	const incarnation = reader.varint();
	if (incarnation < 1) throw new Malformed('incarnation 0');
	if (kind === messageKind.suspect || kind === messageKind.dead) {
		const by = readId(reader);
		const name = kind === messageKind.suspect ? 'suspect' : 'dead';
		return { kind: name, id, incarnation, by, proof: readProof(reader) };
	}
	if (kind === messageKind.left) return { kind: 'left', id, incarnation, proof: readProof(reader) };
	if (kind !== messageKind.alive) throw new Malformed('claim kind');
	const address = readAddress(reader);
	if (address === '') throw new Malformed('alive without an address');
	const meta = atMost(reader.bytes(), swimBounds.metaMaxBytes);
	const credential = reader.flag() ? new Uint8Array(reader.raw(credentialBytes)) : emptyBytes;
	return { kind: 'alive', id, incarnation, address, meta, credential, protocol: emptyBytes, proof: readProof(reader) };
}

export function readProof(reader: ByteReader): Uint8Array {
	return atMost(reader.bytes(), proofMaxBytes);
}

function atMost(bytes: Uint8Array, max: number): Uint8Array {
	if (bytes.length > max) throw new Malformed('field too long');
	return bytes;
}
