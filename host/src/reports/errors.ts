// Owns the errors of reports that adapters send from outside.
import { defineErrors } from '@infermesh/proto';

export const reportErrors = defineErrors({
	IM_REPORTS_OPENING: {
		summary: 'A stream of reports did not open as it must.',
		hint: 'Send `opening` with a stream_id of 1 to 64 letters, digits, `-` and `_` first, and reports with `head` after it.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_REPORTS_WINDOW: {
		summary: 'More reports came than the last acknowledgement had room for.',
		hint: 'Send at most `window` reports beyond `acked_sequence`, and wait for the next acknowledgement.',
		httpStatus: 429,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: true,
	},
	IM_REPORTS_SUPERSEDED: {
		summary: 'The same stream of reports was opened again by another call.',
		hint: 'Give each adapter a stream_id of its own; after a reconnect the older call ends so.',
		httpStatus: 409,
		grpcStatus: 'ABORTED',
		retryable: false,
	},
	IM_REPORTS_UNSOUND: {
		summary: 'A report holds nothing that can be taken.',
		hint: 'docs/adapters.md says what a report must hold.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_REPORTS_KIND: {
		summary: 'This node takes no reports of this kind.',
		hint: 'Send reports about targets to a node that routes or runs them.',
		httpStatus: 501,
		grpcStatus: 'UNIMPLEMENTED',
		retryable: false,
	},
});
