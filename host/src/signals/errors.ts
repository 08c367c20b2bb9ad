// Owns the errors of the signals room.
import { defineErrors } from '@infermesh/proto';

export const signalErrors = defineErrors({
	IM_GPU_UNKNOWN: {
		summary: 'No GPU of this UUID is heard of on this node.',
		hint: '`infermesh gpu list` shows those that are; `gpu.sources` says where they are heard of.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_GPU_FULL: {
		summary: 'This node hears of as many GPUs as it may.',
		hint: 'Raise `gpu.devices_max` and restart, or report to another node.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_GPU_SOURCE: {
		summary: 'A source of GPU state cannot be read.',
		hint: 'The message has the cause; see that the exporter answers, or that the tool or library is installed.',
		httpStatus: 502,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
});
