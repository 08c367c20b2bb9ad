// Owns the errors of the load generator's edges: options, thresholds, objectives. Failures of requests are values, counted by cause.
import { defineErrors } from '@infermesh/proto';

export const loadErrors = defineErrors({
	IM_LOAD_OPTION: {
		summary: 'An option of the load generator is out of range.',
		hint: 'See the ranges in the option reference of the bench command.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_LOAD_UNREACHABLE: {
		summary: 'No request reached the server: every connection failed.',
		hint: 'Check that the mesh runs and that the URL names its data port.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_THRESHOLD_SYNTAX: {
		summary: 'A threshold expression is malformed.',
		hint: "Write metric, comparison, number and unit, comma-separated: 'ttft.p99<2s, fail.rate<=0, p99@1024<5us'.",
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_THRESHOLD_METRIC: {
		summary: 'A threshold names a metric that is not measured here.',
		hint: 'Use one of the metrics listed in the help of the command.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_THRESHOLD_UNIT: {
		summary: "A threshold's unit does not fit its metric.",
		hint: 'Times take us, ms or s; shares take % or a plain fraction; counts and rates take a plain number.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
});
