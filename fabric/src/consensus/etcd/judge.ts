// Owns what etcd's errors mean. etcd tells its reasons in the status message (api/v3rpc/rpctypes/error.go); its codes alone do not say whether a
// write may have taken effect.
import { status } from '@grpc/grpc-js';
import { MeshError } from '@infermesh/proto';
import { storeErrors } from '../../store/errors.js';
import type { Verdict } from '../client/failover.js';
import { isServiceError } from '../client/unary.js';
import { consensusError } from '../errors.js';
import { judgeTransport } from '../remote/status.js';

type Judgement = (message: string, cause: { readonly cause: unknown }) => Verdict;

const final =
	(make: (message: string, cause: { readonly cause: unknown }) => MeshError): Judgement =>
	(message, cause) => ({ kind: 'final', error: make(message, cause) });

const table: readonly (readonly [part: string, judge: Judgement])[] = [
	['revision has been compacted', final((message, cause) => consensusError('IM_CONSENSUS_COMPACTED', message, cause))],
	['is a future revision', final((message, cause) => consensusError('IM_CONSENSUS_FUTURE_REVISION', message, cause))],
	['lease not found', final((message, cause) => consensusError('IM_CONSENSUS_LEASE_LOST', message, cause))],
	[
		'database space exceeded',
		final((message, cause) => new MeshError(storeErrors, 'IM_STORE_NO_SPACE', message, cause)),
	],
	['request is too large', final(tooLarge)],
	['too many operations in txn', final(tooLarge)],
	[
		'duplicate key given in txn',
		final((message, cause) => new MeshError(storeErrors, 'IM_STORE_REQUEST_INVALID', message, cause)),
	],
	['authentication failed', final((message, cause) => consensusError('IM_CONSENSUS_DENIED', message, cause))],
	['user name is empty', final((message, cause) => consensusError('IM_CONSENSUS_DENIED', message, cause))],
	['permission denied', final((message, cause) => consensusError('IM_CONSENSUS_DENIED', message, cause))],
	// Refused before it was proposed.
	['no leader', elsewhere('IM_CONSENSUS_NO_QUORUM')],
	['not leader', elsewhere('IM_CONSENSUS_NO_QUORUM')],
	['too many requests', elsewhere('IM_CONSENSUS_LIMIT')],
	['not supported for learner', elsewhere('IM_CONSENSUS_NOT_MEMBER')],
	['invalid auth token', elsewhere('IM_CONSENSUS_DENIED')],
];

export function judgeEtcd(error: unknown): Verdict {
	if (error instanceof MeshError) return { kind: 'final', error };
	if (!isServiceError(error)) return { kind: 'final', error: consensusError('IM_CONSENSUS_INTERNAL', String(error)) };
	const known = table.find(([part]) => error.details.includes(part));
	return known === undefined ? judgeTransport(error) : known[1](error.details, { cause: error });
}

/** A token is refused when it has expired, or when the member has forgotten it. */
export function tokenRefused(error: unknown): boolean {
	return isServiceError(error) && error.details.includes('invalid auth token');
}

/** The answer is over what the client takes. */
export function answerTooLarge(error: unknown): boolean {
	return isServiceError(error) && error.code === status.RESOURCE_EXHAUSTED && error.details.includes('larger than max');
}

function tooLarge(message: string, cause: { readonly cause: unknown }): MeshError {
	return new MeshError(storeErrors, 'IM_STORE_REQUEST_TOO_LARGE', message, cause);
}

function elsewhere(
	code: 'IM_CONSENSUS_NO_QUORUM' | 'IM_CONSENSUS_LIMIT' | 'IM_CONSENSUS_NOT_MEMBER' | 'IM_CONSENSUS_DENIED',
): Judgement {
	return (message, cause) => ({ kind: 'elsewhere', error: consensusError(code, message, cause) });
}
