// Owns the errors of a Raft group: bytes that are no message, and nothing else. Everything that can go wrong inside is a value or a bug.
import { defineErrors, MeshError, type MeshErrorOptions } from '@infermesh/proto';

export const raftErrors = defineErrors({
	IM_RAFT_MESSAGE_INVALID: {
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
		summary: 'the bytes are no Raft message, entry or membership of a version this node knows',
		hint: 'look at the versions of both nodes; on disk it means damage that the log did not notice',
	},
});

export function raftError(code: keyof typeof raftErrors, message: string, options?: MeshErrorOptions): MeshError {
	return new MeshError(raftErrors, code, message, options);
}
