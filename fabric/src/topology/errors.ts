// Owns the errors of measuring between nodes.
import { defineErrors } from '@infermesh/proto';

export const topologyErrors = defineErrors({
	IM_TOPOLOGY_PROBE_BUSY: {
		summary: 'The node is in the middle of another measurement: two at once would measure each other.',
		hint: 'Try again when that one has ended; none takes longer than ten seconds.',
		httpStatus: 429,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: true,
	},
	IM_TOPOLOGY_PROBE_TOO_LARGE: {
		summary: 'More bytes than a measurement may send.',
		hint: 'The message names the limit; ask for fewer.',
		httpStatus: 413,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_TOPOLOGY_PROBE_TIMEOUT: {
		summary: 'The measurement did not end in time.',
		hint: 'The link is slower than the bytes asked for, or it broke: ask for fewer, look at `infermesh topology --all`.',
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: true,
	},
	IM_TOPOLOGY_UNREACHABLE: {
		summary: 'One node cannot connect to the other; there is nothing to measure.',
		hint: 'The message says which and why; gossip may still find the node alive through others.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_TOPOLOGY_PROBE_SELF: {
		summary: 'A node was to be measured to itself.',
		hint: 'Name two nodes.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
});
