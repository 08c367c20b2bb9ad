// Owns the form of a backup: eight bytes that name it, then frames of length, CRC-32 and payload. A header; the pieces of the store's own snapshot; the
// blobs its records name, in parts, and those that could not be had; an end with counts and the SHA-256 of all before it. The header says what was
// saved when, so that a file can be judged without being read into anything.
import { crc32 } from 'node:zlib';
import { MeshError } from '@infermesh/proto';
import { backupErrors } from './errors.js';

export const backupFormat = 1;
export const backupMagic = Buffer.from('IMBACKUP', 'latin1');
export const frameHeadBytes = 8;
/** A piece of the store's snapshot with one version over its edge. */
export const frameBytesMax = 8 << 20;
export const tags = { header: 1, state: 2, blob: 3, blobPart: 4, missing: 5, end: 6 } as const;

export interface BackupHeader {
	/** Id of the cluster that was saved. */
	readonly meshId: string;
	readonly revision: number;
	/** Of Raft: the last entry whose effect is in it. */
	readonly appliedIndex: number;
	/** SHA-256 that links everything applied up to there, as hex: equal on members that hold the same. */
	readonly appliedHash: string;
	/** Of the software that wrote it. */
	readonly version: string;
	/** Name of the node that was asked. */
	readonly node: string;
	readonly takenAtMs: number;
}

export interface BackupSummary {
	readonly header: BackupHeader;
	readonly bytes: number;
	readonly stateBytes: number;
	readonly blobs: readonly { readonly id: string; readonly bytes: number }[];
	/** Blobs that records name and nobody had when it was saved. */
	readonly missing: readonly string[];
	/** SHA-256 of everything before the last frame, as hex: what the file says of itself. */
	readonly sha256: string;
}

export function frameOf(tag: number, body: Uint8Array): Buffer {
	const frame = Buffer.alloc(frameHeadBytes + 1 + body.length);
	frame[frameHeadBytes] = tag;
	frame.set(body, frameHeadBytes + 1);
	frame.writeUInt32BE(1 + body.length, 0);
	frame.writeUInt32BE(crc32(frame.subarray(frameHeadBytes)), 4);
	return frame;
}

export function encodeHeader(header: BackupHeader): Buffer {
	return Buffer.from(JSON.stringify({ format: backupFormat, ...header }), 'utf8');
}

/** Throws IM_SNAPSHOT_FILE_FORMAT and IM_SNAPSHOT_FILE_DAMAGED. */
export function decodeHeader(body: Uint8Array): BackupHeader {
	const { format, meshId, revision, appliedIndex, appliedHash, version, node, takenAtMs } = jsonOf(body);
	if (format !== backupFormat)
		throw new MeshError(backupErrors, 'IM_SNAPSHOT_FILE_FORMAT', `the backup has format ${String(format)}`);
	return {
		meshId: textOf('meshId', meshId),
		revision: countOf('revision', revision),
		appliedIndex: countOf('appliedIndex', appliedIndex),
		appliedHash: textOf('appliedHash', appliedHash),
		version: textOf('version', version),
		node: textOf('node', node),
		takenAtMs: countOf('takenAtMs', takenAtMs),
	};
}

/** What the last frame says of the others. */
export interface BackupEnd {
	readonly stateFrames: number;
	readonly blobs: number;
	readonly missing: number;
	readonly sha256: string;
}

export function encodeEnd(end: BackupEnd): Buffer {
	return Buffer.from(JSON.stringify(end), 'utf8');
}

export function decodeEnd(body: Uint8Array): BackupEnd {
	const { stateFrames, blobs, missing, sha256 } = jsonOf(body);
	return {
		stateFrames: countOf('stateFrames', stateFrames),
		blobs: countOf('blobs', blobs),
		missing: countOf('missing', missing),
		sha256: textOf('sha256', sha256),
	};
}

export function damaged(why: string): MeshError {
	return new MeshError(backupErrors, 'IM_SNAPSHOT_FILE_DAMAGED', `the backup is damaged: ${why}`);
}

export function jsonOf(body: Uint8Array): Readonly<Record<string, unknown>> {
	try {
		const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
		if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>;
	} catch {
		// Named below.
	}
	throw damaged('a part is not JSON');
}

export function textOf(name: string, value: unknown): string {
	if (typeof value !== 'string' || value.length > 256) throw damaged(`${name} is no text`);
	return value;
}

export function countOf(name: string, value: unknown): number {
	if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw damaged(`${name} is no number`);
	return value;
}
