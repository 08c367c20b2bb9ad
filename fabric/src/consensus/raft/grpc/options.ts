// Owns what the gRPC transport of Raft is given, and its bounds.
import type { Clock, MeshError, Random } from '@infermesh/proto';
import type { RaftTransportClient } from '@infermesh/proto/grpc/raft/v1/raft';
import type { PeerId } from '../../../raft/messages.js';
import type { CallWithPeer } from '../../../transport/guard.js';

/** A client over a connection that belongs to someone else. */
export interface PeerConnection {
	readonly client: RaftTransportClient;
	/** The transport does not use it any more. */
	release(): void;
}

export interface GrpcRaftOptions {
	readonly id: PeerId;
	readonly clock: Clock;
	readonly random: Random;
	/** A connection to a peer, authenticated as exactly that peer; undefined while its address is unknown. */
	readonly connect: (peer: PeerId) => PeerConnection | undefined;
	/** Who is calling, proven by its certificate; undefined refuses the call. */
	readonly peerOf: (call: CallWithPeer) => PeerId | undefined;
	/** Id of the cluster whose state this member has; empty while it has none. */
	readonly clusterId?: () => string;
	/** A peer has refused this member because it is of another cluster. */
	readonly onForeign?: (peer: PeerId, error: MeshError) => void;
	readonly bounds?: Partial<GrpcRaftBounds>;
}

export interface GrpcRaftBounds {
	/** Message bytes that wait for one peer; beyond it the oldest appends go, which Raft sends again. */
	readonly queueBytesMax: number;
	/** Message bytes of one batch; a bigger single message travels alone. */
	readonly batchBytesMax: number;
	/** Wait before a broken stream is opened again, doubled up to the second, each drawn between half and all of it. */
	readonly backoffMinMs: number;
	readonly backoffMaxMs: number;
	/** Snapshot bytes of one piece. */
	readonly pieceBytes: number;
	/** Attempts at one snapshot before it is given up; each goes on where the last one broke off. */
	readonly snapshotAttemptsMax: number;
	/** An attempt that moves nothing for so long is broken off. */
	readonly snapshotStallMs: number;
	/** Snapshots on their way in at once. */
	readonly incomingSnapshotsMax: number;
	/** Messages that are none, on one stream, before it is closed. */
	readonly invalidMessagesMax: number;
}

export const grpcRaftBounds: GrpcRaftBounds = {
	queueBytesMax: 32 * 1024 * 1024,
	batchBytesMax: 1024 * 1024,
	backoffMinMs: 50,
	backoffMaxMs: 2_000,
	pieceBytes: 256 * 1024,
	snapshotAttemptsMax: 8,
	snapshotStallMs: 10_000,
	incomingSnapshotsMax: 4,
	invalidMessagesMax: 16,
};

/** Counts since the start. */
export interface GrpcRaftCounters {
	messagesSent: number;
	batchesSent: number;
	bytesSent: number;
	/** Dropped since a queue was full or a peer out of reach. */
	messagesDropped: number;
	messagesReceived: number;
	/** Not a message, or not from who sent it. */
	messagesRefused: number;
	/** Calls of members of another cluster. */
	foreignRefused: number;
	streamsOpened: number;
	snapshotsSent: number;
	snapshotsFailed: number;
	snapshotsReceived: number;
}

export function newCounters(): GrpcRaftCounters {
	return {
		messagesSent: 0,
		batchesSent: 0,
		bytesSent: 0,
		messagesDropped: 0,
		messagesReceived: 0,
		messagesRefused: 0,
		foreignRefused: 0,
		streamsOpened: 0,
		snapshotsSent: 0,
		snapshotsFailed: 0,
		snapshotsReceived: 0,
	};
}

/** The wait before attempt number `failures` (from 1), drawn so that nodes do not come in step. */
export function backoffMs(failures: number, bounds: GrpcRaftBounds, random: Random): number {
	const full = Math.min(bounds.backoffMaxMs, bounds.backoffMinMs * 2 ** Math.min(failures - 1, 20));
	return full / 2 + (full / 2) * random.nextFloat();
}
