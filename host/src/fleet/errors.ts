// Owns the errors of the fleet room.
import { defineErrors } from '@infermesh/proto';

export const fleetErrors = defineErrors({
	IM_TARGET_EXISTS: {
		summary: 'A target with this id exists already.',
		hint: 'Choose another id, or remove the target first: `infermesh target rm ID`.',
		httpStatus: 409,
		grpcStatus: 'ALREADY_EXISTS',
		retryable: false,
	},
	IM_TARGET_LAGGING: {
		summary: 'The change is written, and this node has not followed it yet.',
		hint: 'It follows as soon as it hears of it; `infermesh target list` shows what it follows.',
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: false,
	},
	IM_TARGET_DRAIN_TIMEOUT: {
		summary: 'Requests on the target have not ended in time; it stays drained and they go on.',
		hint: 'Wait longer with `--timeout`, or send it requests again with `infermesh target undrain`.',
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: true,
	},
	IM_TARGET_UNDRAINED: {
		summary: 'The drain that was waited for has been undone.',
		hint: 'Ask who did it; drain the target again if it is still to go.',
		httpStatus: 409,
		grpcStatus: 'ABORTED',
		retryable: false,
	},
	IM_TARGET_UNKNOWN: {
		summary: 'No target has this id.',
		hint: '`infermesh target list` shows the ids.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_TARGET_INVALID: {
		summary: 'The target cannot be added as described.',
		hint: 'A target needs an http:// or https:// URL and at least one model name.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TARGET_MODELS_UNKNOWN: {
		summary: 'The target names no model and could not be asked.',
		hint: 'Give its models explicitly, or see that its `/v1/models` answers.',
		httpStatus: 502,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_FLEET_MODELS: {
		summary: 'The mesh knows as many models as it may.',
		hint: 'Raise `fleet.models_max` and restart.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_FLEET_REMOTE_MODELS: {
		summary: 'Other cells name more models than this one keeps rows of.',
		hint: 'They may take a quarter of `fleet.models_max`; the rest of their models are not routed to.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_FLEET_FULL: {
		summary: 'The fleet table has no room for another target.',
		hint: 'Raise `fleet.targets_max` and restart, or remove targets.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
});
