// Owns the errors of consensus, part of the contract in engine.ts: every engine raises these codes and no others of its own for these cases.
import { defineErrors, type ErrorCode, MeshError, type MeshErrorOptions } from '@infermesh/proto';

export const consensusErrors = defineErrors({
	IM_CONSENSUS_NO_QUORUM: {
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
		summary: 'there is no quorum: the call was refused and has no effect',
		hint: 'bring back enough coordinators; reads marked serializable are answered meanwhile',
	},
	IM_CONSENSUS_TIMEOUT: {
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: false,
		summary: 'no answer in time: whether the call took effect is unknown and may still change',
		hint: 'read before trying again, or guard the write with a condition',
	},
	IM_CONSENSUS_COMPACTED: {
		httpStatus: 410,
		grpcStatus: 'OUT_OF_RANGE',
		retryable: false,
		summary: 'the wanted revision is compacted away',
		hint: 'read the present state and go on from its revision',
	},
	IM_CONSENSUS_FUTURE_REVISION: {
		httpStatus: 400,
		grpcStatus: 'OUT_OF_RANGE',
		retryable: false,
		summary: 'the wanted revision does not exist yet',
		hint: 'use revisions of this cluster only, as its answers gave them',
	},
	IM_CONSENSUS_LEASE_LOST: {
		httpStatus: 410,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
		summary: 'the lease has ended',
		hint: 'stop what it protected, grant another and acquire again',
	},
	IM_CONSENSUS_NOT_MEMBER: {
		httpStatus: 403,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
		summary: 'the node is no member of the group',
		hint: 'ask a coordinator, or add the node to the group first',
	},
	IM_CONSENSUS_OTHER_CLUSTER: {
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
		summary: 'the node’s state is of another cluster than the mesh’s: it was restored or recovered meanwhile',
		hint: 'stop this node, move its state folder away and let it join anew; `infermesh events` shows the lineage of the mesh',
	},
	IM_CONSENSUS_UNAVAILABLE: {
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
		summary: 'no coordinator could be reached: the call has no effect',
		hint: 'check the addresses of the coordinators and the network between',
	},
	IM_CONSENSUS_DENIED: {
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
		summary: 'the coordinators or the etcd cluster refuse these credentials',
		hint: 'check certificate, user and password, and the role of the user',
	},
	IM_CONSENSUS_LIMIT: {
		httpStatus: 429,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: true,
		summary: 'too many calls or watches are under way',
		hint: 'wait for some to end; the message names the limit',
	},
	IM_CONSENSUS_CLOSED: {
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: false,
		summary: 'the engine is closed: the call has no effect',
		hint: 'the node is shutting down',
	},
	IM_CONSENSUS_NOT_LEADER: {
		httpStatus: 421,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: true,
		summary: 'only the leader of the group can do this',
		hint: 'ask the leader; the details name it when it is known',
	},
	IM_CONSENSUS_CHANGE_REFUSED: {
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
		summary: 'the change of members is refused: it would endanger the quorum or contradicts the group',
		hint: 'the message says why; a learner is promoted once it has caught up, and only one change runs at a time',
	},
	IM_CONSENSUS_STOPPED: {
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: false,
		summary: 'this member has stopped since its disk or its own state can no longer be trusted',
		hint: 'look at the cause in its log, repair the disk and start the node again; other members go on meanwhile',
	},
	IM_CONSENSUS_INTERNAL: {
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: false,
		summary: 'a peer answered with something that makes no sense',
		hint: 'look at the versions of both sides and at the cause',
	},
});

export type ConsensusErrorCode = keyof typeof consensusErrors;

export function consensusError(code: ConsensusErrorCode, message?: string, options?: MeshErrorOptions): MeshError {
	return new MeshError(consensusErrors, code, message, options);
}

/** Whether `error` is a MeshError of this code. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
	return error instanceof MeshError && error.code === code;
}
