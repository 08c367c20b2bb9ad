// Owns the errors of discovery.
import { defineErrors } from '@infermesh/proto';

export const discoveryErrors = defineErrors({
	IM_DISCOVERY_READ: {
		summary: 'A source of targets could not be read; those it listed last stay as they are.',
		hint: 'Look at the file or the DNS name; it is asked again.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_DISCOVERY_LIMIT: {
		summary: 'A source lists more targets than it may; those beyond the bound are left out.',
		hint: 'Raise `discovery.targets_max`, or split the source.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_DISCOVERY_TARGET: {
		summary: 'A target that a source lists could not be taken in; it is tried again.',
		hint: 'The message says why; `models` spares asking the engine for them.',
		httpStatus: 502,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_DISCOVERY_FOREIGN: {
		summary: 'A source lists a target whose id is recorded from elsewhere; it is left alone.',
		hint: 'Give it another `id`, or remove the other: `infermesh target rm ID`.',
		httpStatus: 409,
		grpcStatus: 'ALREADY_EXISTS',
		retryable: false,
	},
});
