// Owns the interface between the engine over the store (store-engine.ts: conversions, watches, leases, limits) and whatever replicates its
// commands: the Raft driver in a mesh, nothing at all for a lone development node.
import type { MemberStatus } from './engine.js';

export interface ReplicatorStatus {
	readonly self: string;
	readonly leader: string | undefined;
	readonly term: number;
	readonly members: readonly MemberStatus[];
	readonly quorum: boolean;
}

export interface Replicator {
	/**
	 * Resolves with the state machine's answer once `command` is committed and applied on this member. The bytes may be proposed again after a
	 * change of leader: the store drops repetitions. Rejects with IM_CONSENSUS_NO_QUORUM only when the command has not taken effect and never
	 * will, with IM_CONSENSUS_TIMEOUT when that is unknown.
	 */
	propose(command: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
	/** Resolves once this member's state holds every write acknowledged anywhere before the call. IM_CONSENSUS_NO_QUORUM when it cannot. */
	readBarrier(timeoutMs: number): Promise<void>;
	/** Whether this member leads and has applied every entry of earlier terms. Only such a member expires leases. */
	leads(): boolean;
	status(): ReplicatorStatus;
	/** `applied` is called after commands were applied (once for a batch) and after a snapshot was restored. Set once, before anything else. */
	onApplied(applied: () => void): void;
	close(): Promise<void>;
}
