// Owns what is sent to a target: the call's metadata without what is not its business, the time that is left, and the client's bytes. Where the engine
// knows the model by another name, that name is put behind the first message as one more occurrence of the field: for protobuf the last one counts, and
// nothing of the client's own bytes is moved. A compressed message is left as it is.
import { type ClientHttp2Stream, constants } from 'node:http2';
import type { RouterEnv } from '../env.js';
import { upstreamHeaders } from '../upstream-request.js';
import type { AttemptPlan } from '../upstream-response.js';
import { bytesField } from './answers.js';
import type { GrpcCall } from './call.js';
import { FRAME_HEAD_BYTES } from './frames.js';
import { formatTimeout } from './timeout.js';

const TIMEOUT = 'grpc-timeout';

/** Name and value pairs: `node:http2` makes the list it sends of them without a record between. */
export function targetHeaders(env: RouterEnv, call: GrpcCall, { target, decisionId }: AttemptPlan): string[] {
	const pairs = [
		constants.HTTP2_HEADER_METHOD,
		constants.HTTP2_METHOD_POST,
		constants.HTTP2_HEADER_PATH,
		`${target.pathPrefix}${call.path}`,
		'te',
		'trailers',
	];
	const passed = upstreamHeaders(call, target, decisionId);
	for (let at = 0; at < passed.length; at += 2)
		if (passed[at] !== TIMEOUT) pairs.push(passed[at] as string, passed[at + 1] as string);
	if (call.deadlineAtMs !== Number.POSITIVE_INFINITY)
		pairs.push(TIMEOUT, formatTimeout(call.deadlineAtMs - env.ports.clock.nowMs()));
	return pairs;
}

/** Writes what the client has sent so far. False when the target is to take it before there is more. */
export function writeSent(call: GrpcCall, { pool, target }: AttemptPlan, stream: ClientHttp2Stream): boolean {
	const name = call.model === '' ? '' : (target.upstreamModel ?? pool.model);
	let room = true;
	const renamed = name !== call.model && call.firstBytes > 0 && !call.firstCompressed && call.modelInMessage;
	for (const bytes of renamed ? withModel(call, name) : call.sent) room = stream.write(bytes);
	return room;
}

function withModel(call: GrpcCall, name: string): Buffer[] {
	const all = Buffer.concat(call.sent, call.sentBytes);
	const path = call.grpc.modelPath ?? [];
	let more: Buffer = Buffer.from(name);
	for (const field of path.toReversed()) more = bytesField(field, more);
	const head = Buffer.alloc(FRAME_HEAD_BYTES);
	head.writeUInt32BE(call.firstBytes - FRAME_HEAD_BYTES + more.length, 1);
	return [head, all.subarray(FRAME_HEAD_BYTES, call.firstBytes), more, all.subarray(call.firstBytes)].filter(
		({ length }) => length > 0,
	);
}
