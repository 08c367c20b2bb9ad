// Owns the errors of adapters that are opened by name and settings.
import { defineErrors } from '@infermesh/proto';

export const adapterErrors = defineErrors({
	IM_ADAPTER_UNKNOWN: {
		summary: 'There is no adapter of this kind.',
		hint: '`infermesh adapter kinds` lists them.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_ADAPTER_SETTING: {
		summary: 'A setting of an adapter is missing, unknown or of the wrong form.',
		hint: '`infermesh adapter kinds` lists the settings of each.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_ADAPTER_FAILED: {
		summary: 'An adapter could not look at what it reads.',
		hint: 'Is the program or server there, and may this process read it?',
		httpStatus: 502,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
});
