// Owns what one member of a Raft group is made of and its settings, with the reason of each.
import type { Clock, Random } from '@infermesh/proto';
import type { DurableLog, RecoveredGroup, SnapshotStore } from '../../log/ports.js';
import type { PeerId } from '../../raft/messages.js';
import type { RaftMutation } from '../../raft/mutations.js';
import type { RaftLimits } from '../../raft/options.js';
import type { RaftTransport } from '../../raft/ports.js';
import type { SoftState } from '../../raft/ready.js';
import type { StateMachine } from '../../store/ports.js';
import type { Ticks } from './ticks.js';

export interface RaftGroupSettings {
	/** One tick. Finer than a heartbeat, so that drawn election timeouts differ enough. */
	readonly tickMs: number;
	/** An idle member looks around at least this often; one that leads nobody but itself has no other reason to. */
	readonly idleMsMax: number;
	/** In ticks of `tickMs`; the rest as in RaftLimits. By default 100 ms a heartbeat and 500 ms to 1 s an election timeout. */
	readonly limits: Partial<RaftLimits>;
	/** Applied entries between snapshots of the own state, or bytes of them if that comes first. */
	readonly snapshotEntries: number;
	readonly snapshotBytes: number;
	/** After a snapshot for which there was no room, the next is tried no sooner. */
	readonly snapshotRetryMs: number;
	/** Entries kept in memory behind a snapshot, and bytes at most, so that followers slightly behind need none. */
	readonly keepEntries: number;
	readonly keepBytes: number;
	/** A call that waits for a leader this long is refused; shorter when its own time is up. */
	readonly noQuorumMs: number;
	/** A forwarded call without an answer is sent again after this time, and at once when the leader changes. */
	readonly retryMs: number;
	/** Calls under way, writes and reads each. */
	readonly callsMax: number;
	/** Bytes of proposals under way. */
	readonly callBytesMax: number;
	/** A leader whose oldest write is not durable after this time hands leadership over. */
	readonly diskStallMs: number;
	/** Bytes read at once when a snapshot is restored. */
	readonly snapshotPieceBytes: number;
}

export const raftGroupSettings: RaftGroupSettings = {
	tickMs: 25,
	idleMsMax: 1_000,
	limits: { heartbeatTicks: 4, electionTicks: 20 },
	snapshotEntries: 10_000,
	snapshotBytes: 64 * 1024 * 1024,
	snapshotRetryMs: 5_000,
	keepEntries: 5_000,
	keepBytes: 32 * 1024 * 1024,
	noQuorumMs: 3_000,
	retryMs: 1_000,
	callsMax: 8_192,
	callBytesMax: 128 * 1024 * 1024,
	diskStallMs: 2_000,
	snapshotPieceBytes: 256 * 1024,
};

export interface RaftGroupOptions {
	/** A small integer, the same on all members. */
	readonly group: number;
	readonly id: PeerId;
	readonly clock: Clock;
	readonly random: Random;
	readonly log: DurableLog;
	readonly snapshots: SnapshotStore;
	readonly transport: RaftTransport;
	/** Empty, or as it was left when the recovered snapshot is restored into it. */
	readonly stateMachine: StateMachine;
	readonly recovered: RecoveredGroup;
	/** Where a member can be reached, as far as is known. */
	readonly addressOf: (id: PeerId) => string | undefined;
	/** Runs `fn` at the end of the present turn of the loop, so that calls of one turn share a write. Microtasks by default. */
	readonly defer?: (fn: () => void) => void;
	readonly settings?: Partial<RaftGroupSettings>;
	/** Ticks shared with other groups of the process, of the same `tickMs`; a timer of its own by default. */
	readonly ticks?: Ticks;
	/** Leader, role or term have changed. */
	readonly onSoftState?: (state: SoftState) => void;
	/** The member has stopped for good: its disk failed or a bug showed. Called once; it never votes or acknowledges again. */
	readonly onFailed?: (error: Error) => void;
	/** Known bugs to switch on, for the proof by simulation only. */
	readonly mutations?: ReadonlySet<RaftMutation>;
}
