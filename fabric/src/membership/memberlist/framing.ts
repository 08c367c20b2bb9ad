// Owns the layers around memberlist's messages: label, checksum, compression, compound, the frame of encrypted streams, and where a stream message
// ends, of which only the encrypted ones tell their length.
import { crc32 } from 'node:zlib';
import { ByteWriter, Malformed } from '../../bytes/binary.js';
import type { StreamFraming, UnwrapProgress, UnwrapResult } from '../codec.js';
import { swimBounds } from '../settings.js';
import { compress, expand } from './lzw.js';
import { bodyLimits, endOfValue, ValueReader, writeValue } from './msgpack.js';

/** The first byte of every message. */
export const wireType = Object.freeze({
	ping: 0,
	indirectPing: 1,
	ack: 2,
	suspect: 3,
	alive: 4,
	dead: 5,
	pushPull: 6,
	compound: 7,
	user: 8,
	compress: 9,
	encrypt: 10,
	nack: 11,
	hasCrc: 12,
	error: 13,
	hasLabel: 244,
});

export const framingBounds = Object.freeze({
	labelMaxBytes: 255,
	/** Of one stream message as it travels. */
	streamMaxBytes: 20 * 1_024 * 1_024,
	/** Of one stream message expanded. */
	expandedStreamMaxBytes: 40 * 1_024 * 1_024,
	/** A whole datagram, as it travels and expanded. */
	packetMaxBytes: 64 * 1_024,
	compoundPartsMax: 255,
	/** The header of a stream message of several parts. */
	headerMaxBytes: 256,
	/** What one member takes in full state: names, metadata and keys that are not known. */
	memberMaxBytes: 4_096,
});

export const crcOverheadBytes = 5;
export const compoundOverheadBytes = 2;
export const compoundPartOverheadBytes = 2;
/** Type byte and length of an encrypted stream message. */
export const frameBytes = 5;

/** Puts the label in front; none for an empty one. */
export function labelled(label: Uint8Array, bytes: Uint8Array): Uint8Array {
	return label.length === 0 ? bytes : Buffer.concat([Uint8Array.of(wireType.hasLabel, label.length), label, bytes]);
}

/** Takes the label off. Undefined when it is another one, or is missing. */
export function unlabelled(label: Uint8Array, bytes: Uint8Array): Uint8Array | undefined {
	if (bytes[0] !== wireType.hasLabel) return label.length === 0 ? bytes : undefined;
	const length = bytes[1] ?? 0;
	const theirs = bytes.subarray(2, 2 + length);
	return Buffer.compare(theirs, label) === 0 && length > 0 ? bytes.subarray(2 + length) : undefined;
}

export function checksummed(bytes: Uint8Array): Uint8Array {
	const out = Buffer.allocUnsafe(crcOverheadBytes + bytes.length);
	out[0] = wireType.hasCrc;
	out.writeUInt32BE(crc32(bytes), 1);
	out.set(bytes, crcOverheadBytes);
	return out;
}

/** What a checksum covers; undefined when it does not fit. `bytes` begins with the type byte. */
export function verified(bytes: Uint8Array): Uint8Array | undefined {
	const body = bytes.subarray(crcOverheadBytes);
	if (bytes.length < crcOverheadBytes) return undefined;
	return new DataView(bytes.buffer, bytes.byteOffset).getUint32(1) === crc32(body) ? body : undefined;
}

/** Several messages as one. At most `compoundPartsMax`. */
export function compound(messages: readonly Uint8Array[]): Uint8Array {
	const head = Buffer.allocUnsafe(compoundOverheadBytes + messages.length * compoundPartOverheadBytes);
	head[0] = wireType.compound;
	head[1] = messages.length;
	for (const [i, message] of messages.entries()) head.writeUInt16BE(message.length, 2 + i * 2);
	return Buffer.concat([head, ...messages]);
}

/** The parts of a compound message; `truncated` when the last ones are missing. Throws Malformed when not even the lengths are whole. */
export function partsOf(bytes: Uint8Array): { readonly parts: readonly Uint8Array[]; readonly truncated: boolean } {
	const count = bytes[1] ?? 0;
	let at = compoundOverheadBytes + count * compoundPartOverheadBytes;
	if (bytes.length < at) throw new Malformed('compound cut short');
	const parts: Uint8Array[] = [];
	for (let i = 0; i < count; i++) {
		const length = (bytes[2 + i * 2] as number) * 256 + (bytes[3 + i * 2] as number);
		if (at + length > bytes.length) return { parts, truncated: true };
		parts.push(bytes.subarray(at, at + length));
		at += length;
	}
	return { parts, truncated: false };
}

/** Compressed when that is shorter. */
export function compressed(bytes: Uint8Array): Uint8Array {
	const writer = new ByteWriter(bytes.length / 2 + 64);
	writer.u8(wireType.compress);
	writeValue(
		writer,
		new Map<string, number | Uint8Array>([
			['Algo', 0],
			['Buf', compress(bytes)],
		]),
	);
	const packed = writer.finish();
	return packed.length < bytes.length ? packed : bytes;
}

