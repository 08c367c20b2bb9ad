// Owns the errors raised while a frame is laid out.
import { defineErrors } from '@infermesh/proto';

export const frameErrors = defineErrors({
	IM_FRAME_LAYOUT: {
		summary: 'A strategy frame cannot be laid out with these sizes',
		hint: 'check the sizes in the manifest and the fleet size against the limits on the ABI page',
		httpStatus: 500,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
});
