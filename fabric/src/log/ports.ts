// Owns what the consensus thread asks of the durable log. Behind it stands the log thread in a mesh, and a simulated disk in tests. Several
// Raft groups share one log; `group` is a small integer.
import type { Entry, HardState, SnapshotMeta } from '../raft/messages.js';

/** One write of one group; parts are applied in this order: snapshot mark, truncation by the first entry's index, entries, hard state. */
export interface LogWrite {
	readonly group: number;
	/**
	 * The log before and at this index is covered by a snapshot that is already durable. Entries after it stay only when the log held an entry of
	 * this index and term (or starts right after it); otherwise they belong to a log that was given up, and go.
	 */
	readonly snapshot: SnapshotMeta | undefined;
	/** Contiguous; the first may overwrite a tail of another term. */
	readonly entries: readonly Entry[];
	readonly hardState: HardState | undefined;
}

/** What a group had when the log was opened. */
export interface RecoveredGroup {
	readonly hardState: HardState;
	readonly snapshot: SnapshotMeta | undefined;
	/** Contiguous, the first after the snapshot. */
	readonly entries: readonly Entry[];
}

export interface DurableLog {
	/**
	 * Makes writes durable, in order; `done` is called once all of them are (group commit joins neighbours). `failed` means the disk can no
	 * longer be trusted: the node must stop and never vote, acknowledge or retry.
	 */
	append(writes: readonly LogWrite[], done: () => void, failed: (error: Error) => void): void;
	/** Entries at and before `index` of a group are no longer needed on disk; segments that hold nothing else are recycled. */
	release(group: number, index: number): void;
	close(): Promise<void>;
}

/**
 * Snapshot files of all groups. Callbacks come later and in order, never from inside the call. `failed` means the same as in DurableLog, but for
 * IM_LOG_DISK_FULL, IM_SNAPSHOT_CORRUPT and IM_SNAPSHOT_GONE: those end one snapshot and nothing else.
 */
export interface SnapshotStore {
	/** Begins a snapshot of the own state. It exists once `finish` is done. */
	create(group: number, meta: SnapshotMeta): SnapshotWriter;
	/**
	 * Takes a snapshot that a peer sends, or goes on with what has arrived of the same one (index, term, digest, length). It exists once `finish`
	 * is done, and only if its digest is right.
	 */
	receive(group: number, announced: AnnouncedSnapshot): SnapshotWriter;
	/** The snapshot of exactly this index and term; undefined when there is none. Of a damaged one every read fails with IM_SNAPSHOT_CORRUPT. */
	open(group: number, meta: SnapshotMeta): SnapshotReader | undefined;
	/** Snapshots before `index` are no longer needed; those that are being read stay until they are closed. */
	release(group: number, index: number): void;
}

export interface AnnouncedSnapshot {
	readonly meta: SnapshotMeta;
	readonly totalBytes: number;
	/** SHA-256 of the whole. */
	readonly digest: Uint8Array;
}

export interface SnapshotWriter {
	/** Bytes that are there already: where the next piece goes. */
	readonly length: number;
	/** Adds a piece, one at a time; the next may come when `done` was called. */
	write(piece: Uint8Array, done: () => void, failed: (error: Error) => void): void;
	/** Makes it durable and visible. `failed` also when a received one is not what was announced. */
	finish(done: () => void, failed: (error: Error) => void): void;
	/** Stops without finishing. A received part is kept for going on later. */
	abandon(): void;
}

export interface SnapshotReader {
	readonly meta: SnapshotMeta;
	readonly totalBytes: number;
	/** SHA-256 of the whole. */
	readonly digest: Uint8Array;
	/** Up to `lengthMax` bytes at `offset`, one read at a time; none at the end. */
	read(offset: number, lengthMax: number, done: (bytes: Uint8Array) => void, failed: (error: Error) => void): void;
	close(): void;
}
