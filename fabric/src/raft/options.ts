// Owns what can be set about one Raft group and the defaults, with the reason of each bound.
import type { Random } from '@infermesh/proto';
import type { Entry, HardState, PeerId, SnapshotMeta } from './messages.js';
import type { RaftMutation } from './mutations.js';

/** What a core starts from: all of it durable. */
export interface Restored {
	readonly hardState: HardState;
	readonly snapshot: SnapshotMeta | undefined;
	/** Contiguous, the first after the snapshot (or at 1). */
	readonly entries: readonly Entry[];
}

export interface RaftLimits {
	/** Ticks between heartbeats of a leader. */
	readonly heartbeatTicks: number;
	/** Ticks without a leader before an election; the real timeout is drawn from [electionTicks, 2 · electionTicks). */
	readonly electionTicks: number;
	/** Data of one entry; a bigger proposal is refused. The log on disk takes no more either. */
	readonly entryBytesMax: number;
	/** Entry bytes of one append message; a bigger single entry travels alone. */
	readonly appendBytesMax: number;
	/** Append messages on their way to one follower. */
	readonly inflightMessagesMax: number;
	/** Entry bytes on their way to one follower. */
	readonly inflightBytesMax: number;
	/**
	 * Entry bytes a leader takes on before they are committed and durable here, which also bounds what waits for its disk. One proposal is always
	 * taken when there is nothing else.
	 */
	readonly uncommittedBytesMax: number;
	/** Entry bytes handed out to apply at once; a bigger single entry goes alone. */
	readonly applyBytesMax: number;
	/** Reads a leader holds while it confirms that it still leads. */
	readonly pendingReadsMax: number;
	/** Ticks a follower may take over a snapshot before it is probed again. */
	readonly snapshotTicksMax: number;
}

export const raftLimits: RaftLimits = {
	heartbeatTicks: 1,
	electionTicks: 5,
	entryBytesMax: 1.5 * 1024 * 1024,
	appendBytesMax: 1024 * 1024,
	inflightMessagesMax: 256,
	inflightBytesMax: 16 * 1024 * 1024,
	uncommittedBytesMax: 32 * 1024 * 1024,
	applyBytesMax: 4 * 1024 * 1024,
	pendingReadsMax: 8192,
	snapshotTicksMax: 1200,
};

export interface RaftOptions {
	readonly id: PeerId;
	readonly random: Random;
	readonly restored: Restored;
	readonly limits?: Partial<RaftLimits>;
	/** Known bugs to switch on, for the proof by simulation only. */
	readonly mutations?: ReadonlySet<RaftMutation>;
}
