// Owns how a call that the router answers itself is answered: messages one by one with the client's flow control, a good end, or a refusal.
import { constants } from 'node:http2';
import type { Refusal } from '../errors.js';
import { endWithTrailers, GRPC_TYPE, refusalCode, refusalTrailers, sendEnd } from './answers.js';
import type { GrpcCall } from './call.js';
import { frameOf } from './frames.js';
import { grpcCodes } from './status.js';

/** Sends a message; false when the client is to take what there is before it gets more. */
export function send(call: GrpcCall, message: Uint8Array): boolean {
	const { stream2 } = call;
	if (stream2.destroyed) return true;
	if (!call.committed) {
		call.committed = true;
		stream2.respond({ [constants.HTTP2_HEADER_STATUS]: 200, 'content-type': GRPC_TYPE }, { waitForTrailers: true });
		endWithTrailers(call);
	}
	return stream2.write(frameOf(message));
}

/** Asks the client nothing more until it has taken what there is; then calls `then`. One that takes nothing for too long is cut. */
export function awaitTaken(call: GrpcCall, nowMs: number, then: () => void): void {
	if (call.blockedSinceMs !== 0) return;
	call.blockedSinceMs = nowMs;
	call.stream2.pause();
	call.stream2.once('drain', () => {
		call.blockedSinceMs = 0;
		then();
	});
}

/** Ends it well. */
export function finish(call: GrpcCall): void {
	sendEnd(call, grpcCodes.OK, { 'grpc-status': '0' }, undefined);
}

/** Sends the only message. */
export function reply(call: GrpcCall, message: Uint8Array): void {
	send(call, message);
	finish(call);
}

/** Ends it with why it is not answered, or no further. */
export function refuse(call: GrpcCall, refusal: Refusal): void {
	call.refusal = refusal;
	const code = refusalCode(refusal);
	sendEnd(call, code, refusalTrailers(refusal, code), undefined);
}