/** What a compressed message holds. `bytes` begins with the type byte. Throws Malformed and TooLong. */
export function expanded(bytes: Uint8Array, maxBytes: number): Uint8Array {
	const fields = new ValueReader(bytes, bodyLimits, 1).readMap();
	const packed = fields.get('Buf');
	if ((fields.get('Algo') ?? 0) !== 0 || !(packed instanceof Uint8Array)) throw new Malformed('compression');
	return expand(packed, maxBytes);
}

/** The frame of an encrypted stream message: what it seals is authenticated with the label behind it. */
export function frameOf(sealedBytes: number): Uint8Array {
	const frame = Buffer.allocUnsafe(frameBytes);
	frame[0] = wireType.encrypt;
	frame.writeUInt32BE(sealedBytes, 1);
	return frame;
}

/** How many members and bytes of the layer above a push/pull message has. */
export interface PushPullHeader {
	readonly members: number;
	readonly userBytes: number;
	readonly join: boolean;
	/** Where the first member begins. */
	readonly end: number;
}

/** Of a message whose type byte is at `at`; the header is there whole. Throws Malformed. */
export function pushPullHeader(bytes: Uint8Array, at: number): PushPullHeader {
	const reader = new ValueReader(bytes, bodyLimits, at + 1);
	const fields = reader.readMap();
	const members = count(fields.get('Nodes'), swimBounds.membersMax + 1);
	const userBytes = count(fields.get('UserStateLen'), framingBounds.streamMaxBytes);
	return { members, userBytes, join: fields.get('Join') === true, end: reader.at };
}

/** Of a stream message for the layer above: where its bytes begin and end. */
export function userSpan(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } {
	const reader = new ValueReader(bytes, bodyLimits, at + 1);
	const length = count(reader.readMap().get('UserMsgLen'), framingBounds.streamMaxBytes);
	return { start: reader.at, end: reader.at + length };
}

function count(value: unknown, max: number): number {
	if (value === undefined || value === null) return 0;
	if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) throw new Malformed('count');
	return value;
}

/** Messages of memberlist come bare: their end is found by reading them. */
export const memberlistFraming: StreamFraming = {
	wrap: (message) => message,
	unwrap(received, ended, progress): UnwrapResult {
		// A peer that answers nothing closes, which says "done" for what needs no answer.
		if (received.length === 0 && ended) return { kind: 'message', message: received };
		try {
			const { end, progress: next } = endOfMessage(received, progress);
			if (received.length === end) return { kind: 'message', message: received };
			if (received.length > end || ended) return { kind: 'malformed' };
			return { kind: 'incomplete', atLeastBytes: end, progress: next };
		} catch (error) {
			if (error instanceof Malformed) return { kind: 'malformed' };
			throw error;
		}
	},
};

interface MessageEnd {
	/** Beyond what has come: at least so many bytes are needed. */
	readonly end: number;
	readonly progress?: UnwrapProgress | undefined;
}

function endOfMessage(bytes: Uint8Array, progress: UnwrapProgress | undefined): MessageEnd {
	const at = bytes[0] === wireType.hasLabel ? 2 + (bytes[1] ?? 0) : 0;
	switch (bytes[at]) {
		case undefined:
			return { end: Math.max(at, bytes.length) + 1 };
		case wireType.encrypt:
			if (bytes.length < at + frameBytes) return { end: at + frameBytes };
			return { end: at + frameBytes + new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 1) };
		case wireType.ping:
		case wireType.ack:
		case wireType.error:
		case wireType.compress:
			return { end: endOfValue(bytes, at + 1, bodyLimits.itemsMax) };
		case wireType.user: {
			const end = endOfHeader(bytes, at + 1);
			return { end: end > bytes.length ? end : userSpan(bytes, at).end };
		}
		case wireType.pushPull:
			return endOfPushPull(bytes, at, progress);
		default:
			throw new Malformed('not a stream message');
	}
}

function endOfHeader(bytes: Uint8Array, at: number): number {
	const end = endOfValue(bytes, at, bodyLimits.itemsMax);
	if (end > at + framingBounds.headerMaxBytes) throw new Malformed('header too long');
	return end;
}

function endOfPushPull(bytes: Uint8Array, start: number, progress: UnwrapProgress | undefined): MessageEnd {
	const headerEnd = endOfHeader(bytes, start + 1);
	if (headerEnd > bytes.length) return { end: headerEnd };
	const { members, userBytes } = pushPullHeader(bytes, start);
	let { at, parts } = progress ?? { at: headerEnd, parts: 0 };
	for (; parts < members; parts++) {
		const end = endOfValue(bytes, at, bodyLimits.itemsMax);
		if (end - at > framingBounds.memberMaxBytes) throw new Malformed('member too long');
		if (end > bytes.length) return { end: end + (members - parts - 1) + userBytes, progress: { at, parts } };
		at = end;
	}
	return { end: at + userBytes, progress: { at, parts } };
}
