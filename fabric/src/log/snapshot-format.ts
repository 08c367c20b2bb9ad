// Owns how a snapshot lies in its file: a header (which group's, of which index, term and membership), the bytes, and a footer (a checksum for
// each block, how many bytes, and the SHA-256 of them all). The footer is written last: a file without one was cut short. A read checks the
// blocks it touches, so that a flipped bit is refused by whoever reads, without reading all.
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter, Malformed } from '../bytes/binary.js';
import type { SnapshotMeta } from '../raft/messages.js';
import { SECTOR_BYTES } from './frame.js';
import { readSnapshotMeta, writeSnapshotMeta } from './record.js';

export const SNAPSHOT_BLOCK_BYTES = 64 * 1024;
export const DIGEST_BYTES = 32;
const FORMAT_VERSION = 1;
const HEADER_MAGIC = 0x31_53_53_49; // "ISS1"
const FOOTER_MAGIC = 0x31_45_53_49; // "ISE1"
const HEADER_FIXED_BYTES = 16;
/** Magic, version, checksum, total, digest. */
const FOOTER_FIXED_BYTES = 12 + 8 + DIGEST_BYTES;
/** More than any membership takes. */
const SNAPSHOT_HEADER_BYTES_MAX = 1024 * 1024;

export interface SnapshotHeader {
	readonly group: number;
	readonly meta: SnapshotMeta;
	/** Where the snapshot's bytes begin. */
	readonly headerBytes: number;
}

export interface SnapshotFooter {
	readonly totalBytes: number;
	readonly digest: Uint8Array;
	/** CRC-32 of each block. */
	readonly blocks: readonly number[];
}

export function writeSnapshotHeader(group: number, meta: SnapshotMeta): Buffer {
	const writer = new ByteWriter(SECTOR_BYTES);
	writer.reserve(HEADER_FIXED_BYTES);
	writer.varint(group);
	writeSnapshotMeta(writer, meta);
	writer.reserve(Math.ceil(writer.length / SECTOR_BYTES) * SECTOR_BYTES - writer.length);
	const bytes = Buffer.from(writer.view());
	bytes.writeUInt32LE(HEADER_MAGIC, 0);
	bytes.writeUInt32LE(FORMAT_VERSION, 8);
	bytes.writeUInt32LE(bytes.length, 12);
	bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
	return bytes;
}

/** `read` answers the file's bytes in a range, or fewer at its end. Undefined when the file has no sound header of this format. */
export function readSnapshotHeader(read: (from: number, to: number) => Buffer): SnapshotHeader | undefined {
	const fixed = read(0, HEADER_FIXED_BYTES);
	if (fixed.length < HEADER_FIXED_BYTES || fixed.readUInt32LE(0) !== HEADER_MAGIC) return undefined;
	const headerBytes = fixed.readUInt32LE(12);
	if (headerBytes > SNAPSHOT_HEADER_BYTES_MAX) return undefined;
	const bytes = read(0, headerBytes);
	if (bytes.length < headerBytes || bytes.readUInt32LE(4) !== crc32(bytes.subarray(8))) return undefined;
	if (bytes.readUInt32LE(8) !== FORMAT_VERSION) return undefined;
	try {
		const reader = new ByteReader(bytes.subarray(HEADER_FIXED_BYTES));
		return { group: reader.varint(), meta: readSnapshotMeta(reader), headerBytes };
	} catch (error) {
		if (error instanceof Malformed) return undefined;
		throw error;
	}
}

export function blockCount(totalBytes: number): number {
	return Math.ceil(totalBytes / SNAPSHOT_BLOCK_BYTES);
}

export function writeSnapshotFooter(footer: SnapshotFooter): Buffer {
	const tableBytes = footer.blocks.length * 4;
	const bytes = Buffer.alloc(tableBytes + FOOTER_FIXED_BYTES);
	for (const [at, block] of footer.blocks.entries()) bytes.writeUInt32LE(block, at * 4);
	bytes.writeBigUInt64LE(BigInt(footer.totalBytes), tableBytes);
	bytes.set(footer.digest, tableBytes + 8);
	bytes.writeUInt32LE(FORMAT_VERSION, bytes.length - 12);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, bytes.length - 8)), bytes.length - 8);
	bytes.writeUInt32LE(FOOTER_MAGIC, bytes.length - 4);
	return bytes;
}

/** Undefined when a file of `fileBytes` with this header does not end with a sound footer that fits it. */
export function readSnapshotFooter(
	read: (from: number, to: number) => Buffer,
	fileBytes: number,
	headerBytes: number,
): SnapshotFooter | undefined {
	const fixed = read(Math.max(headerBytes, fileBytes - FOOTER_FIXED_BYTES), fileBytes);
	if (fixed.length < FOOTER_FIXED_BYTES || fixed.readUInt32LE(FOOTER_FIXED_BYTES - 4) !== FOOTER_MAGIC)
		return undefined;
	const totalBytes = Number(fixed.readBigUInt64LE(0));
	const tableBytes = blockCount(totalBytes) * 4;
	const from = headerBytes + totalBytes;
	if (from + tableBytes + FOOTER_FIXED_BYTES !== fileBytes) return undefined;
	const bytes = read(from, fileBytes);
	if (bytes.readUInt32LE(bytes.length - 8) !== crc32(bytes.subarray(0, bytes.length - 8))) return undefined;
	const blocks = Array.from({ length: tableBytes / 4 }, (_, at) => bytes.readUInt32LE(at * 4));
	return { totalBytes, digest: Uint8Array.from(bytes.subarray(tableBytes + 8, tableBytes + 8 + DIGEST_BYTES)), blocks };
}
