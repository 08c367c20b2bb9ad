// Owns the errors of signed reports.
import { defineErrors } from '@infermesh/proto';

export const signedErrors = defineErrors({
	IM_REPORT_FORMAT: {
		summary: 'This is no signed report.',
		hint: '`infermesh experiment report --sign KEY --out FILE` and `infermesh strategy gate WHAT --sign KEY --out FILE` write one.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_REPORT_SIGNATURE: {
		summary: 'The report is not what was signed, or not signed by this key.',
		hint: 'Do not rely on it: ask whoever signed it for the original, and have the run repeated where there is none.',
		httpStatus: 422,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
	},
	IM_REPORT_KEY: {
		summary: 'The report was signed by a key that is not trusted here.',
		hint: 'Give the public half that you trust (`--key FILE`), or let the mesh know it: `infermesh signing-key trust FILE`.',
		httpStatus: 422,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
});
