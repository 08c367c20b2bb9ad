// Owns a request that another router describes in a message, read as the same request would be if its client had sent it here: same paths, same dialects, same
// wishes. It is never dispatched from here.
import { accept } from '../../accept.js';
import { actFor } from '../../authenticate.js';
import { BodyRequest } from '../../body-request.js';
import type { RouterEnv } from '../../env.js';
import { parse } from '../../parse.js';
import { readIds } from '../../request-headers.js';
import { resolve } from '../../resolve.js';
import type { Refused } from '../../scoring/scoring.js';
import type { GrpcCall } from '../call.js';

/** As the message has it. */
export interface DescribedRequest {
	readonly path: string;
	readonly body: Uint8Array;
	readonly headers: Readonly<Record<string, string>>;
}

class ScoredRequest extends BodyRequest {}

/** Reads a request up to its route, or says why it is none. Only POST is scored: nothing else is a question for a strategy. */
export function readScored(
	env: RouterEnv,
	call: GrpcCall,
	{ path: target, body, headers }: DescribedRequest,
): { readonly request: BodyRequest } | Refused {
	const query = target.indexOf('?');
	const path = query < 0 ? target : target.slice(0, query);
	const accepted = accept('POST', path, env.options.passThrough);
	if (accepted.kind === 'refuse') return { refusal: accepted.refusal };
	if (accepted.kind !== 'forward') return { refusal: { code: 'IM_REQUEST_PATH' } };
	const fields = Object.entries(headers);
	if (fields.length > env.options.headerCountMax) return { refusal: { code: 'IM_REQUEST_HEADERS' } };
	const named = {
		'content-type': 'application/json',
		...Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value])),
	};
	const now = env.ports.clock.nowMs();
	const request = new ScoredRequest(call.protocol, accepted.dialect, 'POST', path, named, call.connection, now);
	request.pathModel = accepted.model;
	request.pathId = accepted.id;
	request.body = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
	readIds(env, request);
	actFor(env, request, call.caller);
	const refusal = parse(env, request) ?? resolve(env, request);
	return refusal === undefined ? { request } : { refusal };
}
