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
