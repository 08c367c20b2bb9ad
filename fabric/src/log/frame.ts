// Owns how records lie in a segment file. A segment begins with a header of one sector; frames follow, each at a multiple of ALIGN_BYTES. A
// frame is one write and is durable before the next one begins, so only the last frame of a log can be torn. Its checksums are bound to the
// segment's sequence, its own offset and the log's salt: an old, misdirected or forged frame is none.
//
// Checksums are CRC-32 (IEEE) by node:zlib, which runs at memory speed; CRC-32C in JavaScript detects as much and is slower by far.
//
// A segment is zero-filled before use and a disk writes a sector whole or not at all, so a torn frame has a sector whose part of the frame is
// still zero. No whole part is: the header begins with a magic number and the trailer is not zero (a body may hold a sector of zeros; damage to
// such a last frame is taken for a tear). This tells a tear, which is repaired, from damage, which is refused.
import { crc32 } from 'node:zlib';

export const SECTOR_BYTES = 512;
export const SEGMENT_HEADER_BYTES = SECTOR_BYTES;
export const ALIGN_BYTES = 32;
export const FRAME_HEADER_BYTES = 32;
const TRAILER_BYTES_MIN = 8;
const TRAILER_BYTE = 0xa5;
const FORMAT_VERSION = 1;
const SEGMENT_MAGIC = 0x31_53_4d_49; // "IMS1"
const FRAME_MAGIC = 0x31_46_4d_49; // "IMF1"

export interface SegmentHeader {
	/** Number of the segment in the log's life; never used twice. */
	readonly sequence: number;
	/** Where the segment before ended: all of it is durable. 0 for the first. */
	readonly previousEnd: number;
	/** Drawn at random once for a log: bytes chosen by a client cannot pass for a frame. */
	readonly salt: number;
}

export function writeSegmentHeader(into: Buffer, header: SegmentHeader): void {
	into.fill(0, 0, SEGMENT_HEADER_BYTES);
	into.writeUInt32LE(SEGMENT_MAGIC, 0);
	into.writeBigUInt64LE(BigInt(header.sequence), 8);
	into.writeUInt32LE(header.previousEnd, 16);
	into.writeUInt32LE(header.salt, 20);
	into.writeUInt32LE(FORMAT_VERSION, 24);
	into.writeUInt32LE(crc32(into.subarray(8, SEGMENT_HEADER_BYTES)), 4);
}

/** Undefined when the sector is no segment header of this format. */
export function readSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
	if (bytes.length < SEGMENT_HEADER_BYTES || bytes.readUInt32LE(0) !== SEGMENT_MAGIC) return undefined;
	if (bytes.readUInt32LE(4) !== crc32(bytes.subarray(8, SEGMENT_HEADER_BYTES))) return undefined;
	if (bytes.readUInt32LE(24) !== FORMAT_VERSION) return undefined;
	return {
		sequence: Number(bytes.readBigUInt64LE(8)),
		previousEnd: bytes.readUInt32LE(16),
		salt: bytes.readUInt32LE(20),
	};
}

/** Bytes a frame with a body of `bodyBytes` takes in the segment. */
export function frameBytes(bodyBytes: number): number {
	return Math.ceil((FRAME_HEADER_BYTES + bodyBytes + TRAILER_BYTES_MIN) / ALIGN_BYTES) * ALIGN_BYTES;
}

/** Where a frame lies: what its checksums are bound to. */
export interface FramePlace {
	readonly sequence: number;
	readonly offset: number;
	readonly salt: number;
}

/** Completes `frame`, whose body of `bodyBytes` is already there after the header. */
export function sealFrame(frame: Buffer, bodyBytes: number, place: FramePlace): void {
	frame.fill(TRAILER_BYTE, FRAME_HEADER_BYTES + bodyBytes);
	frame.writeUInt32LE(FRAME_MAGIC, 0);
	frame.writeBigUInt64LE(BigInt(place.sequence), 8);
	frame.writeUInt32LE(place.offset, 16);
	frame.writeUInt32LE(bodyBytes, 20);
	frame.writeUInt32LE(crc32(frame.subarray(FRAME_HEADER_BYTES), place.salt), 24);
	frame.writeUInt32LE(0, 28);
	frame.writeUInt32LE(crc32(frame.subarray(8, FRAME_HEADER_BYTES), place.salt), 4);
}

export type FrameReading =
	| { readonly kind: 'frame'; readonly body: Buffer; readonly end: number }
	/** The header is sound, the body is not. */
	| { readonly kind: 'badBody'; readonly end: number }
	| { readonly kind: 'none' };

export interface FrameChecks {
	readonly checksum: boolean;
	readonly sequence: boolean;
}

/** Reads the frame at `place.offset` of a whole segment. */
export function readFrame(segment: Buffer, place: FramePlace, checks: FrameChecks): FrameReading {
	const { offset } = place;
	if (offset + FRAME_HEADER_BYTES > segment.length || segment.readUInt32LE(offset) !== FRAME_MAGIC)
		return { kind: 'none' };
	const header = segment.subarray(offset, offset + FRAME_HEADER_BYTES);
	const end = offset + frameBytes(header.readUInt32LE(20));
	if (checks.sequence && header.readBigUInt64LE(8) !== BigInt(place.sequence)) return { kind: 'none' };
	if (header.readUInt32LE(16) !== offset || end > segment.length) return { kind: 'none' };
	if (checks.checksum && header.readUInt32LE(4) !== crc32(header.subarray(8), place.salt)) return { kind: 'none' };
	const rest = segment.subarray(offset + FRAME_HEADER_BYTES, end);
	if (checks.checksum && header.readUInt32LE(24) !== crc32(rest, place.salt)) return { kind: 'badBody', end };
	return { kind: 'frame', body: rest.subarray(0, header.readUInt32LE(20)), end };
}

/** Offset of the first frame header at or after `from`, or undefined. */
export function findFrame(segment: Buffer, from: number, place: Omit<FramePlace, 'offset'>): number | undefined {
	const checks = { checksum: true, sequence: true };
	for (let offset = from; offset + FRAME_HEADER_BYTES <= segment.length; offset += ALIGN_BYTES) {
		if (segment.readUInt32LE(offset) !== FRAME_MAGIC) continue;
		if (readFrame(segment, { ...place, offset }, checks).kind !== 'none') return offset;
	}
	return undefined;
}

/** Whether some sector's part of [from, to) is all zero: the mark of a torn write. */
export function hasUnwrittenSector(segment: Buffer, from: number, to: number): boolean {
	for (let at = from; at < to; ) {
		const end = Math.min(to, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
		if (isZero(segment, at, end)) return true;
		at = end;
	}
	return false;
}

const zeros = Buffer.alloc(64 * 1024);

export function isZero(bytes: Buffer, from: number, to: number): boolean {
	for (let at = from; at < to; at += zeros.length) {
		const count = Math.min(zeros.length, to - at);
		if (zeros.compare(bytes, at, at + count, 0, count) !== 0) return false;
	}
	return true;
}

/** End of the last sector from `from` on that is not all zero; `from` when all are. */
export function lastNonZero(bytes: Buffer, from: number): number {
	if (isZero(bytes, from, bytes.length)) return from;
	let end = bytes.length;
	while (end - SECTOR_BYTES > from && isZero(bytes, end - SECTOR_BYTES, end)) end -= SECTOR_BYTES;
	return end;
}
