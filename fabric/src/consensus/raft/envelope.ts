// Owns the head a member puts before a command, so that it knows its own command again when it is applied: the member's origin number, drawn at
// every start, and a running number.
import type { Random } from '@infermesh/proto';
import { Reader, Writer } from '../../raft/wire.js';

export interface Envelope {
	readonly origin: number;
	readonly sequence: number;
	readonly command: Uint8Array;
}

/** What an envelope adds to a command at most. */
export const envelopeBytesMax = 32;

/** 53 random bits: numbers of two starts do not meet. */
export function drawOrigin(random: Random): number {
	return (random.nextU32() & 0x1f_ffff) * 0x1_0000_0000 + random.nextU32();
}

export function seal(origin: number, sequence: number, command: Uint8Array): Uint8Array {
	return new Writer().varint(origin).varint(sequence).bytes(command).finish();
}

/** Throws IM_RAFT_MESSAGE_INVALID. */
export function unseal(data: Uint8Array): Envelope {
	const reader = new Reader(data);
	const origin = reader.varint();
	const sequence = reader.varint();
	return { origin, sequence, command: reader.bytes(data.length) };
}
