// Owns what follows parsing: the model's route, and, for what goes on from a stored response, the target that has it.
import type { BodyRequest } from './body-request.js';
import { resolveRoute } from './decide.js';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import { untagged } from './response-ids.js';

/** Finds where the request may go. */
export function resolve(env: RouterEnv, request: BodyRequest): Refusal | undefined {
	const { directory } = env.ports;
	const { pathId, previousId } = request;
	const tag = untagged(pathId?.name ?? previousId)?.tag;
	if (tag !== undefined && pathId !== undefined) {
		request.owner = directory.owner(tag, undefined);
		if (request.owner === undefined) return { code: 'IM_ROUTE_RESPONSE_UNKNOWN' };
	}
	const refusal = resolveRoute(env, request);
	if (refusal !== undefined || tag === undefined || pathId !== undefined) return refusal;
	request.owner = directory.owner(tag, request.route?.pool);
	return request.owner === undefined ? { code: 'IM_ROUTE_RESPONSE_UNKNOWN', param: 'previous_response_id' } : undefined;
}
