// Owns every byte of a gRPC response that is the router's: the head and trailers of a target's response as they are passed on, and answers of the router's own.
// A refusal is a response of trailers alone; its retry advice is given as gRPC clients read it (`grpc-retry-pushback-ms`, and RetryInfo in
// `grpc-status-details-bin`). What a target says of itself stays here.
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { type Refusal, routerErrors } from '../errors.js';
import { stopUpload } from '../http2/compat.js';
import { pushDecision } from '../respond.js';
import type { UpstreamResponse } from '../upstream-response.js';
import type { GrpcCall } from './call.js';
import { grpcCodes, grpcMessage } from './status.js';

export const GRPC_TYPE = 'application/grpc';

const droppedFromTarget: ReadonlySet<string> = new Set([
	'alt-svc',
	'connection',
	'content-length',
	'date',
	'endpoint-load-metrics',
	'endpoint-load-metrics-bin',
	'server',
	'set-cookie',
	'via',
	'x-request-id',
]);

/** What of a target's headers or trailers goes on. */
export function passedOn(from: IncomingHttpHeaders): OutgoingHttpHeaders {
	const out: OutgoingHttpHeaders = {};
	for (const name in from) if (passes(name)) out[name] = from[name];
	return out;
}

function passes(name: string): boolean {
	return !(name.startsWith(':') || droppedFromTarget.has(name) || name.startsWith('x-infermesh-'));
}

/** Sends the head of a response whose trailers come later. */
export function sendHead(call: GrpcCall, attempt: UpstreamResponse, from: IncomingHttpHeaders): void {
	const { stream2 } = call;
	call.committed = true;
	const head = [constants.HTTP2_HEADER_STATUS, '200'];
	for (const name in from) {
		const value = from[name];
		if (value === undefined || !passes(name)) continue;
		if (typeof value === 'string') head.push(name, value);
		else for (const one of value) head.push(name, one);
	}
	pushOwn(head, call, attempt);
	stream2.respond(head, { waitForTrailers: true });
	endWithTrailers(call);
}

/** Ends a response that has begun, or is nothing but its end. */
export function sendEnd(
	call: GrpcCall,
	code: number,
	trailers: OutgoingHttpHeaders,
	attempt: UpstreamResponse | undefined,
): void {
	const { stream2 } = call;
	call.finished = true;
	call.statusCode = code;
	if (stream2.destroyed) return;
	// What the client still sends is read and thrown away until it has been told to stop.
	stream2.resume();
	if (call.committed) {
		call.trailers = trailers;
		stream2.end();
		return;
	}
	call.committed = true;
	const own = ownFields(call, attempt);
	const head = { [constants.HTTP2_HEADER_STATUS]: 200, 'content-type': GRPC_TYPE, ...trailers, ...own };
	stream2.respond(head, { endStream: true });
	if (!call.clientEnded) stopUpload(stream2);
}

/** Sends the call's trailers when all else is sent. A client that sends on all the same is cut like one that does not take its answer. */
export function endWithTrailers(call: GrpcCall): void {
	const { stream2 } = call;
	stream2.once('wantTrailers', () => stream2.sendTrailers(call.trailers));
}

function ownFields(call: GrpcCall, attempt: UpstreamResponse | undefined): OutgoingHttpHeaders {
	const pairs: string[] = [];
	pushOwn(pairs, call, attempt);
	const fields: OutgoingHttpHeaders = {};
	for (let at = 0; at < pairs.length; at += 2) fields[pairs[at] as string] = pairs[at + 1];
	return fields;
}

function pushOwn(pairs: string[], call: GrpcCall, attempt: UpstreamResponse | undefined): void {
	if (call.requestId !== '') pairs.push('x-request-id', call.requestId);
	if (attempt !== undefined) pushDecision(pairs, attempt);
}

/** The trailers of a refusal. `code`: in place of the catalogue's. */
export function refusalTrailers(refusal: Refusal, code: number): OutgoingHttpHeaders {
	const { summary, hint } = routerErrors[refusal.code];
	const message = `${refusal.message ?? summary} ${hint}`;
	const trailers: OutgoingHttpHeaders = {
		'grpc-status': String(code),
		'grpc-message': grpcMessage(message),
		'x-infermesh-error': refusal.code,
	};
	if (refusal.retryAfterS === undefined) return trailers;
	trailers['retry-after'] = String(refusal.retryAfterS);
	trailers['grpc-retry-pushback-ms'] = String(refusal.retryAfterS * 1000);
	trailers['grpc-status-details-bin'] = retryDetails(code, message, refusal.retryAfterS);
	return trailers;
}

export function refusalCode(refusal: Refusal): number {
	// Waiting for a deadline that cannot be met is no use: clients are told so before it passes.
	if (refusal.code === 'IM_ROUTE_DEADLINE' && refusal.status === 429) return grpcCodes.RESOURCE_EXHAUSTED;
	return grpcCodes[routerErrors[refusal.code].grpcStatus];
}

const RETRY_INFO_TYPE = 'type.googleapis.com/google.rpc.RetryInfo';

/** A google.rpc.Status with one RetryInfo, in base64 without padding. */
function retryDetails(code: number, message: string, retryAfterS: number): string {
	const duration = varintField(1, retryAfterS);
	const retryInfo = bytesField(1, duration);
	const any = Buffer.concat([bytesField(1, Buffer.from(RETRY_INFO_TYPE)), bytesField(2, retryInfo)]);
	const status = Buffer.concat([varintField(1, code), bytesField(2, Buffer.from(message)), bytesField(3, any)]);
	return status.toString('base64').replace(/=+$/, '');
}

function varintField(field: number, value: number): Buffer {
	return Buffer.from([field << 3, ...varint(value)]);
}

/** A field of bytes, text or an embedded message. */
export function bytesField(field: number, bytes: Buffer): Buffer {
	return Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(bytes.length)]), bytes]);
}

function varint(value: number): number[] {
	const bytes: number[] = [];
	let left = value;
	for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) | 0x80);
	bytes.push(left);
	return bytes;
}
