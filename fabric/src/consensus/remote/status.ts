// Owns how errors cross the connection: gRPC status, message, and the mesh's code in `x-infermesh-error`.
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { MeshError } from '@infermesh/proto';
import { grpcErrorKey } from '../../transport/grpc-errors.js';
import type { Verdict } from '../client/failover.js';
import { isServiceError } from '../client/unary.js';
import { type ConsensusErrorCode, consensusError } from '../errors.js';
import { refusalOf } from '../refusals.js';

export function toStatus(error: unknown): Partial<StatusObject> {
	const known =
		error instanceof MeshError ? error : consensusError('IM_CONSENSUS_INTERNAL', undefined, { cause: error });
	const metadata = new Metadata();
	metadata.set(grpcErrorKey, known.code);
	return { code: status[known.entry.grpcStatus], details: known.message, metadata };
}

/** Codes that say that this member did nothing, and that another may do better. */
const elsewhere: ReadonlySet<string> = new Set<ConsensusErrorCode>([
	'IM_CONSENSUS_NO_QUORUM',
	'IM_CONSENSUS_NOT_MEMBER',
	'IM_CONSENSUS_OTHER_CLUSTER',
	'IM_CONSENSUS_UNAVAILABLE',
	'IM_CONSENSUS_CLOSED',
	'IM_CONSENSUS_LIMIT',
]);

/** Codes after which nobody knows what came of the call; of a member that has stopped, another is asked from then on. */
const unknown: ReadonlySet<string> = new Set<ConsensusErrorCode>(['IM_CONSENSUS_TIMEOUT', 'IM_CONSENSUS_STOPPED']);

export function judge(error: unknown): Verdict {
	if (error instanceof MeshError) return { kind: 'final', error };
	if (!isServiceError(error)) return { kind: 'final', error: internal(error) };
	const code = error.metadata.get(grpcErrorKey)[0];
	if (typeof code === 'string') {
		const known = refusalOf(code, error.details);
		if (unknown.has(known.code)) return { kind: 'unknown', error: known };
		return { kind: elsewhere.has(known.code) ? 'elsewhere' : 'final', error: known };
	}
	return judgeTransport(error);
}

/** Errors of gRPC itself, without a word of the service. */
export function judgeTransport(error: ServiceError): Verdict {
	const cause = { cause: error };
	if (deniedCodes.has(error.code))
		return { kind: 'final', error: consensusError('IM_CONSENSUS_DENIED', error.details, cause) };
	// HTTP/2 8.7: a stream that is refused was not looked at. A connection that is being replaced refuses those that come too late for it.
	if (error.code === status.UNAVAILABLE && error.details === refusedDetails)
		return { kind: 'elsewhere', error: consensusError('IM_CONSENSUS_UNAVAILABLE', error.details, cause) };
	if (unknownCodes.has(error.code))
		return { kind: 'unknown', error: consensusError('IM_CONSENSUS_TIMEOUT', error.details, cause) };
	if (error.code === status.UNIMPLEMENTED)
		return { kind: 'elsewhere', error: consensusError('IM_CONSENSUS_NOT_MEMBER', error.details, cause) };
	return { kind: 'final', error: internal(error) };
}

/** The words of grpc-js for REFUSED_STREAM, when it was met by the one repetition that grpc-js makes by itself as well. */
const refusedDetails = 'Stream refused by server';
const deniedCodes: ReadonlySet<status> = new Set([status.UNAUTHENTICATED, status.PERMISSION_DENIED]);
/** What a connection that breaks, or a peer that is silent, looks like. */
const unknownCodes: ReadonlySet<status> = new Set([
	status.UNAVAILABLE,
	status.DEADLINE_EXCEEDED,
	status.CANCELLED,
	status.UNKNOWN,
	status.INTERNAL,
]);

function internal(error: unknown): MeshError {
	return consensusError('IM_CONSENSUS_INTERNAL', error instanceof Error ? error.message : undefined, { cause: error });
}
