// Owns the errors of records in replicated state.
import { defineErrors } from '@infermesh/proto';

export const recordErrors = defineErrors({
	IM_RECORD_UNKNOWN: {
		summary: 'There is no record of this name.',
		hint: 'List what there is: `infermesh policy list`, `infermesh nodes list`.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_RECORD_INVALID: {
		summary: 'The record does not satisfy its schema.',
		hint: 'The message names the field; /api/v1/openapi.json has the schema.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_RECORD_KIND: {
		summary: 'There is no such kind of policy.',
		hint: 'The kinds are placement, quota, slo and route.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_RECORD_EXISTS: {
		summary: 'There is a record of this name already.',
		hint: 'Choose another name, or delete the one that is there.',
		httpStatus: 409,
		grpcStatus: 'ALREADY_EXISTS',
		retryable: false,
	},
	IM_RECORD_IN_USE: {
		summary: 'Other records refer to this one.',
		hint: 'Delete those first; the message names them.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_RECORD_CONFLICT: {
		summary: 'Somebody else changed the record meanwhile.',
		hint: 'Read it again, and change what you find.',
		httpStatus: 409,
		grpcStatus: 'ABORTED',
		retryable: true,
	},
});
