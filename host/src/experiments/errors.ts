// Owns the errors of experiments on a running mesh.
import { defineErrors } from '@infermesh/proto';

export const experimentErrors = defineErrors({
	IM_EXPERIMENT_UNKNOWN: {
		summary: 'There is no experiment of this id.',
		hint: '`infermesh experiment list` shows them.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_EXPERIMENT_INVALID: {
		summary: 'The experiment cannot be run as it was asked for.',
		hint: 'The message names the option; `infermesh experiment start --help` shows all.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_EXPERIMENT_MODEL_BUSY: {
		summary: 'Another experiment runs on this model.',
		hint: 'Wait for its end, or stop it: `infermesh experiment stop ID`.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_STAGING: {
		summary: 'An experiment runs on this model: staging by hand would spoil it.',
		hint: 'Stop it first: `infermesh experiment stop ID`.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_OVERTAKEN: {
		summary: 'Another node runs this experiment now.',
		hint: 'Nothing is to be done: the other node goes on where this one stopped.',
		httpStatus: 409,
		grpcStatus: 'ABORTED',
		retryable: true,
	},
	IM_EXPERIMENT_ENDED: {
		summary: 'The experiment has ended.',
		hint: '`infermesh experiment report ID` says how.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_TOO_LONG: {
		summary: 'The traffic of this model does not bring a verdict in the time given.',
		hint: 'The message says how long it would take; ask for a larger `--effect`, or give more `--max-hours`.',
		httpStatus: 422,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_LIMIT: {
		summary: 'As many experiments are kept as the mesh keeps.',
		hint: 'Forget ended ones: `infermesh experiment stop ID --forget`.',
		httpStatus: 409,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
});
