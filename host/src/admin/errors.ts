// Owns the errors of the admin API itself. What the mesh refuses (targets, strategies) comes with the codes of those rooms.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const adminErrors = defineErrors({
	IM_ADMIN_UNAUTHENTICATED: {
		...refused,
		httpStatus: 401,
		grpcStatus: 'UNAUTHENTICATED',
		summary: 'the admin API wants a token',
		hint: 'send `authorization: Bearer TOKEN`; the command line takes it from .infermesh/admin.token or INFERMESH_TOKEN',
	},
	IM_ADMIN_FORBIDDEN: {
		...refused,
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		summary: 'the request came from another site',
		hint: 'call the admin API by its own address; browsers may only call it from its own pages',
	},
	IM_ADMIN_NOT_FOUND: {
		...refused,
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		summary: 'the admin API has no such path',
		hint: '/api/v1/openapi.json lists what there is',
	},
	IM_ADMIN_INVALID_REQUEST: {
		...refused,
		summary: 'the request does not fit its schema',
		hint: '/api/v1/openapi.json has the schema of every request',
	},
	IM_ADMIN_BODY_TOO_LARGE: {
		...refused,
		httpStatus: 413,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		summary: 'the request body is larger than admin.body_max_bytes',
		hint: 'a strategy module may have at most strategy.module_max_bytes; strip debug information',
	},
	IM_ADMIN_DECISION_UNKNOWN: {
		...refused,
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		summary: 'no such decision is remembered',
		hint: 'the id is in the response header x-infermesh-decision; the last data.decisions_kept_max decisions of each worker are kept',
	},
	IM_ADMIN_INTERNAL: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		summary: 'the mesh failed to answer',
		hint: 'the log has the cause under the request id given here',
	},
});
