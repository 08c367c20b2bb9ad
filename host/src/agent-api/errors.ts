// Owns the errors of the agent's gRPC API itself. What the mesh refuses comes with the codes of those rooms, as over HTTP.
import { defineErrors } from '@infermesh/proto';

export const agentApiErrors = defineErrors({
	IM_AGENT_READ_ONLY: {
		summary: 'The caller may read, but not change anything.',
		hint: 'Show a certificate of `infermesh ca client NAME`, or of an id in admin.spiffe_admins, or send the admin token as `authorization: Bearer` metadata.',
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
	},
	IM_AGENT_DENIED: {
		summary: 'The caller has a certificate of the trust domain, and no rights here.',
		hint: 'List its SPIFFE id in admin.spiffe_admins or admin.spiffe_readers, or send an admin token as `authorization: Bearer` metadata.',
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
	},
	IM_AGENT_STOPPING: {
		summary: 'This node stops.',
		hint: 'Go on at another node, from the last revision told.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_AGENT_SERVICE_UNKNOWN: {
		summary: 'This node offers no service of this name.',
		hint: 'Reflection lists the services; an empty name asks for the node as a whole.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
});
