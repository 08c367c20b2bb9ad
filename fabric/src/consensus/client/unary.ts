// Owns unary calls of generated clients as promises.
import type { CallOptions, Metadata, ServiceError } from '@grpc/grpc-js';
import type { Clock } from '@infermesh/proto';

export type UnaryMethod<Request, Reply> = (
	request: Request,
	metadata: Metadata,
	options: Partial<CallOptions>,
	callback: (error: ServiceError | null, reply: Reply) => void,
) => unknown;

export function unary<Request, Reply>(
	method: UnaryMethod<Request, Reply>,
	request: Request,
	metadata: Metadata,
	clock: Clock,
	timeoutMs: number,
): Promise<Reply> {
	return new Promise((resolve, reject) => {
		method(request, metadata, { deadline: clock.wallMs() + timeoutMs }, (error, reply) => {
			if (error === null) resolve(reply);
			else reject(error);
		});
	});
}

export function isServiceError(error: unknown): error is ServiceError {
	return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'metadata' in error;
}
