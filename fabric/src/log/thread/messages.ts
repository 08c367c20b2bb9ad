// Owns what passes between the log's thread and the thread that uses it. A batch of writes travels as bytes in a buffer that is handed over, not
// copied: encoding once costs less than cloning objects.
import { type ErrorCode, MeshError } from '@infermesh/proto';
import { ByteReader, ByteWriter } from '../../bytes/binary.js';
import { logErrors } from '../errors.js';
import type { SegmentLogOptions } from '../options.js';
import type { LogWrite, RecoveredGroup } from '../ports.js';
import {
	readEntries,
	readHardState,
	readSnapshotMeta,
	writeEntries,
	writeHardState,
	writeSnapshotMeta,
} from '../record.js';
import type { ReceivedPart, SnapshotFilesOptions, SnapshotInfo } from '../snapshot-files.js';
import type { SnapshotAnswer, SnapshotRequest } from '../snapshot-service.js';

/** What the thread is started with. */
export interface LogThreadStart {
	/** Data folder; locked as long as the thread lives. */
	readonly root: string;
	readonly log: SegmentLogOptions;
	readonly snapshots: SnapshotFilesOptions;
	/** Pause before a batch that found the disk full is tried again. */
	readonly fullRetryMs: number;
}

export type ToLogThread =
	| { readonly kind: 'append'; readonly writes: Uint8Array }
	| { readonly kind: 'release'; readonly group: number; readonly index: number }
	| { readonly kind: 'snapshot'; readonly request: SnapshotRequest }
	| { readonly kind: 'close' };

export type FromLogThread =
	| {
			readonly kind: 'opened';
			readonly recovered: ReadonlyMap<number, RecoveredGroup>;
			readonly repairedBytes: number;
			readonly finished: readonly SnapshotInfo[];
			readonly parts: readonly ReceivedPart[];
	  }
	| { readonly kind: 'refused'; readonly error: WireError }
	/** The oldest batch is durable. */
	| { readonly kind: 'durable'; readonly syncMicros: number }
	/** The log is lost for good. */
	| { readonly kind: 'failed'; readonly error: WireError }
	| { readonly kind: 'full'; readonly full: boolean }
	/** To the oldest snapshot request. */
	| { readonly kind: 'answer'; readonly answer: SnapshotAnswer | undefined; readonly error: WireError | undefined }
	| { readonly kind: 'closed' };

/** An error's parts; the class does not survive the way between threads. */
export interface WireError {
	readonly code: string | undefined;
	readonly message: string;
	readonly where: string | undefined;
	readonly details: Readonly<Record<string, unknown>> | undefined;
}

export function toWireError(error: unknown): WireError {
	if (error instanceof MeshError)
		return { code: error.code, message: error.message, where: error.where, details: error.details };
	const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
	return { code: undefined, message, where: undefined, details: undefined };
}

export function fromWireError(error: WireError): Error {
	if (error.code === undefined) return new MeshError(logErrors, 'IM_LOG_THREAD_ENDED', error.message);
	return new MeshError(logErrors, error.code as ErrorCode, error.message, {
		...(error.where === undefined ? {} : { where: error.where }),
		...(error.details === undefined ? {} : { details: error.details }),
	});
}

const HAS_SNAPSHOT = 1;
const HAS_HARD_STATE = 2;

/** In a buffer of its own, to be handed over. */
export function encodeWrites(writes: readonly LogWrite[]): Uint8Array<ArrayBuffer> {
	const writer = new ByteWriter(4096);
	for (const { group, snapshot, entries, hardState } of writes) {
		writer.varint(group);
		writer.u8((snapshot === undefined ? 0 : HAS_SNAPSHOT) | (hardState === undefined ? 0 : HAS_HARD_STATE));
		if (snapshot !== undefined) writeSnapshotMeta(writer, snapshot);
		writeEntries(writer, entries);
		if (hardState !== undefined) writeHardState(writer, hardState);
	}
	return writer.take();
}

/** Entries' data are views of `bytes`. */
export function decodeWrites(bytes: Uint8Array): readonly LogWrite[] {
	const reader = new ByteReader(bytes);
	const writes: LogWrite[] = [];
	while (reader.left > 0) {
		const group = reader.varint();
		const flags = reader.u8();
		const snapshot = (flags & HAS_SNAPSHOT) === 0 ? undefined : readSnapshotMeta(reader);
		const entries = readEntries(reader);
		const hardState = (flags & HAS_HARD_STATE) === 0 ? undefined : readHardState(reader);
		writes.push({ group, snapshot, entries, hardState });
	}
	return writes;
}
