// Owns how errors with a code cross gRPC: the status of their catalogue entry, the code at the head of the message and as `x-infermesh-error` in the
// trailing metadata, and back.
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCatalogue, type ErrorCode, MeshError } from '@infermesh/proto';
import { transportErrors } from './errors.js';

const numbers: ReadonlyMap<string, status> = new Map(
	Object.entries(status).filter((entry): entry is [string, status] => typeof entry[1] === 'number'),
);

/** Trailing metadata in which the code stands alone. */
export const grpcErrorKey = 'x-infermesh-error';

export interface GrpcError {
	readonly code: status;
	readonly details: string;
	readonly metadata: Metadata;
}

/** An error as a handler sends it: to a callback, or as `call.emit('error', …)` (a stream that is destroyed sends no status). What has no code is told as IM_TRANSPORT_HANDLER, without its message: it may hold anything. */
export function grpcErrorOf(error: unknown): GrpcError {
	if (!(error instanceof MeshError)) return grpcErrorOf(new MeshError(transportErrors, 'IM_TRANSPORT_HANDLER'));
	const metadata = new Metadata();
	metadata.set(grpcErrorKey, error.code);
	const details = `${error.code}: ${error.message}`;
	return { code: numbers.get(error.entry.grpcStatus) ?? status.UNKNOWN, details, metadata };
}

/**
 * The error that a caller throws for what gRPC told it: the peer's own or that of the last attempt to connect, when its code is in `catalogue`,
 * else one of transport.
 */
export function meshErrorOf(error: ServiceError, catalogue: ErrorCatalogue): MeshError {
	const [, code, message] = /(?:^|Last error: Error: )(IM_[A-Z0-9_]{1,80}): ([^]{0,1000})/.exec(error.details) ?? [];
	for (const one of [catalogue, transportErrors])
		if (code !== undefined && Object.hasOwn(one, code))
			return new MeshError(one, code as ErrorCode, message, { cause: error });
	const timedOut = error.code === status.DEADLINE_EXCEEDED;
	const fallback = timedOut ? 'IM_TRANSPORT_TIMEOUT' : 'IM_TRANSPORT_UNREACHABLE';
	return new MeshError(transportErrors, fallback, error.details, { cause: error });
}
