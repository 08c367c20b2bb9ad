// Owns gRPC's status codes as the router needs them: numbers of names, what an HTTP status or a reset stands for (the mappings of gRPC's own HTTP/2
// specification), and which HTTP status stands for a code in metrics and retries.
import { constants } from 'node:http2';
import type { GrpcStatus } from '@infermesh/proto';

export const grpcCodes = {
	OK: 0,
	CANCELLED: 1,
	UNKNOWN: 2,
	INVALID_ARGUMENT: 3,
	DEADLINE_EXCEEDED: 4,
	NOT_FOUND: 5,
	ALREADY_EXISTS: 6,
	PERMISSION_DENIED: 7,
	RESOURCE_EXHAUSTED: 8,
	FAILED_PRECONDITION: 9,
	ABORTED: 10,
	OUT_OF_RANGE: 11,
	UNIMPLEMENTED: 12,
	INTERNAL: 13,
	UNAVAILABLE: 14,
	DATA_LOSS: 15,
	UNAUTHENTICATED: 16,
} as const satisfies Record<GrpcStatus | 'OK', number>;

export const grpcNames: readonly string[] = Object.keys(grpcCodes);

/** By code. A target that is out of room is told apart from one that failed, as retries do. */
const HTTP_OF: readonly number[] = [
	200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
];

/** The HTTP status that a code counts as. */
export function httpOfGrpc(code: number): number {
	return HTTP_OF[code] ?? 500;
}

/** The code of a trailer; UNKNOWN for what is none. */
export function grpcStatusOf(text: string | readonly string[] | undefined): number | undefined {
	if (text === undefined) return undefined;
	const code = typeof text === 'string' && /^\d{1,2}$/.test(text) ? Number(text) : grpcCodes.UNKNOWN;
	return code < grpcNames.length ? code : grpcCodes.UNKNOWN;
}

/** What an HTTP status without a gRPC status stands for. */
export function grpcOfHttp(status: number): number {
	if (status === 400) return grpcCodes.INTERNAL;
	if (status === 401) return grpcCodes.UNAUTHENTICATED;
	if (status === 403) return grpcCodes.PERMISSION_DENIED;
	if (status === 404) return grpcCodes.UNIMPLEMENTED;
	return status === 429 || (status >= 502 && status <= 504) ? grpcCodes.UNAVAILABLE : grpcCodes.UNKNOWN;
}

/** What the reset of a stream stands for. */
export function grpcOfReset(code: number): number {
	if (code === constants.NGHTTP2_REFUSED_STREAM) return grpcCodes.UNAVAILABLE;
	if (code === constants.NGHTTP2_CANCEL) return grpcCodes.CANCELLED;
	if (code === constants.NGHTTP2_ENHANCE_YOUR_CALM) return grpcCodes.RESOURCE_EXHAUSTED;
	return code === constants.NGHTTP2_INADEQUATE_SECURITY ? grpcCodes.PERMISSION_DENIED : grpcCodes.INTERNAL;
}

/** A text as `grpc-message` carries it: everything but printable ASCII, and the percent sign, is percent-encoded as UTF-8. */
export function grpcMessage(text: string): string {
	let out = '';
	for (const byte of Buffer.from(text)) {
		out +=
			byte >= 0x20 && byte <= 0x7e && byte !== 0x25
				? String.fromCharCode(byte)
				: `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
	}
	return out;
}
