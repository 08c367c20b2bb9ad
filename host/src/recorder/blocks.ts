// Owns the frame of a recording file: a header, then blocks, each with its length, a checksum of its payload and a rolling hash over everything before
// it. Pure bytes; what the records in a block mean is layout.ts's.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { FORMAT_VERSION } from './layout.js';

/** `IMREC`, then zeros. */
const MAGIC_LOW = 0x4552_4d49;
const MAGIC_HIGH = 0x43;
/** `IMBK` in memory order. */
const BLOCK_MAGIC = 0x4b42_4d49;
export const FILE_HEADER_BYTES = 64;
export const BLOCK_HEADER_BYTES = 64;
export const CHAIN_BYTES = 32;
export const RECORDING_SUFFIX = '.imrec';

/** Whether a file begins as a recording does. */
export function isRecording(bytes: Uint8Array): boolean {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', 0, 5) === 'IMREC';
}

/** Bytes of one block's payload: a keyframe of the largest fleet fits with room to spare. */
export const BLOCK_BYTES_MAX = 64 * 1024 * 1024;

/** The file begins anew: everything needed to read on is in this block or after it. */
export const BLOCK_AFRESH = 1;

export interface FileHeader {
	readonly formatVersion: number;
	readonly file: number;
	/** Rolling hash at the end of the file before; zeros in the first. */
	readonly previous: Uint8Array;
}

export interface BlockHeader {
	readonly payloadBytes: number;
	readonly records: number;
	readonly flags: number;
	readonly crc: number;
	readonly chain: Uint8Array;
}

export function encodeFileHeader(file: number, previous: Uint8Array): Uint8Array {
	const bytes = new Uint8Array(FILE_HEADER_BYTES);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, MAGIC_LOW, true);
	view.setUint32(4, MAGIC_HIGH, true);
	view.setUint32(8, FORMAT_VERSION, true);
	view.setUint32(12, FILE_HEADER_BYTES, true);
	view.setUint32(16, file, true);
	bytes.set(previous, 32);
	return bytes;
}

/** Undefined: these are no recording's first bytes. */
export function decodeFileHeader(bytes: Uint8Array): FileHeader | undefined {
	if (bytes.length < FILE_HEADER_BYTES) return undefined;
	const view = new DataView(bytes.buffer, bytes.byteOffset, FILE_HEADER_BYTES);
	if (view.getUint32(0, true) !== MAGIC_LOW || view.getUint32(4, true) !== MAGIC_HIGH) return undefined;
	return {
		formatVersion: view.getUint32(8, true),
		file: view.getUint32(16, true),
		previous: bytes.slice(32, 32 + CHAIN_BYTES),
	};
}

/** The rolling hash before a file's first block. */
export function chainOfFile(header: Uint8Array): Uint8Array {
	return createHash('sha256').update(header.subarray(0, FILE_HEADER_BYTES)).digest();
}

/** Header of a block, its rolling hash in its last 32 bytes. */
export function encodeBlockHeader(payload: Uint8Array, records: number, flags: number, chain: Uint8Array): Uint8Array {
	const bytes = new Uint8Array(BLOCK_HEADER_BYTES);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, BLOCK_MAGIC, true);
	view.setUint32(4, payload.length, true);
	view.setUint32(8, records, true);
	view.setUint32(12, flags, true);
	view.setUint32(16, crc32(payload), true);
	bytes.set(chainOfBlock(chain, bytes, payload), BLOCK_HEADER_BYTES - CHAIN_BYTES);
	return bytes;
}

/** Undefined: no block begins here. */
export function decodeBlockHeader(bytes: Uint8Array): BlockHeader | undefined {
	if (bytes.length < BLOCK_HEADER_BYTES) return undefined;
	const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_HEADER_BYTES);
	const payloadBytes = view.getUint32(4, true);
	if (view.getUint32(0, true) !== BLOCK_MAGIC || payloadBytes > BLOCK_BYTES_MAX || payloadBytes % 4 !== 0)
		return undefined;
	return {
		payloadBytes,
		records: view.getUint32(8, true),
		flags: view.getUint32(12, true),
		crc: view.getUint32(16, true),
		chain: bytes.slice(BLOCK_HEADER_BYTES - CHAIN_BYTES, BLOCK_HEADER_BYTES),
	};
}

/** SHA-256 over the hash before, the header without its own hash, and the payload. */
export function chainOfBlock(before: Uint8Array, header: Uint8Array, payload: Uint8Array): Uint8Array {
	return createHash('sha256')
		.update(before)
		.update(header.subarray(0, BLOCK_HEADER_BYTES - CHAIN_BYTES))
		.update(payload)
		.digest();
}

/** Offset of the next four bytes that may begin a block, at or after `from`; -1 = none. */
export function findBlock(bytes: Uint8Array, from: number): number {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf('IMBK', from, 'latin1');
}
