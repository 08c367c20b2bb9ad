// Owns the errors of membership that reach a caller. What packets do wrong is counted by cause instead (codec.ts, counters.ts).
import { defineErrors } from '@infermesh/proto';

export const membershipErrors = defineErrors({
	IM_MEMBERSHIP_OVERSIZED: {
		summary: 'A membership message is larger than its bound.',
		hint: 'Keep node metadata and broadcasts small; send large things over a stream or by reference.',
		httpStatus: 413,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_MEMBERSHIP_ADDRESS: {
		summary: 'A gossip address is not host:port.',
		hint: 'Write 10.0.0.1:8946, [fd00::1]:8946 or a name and a port; the port is 1 to 65535.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_MEMBERSHIP_BIND: {
		summary: 'The gossip address cannot be listened on.',
		hint: 'See which process holds the port (ss -lunp), or give another one in the node configuration.',
		httpStatus: 500,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_MEMBERSHIP_EXCHANGE: {
		summary: 'A peer did not finish a membership exchange.',
		hint: 'Check that TCP and UDP of the gossip port are open between the nodes and that both have the same gossip key.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_MEMBERSHIP_KEY: {
		summary: 'A gossip group key is not usable.',
		hint: 'A group key is 32 random bytes; the ring holds a small number of keys and must keep its primary one.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_MEMBERSHIP_SETTING: {
		summary: 'A membership setting is out of range.',
		hint: 'Start from a profile (lan, wan, local) and change single values.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
});
