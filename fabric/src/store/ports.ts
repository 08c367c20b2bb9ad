// Owns what the consensus engine asks of the replicated state: apply a committed command, give a snapshot, take one. The state never sees Raft,
// a clock or a promise, so members that apply the same commands hold the same bytes.

/** The state of one member. Calls are synchronous and never interleave. */
export interface StateMachine {
	/**
	 * Applies the committed command at `index` and answers the encoded result (store/result-codec.ts), which is the same on every member.
	 * Bytes that are no command are answered with a refusal; only an index at or below `appliedIndex` throws, since that is a bug of the caller.
	 */
	apply(command: Uint8Array, index: number): Uint8Array;
	/** Of the last applied command; 0 when nothing was. Entries that carry no command (configuration, no-op) are not seen here. */
	readonly appliedIndex: number;
	/** Running SHA-256 over indexes, commands and results since the cluster was founded, in hex: equal on members that applied the same. */
	readonly appliedHash: string;
	/**
	 * The whole state as it is now. Pieces are made when they are asked for, also while further commands are applied, and are cut at about
	 * `snapshotPieceBytes`; a reader may cut the stream anew as it likes.
	 */
	snapshot(): Iterable<Uint8Array>;
	/** Begins to take a snapshot. The present state stays until `finish`. */
	beginRestore(): StateRestore;
}

/** A snapshot on its way in. Abandoned by forgetting it. */
export interface StateRestore {
	/** The next bytes of the stream, cut anywhere. Throws IM_STORE_SNAPSHOT_CORRUPT or IM_STORE_SNAPSHOT_VERSION. */
	push(bytes: Uint8Array): void;
	/** Replaces the state. Throws IM_STORE_SNAPSHOT_CORRUPT when the stream was cut short; the state is then as before. */
	finish(): void;
}
