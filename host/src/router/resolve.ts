// Owns what follows parsing: the model's route, and, for what asks for a stored response or goes on from one, the target that has it. An id that is not the
// tenant's own is refused here, before anything is looked up that could tell it from one that never was.
import type { BodyRequest } from './body-request.js';
import { resolveRoute } from './decide.js';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import { tenantOf } from './tenant-policy.js';

/** Finds where the request may go. */
export function resolve(env: RouterEnv, request: BodyRequest): Refusal | undefined {
	const { directory } = env.ports;
	if (!request.dialect.responseIds) return resolveRoute(env, request);
	// Without the key nothing that is made could be found again, nor anything be told to be whose.
	if (!env.responseIds.ready) return { code: 'IM_ROUTE_RESPONSE_KEY', retryAfterS: env.options.saturatedRetryAfterS };
	const { pathId, previousId } = request;
	const name = pathId?.name ?? previousId;
	if (name === '') return resolveRoute(env, request);
	const owned = env.responseIds.owned(name, tenantOf(request));
	if (owned === undefined) return unknown(request);
	request.storedId = owned.id;
	if (pathId !== undefined) {
		request.owner = directory.owner(owned.tag, undefined);
		return request.owner === undefined ? unknown(request) : resolveRoute(env, request);
	}
	const refusal = resolveRoute(env, request);
	if (refusal !== undefined) return refusal;
	request.owner = directory.owner(owned.tag, request.route?.pool);
	return request.owner === undefined ? unknown(request) : undefined;
}

function unknown({ pathId }: BodyRequest): Refusal {
	return pathId === undefined
		? { code: 'IM_ROUTE_RESPONSE_UNKNOWN', param: 'previous_response_id' }
		: { code: 'IM_ROUTE_RESPONSE_UNKNOWN' };
}
