// Owns the errors raised while a trace is read or made. Free of HTTP: the simulator raises the same ones.
import { defineErrors } from '@infermesh/proto';

export const traceErrors = defineErrors({
	IM_TRACE_READ: {
		summary: 'The trace could not be read.',
		hint: 'Check that the path names a readable file.',
		httpStatus: 400,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_TRACE_EMPTY: {
		summary: 'The trace holds no request.',
		hint: 'Give a file with at least one data row.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TRACE_FORMAT: {
		summary: 'The trace is in no known format.',
		hint: 'Known are the Azure CSV (header TIMESTAMP,ContextTokens,GeneratedTokens) and the Mooncake JSONL (timestamp, input_length, output_length, hash_ids).',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TRACE_SYNTAX: {
		summary: 'A row of the trace is malformed.',
		hint: 'Mend or remove the row at the place named.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TRACE_FIELD: {
		summary: 'A field of the trace is missing or out of range.',
		hint: 'Token counts are whole numbers from 0; timestamps are as the format defines.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TRACE_DEFECT: {
		summary: 'A row of the trace is well formed and makes no sense.',
		hint: 'Mend the row named, or have such rows mended and counted in the notes: `infermesh simulate --mend`, `workload.defects: mend`.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TRACE_LIMIT: {
		summary: 'The trace exceeds a limit of the importer.',
		hint: 'Split the file, or raise the limit named.',
		httpStatus: 413,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_TRACE_OPTION: {
		summary: 'An option of the synthetic workload is out of range.',
		hint: 'See the ranges in the option reference of the bench command.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
});
