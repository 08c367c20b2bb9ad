// Owns a request that another router describes in a message, read as the same request would be if its client had sent it here: same paths, same dialects, same
// wishes. It is never dispatched from here.
import { accept } from '../accept.js';
import { actFor, callerOf } from '../authenticate.js';
import { BodyRequest } from '../body-request.js';
import type { RouterEnv } from '../env.js';
import type { Refusal } from '../errors.js';
import { parse } from '../parse.js';
import { readIds } from '../request-headers.js';
import { resolve } from '../resolve.js';
import type { RoutedRequest } from '../routed-request.js';
import type { Refused, Scoring } from './scoring.js';

/** As the message has it. */
export interface DescribedRequest {
	readonly path: string;
	readonly body: Uint8Array;
	readonly headers: Readonly<Record<string, string>>;
}

class ScoredRequest extends BodyRequest {}

/** Why the caller of a stream may ask no more: keys expire and are taken back while streams live. Undefined when it may. */
export function barred(env: RouterEnv, scoring: Scoring, stream: RoutedRequest): Refusal | undefined {
	const caller = callerOf(env, stream);
	return caller === undefined ? { code: 'IM_REQUEST_UNAUTHENTICATED' } : scoring.denied(caller);
}

/** What `then` answers for a request that the caller of `stream` describes, read up to its route; or why it is none. Only POST is scored: nothing else is a question for a strategy. */
export function whenRead<A extends object>(
	env: RouterEnv,
	stream: RoutedRequest,
	described: DescribedRequest,
	then: (request: BodyRequest) => A | Refused,
): A | Refused {
	const read = readScored(env, stream, described);
	const answer = 'refusal' in read ? read : then(read.request);
	// Its prompt is nobody's any more: it is not kept for a decision that never comes.
	env.promptOf = undefined;
	return answer;
}

function readScored(
	env: RouterEnv,
	stream: RoutedRequest,
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
	const request = new ScoredRequest(stream.protocol, accepted.dialect, 'POST', path, named, stream.connection, now);
	request.pathModel = accepted.model;
	request.pathId = accepted.id;
	request.body = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
	readIds(env, request);
	actFor(env, request, stream.caller);
	const refusal = parse(env, request) ?? resolve(env, request);
	return refusal === undefined ? { request } : { refusal };
}
