// Owns the errors of what routers tell each other of their load.
import { defineErrors } from '@infermesh/proto';

export const peerLoadErrors = defineErrors({
	IM_PEER_LOAD_FRAME: {
		summary: 'What a router told of its load is malformed.',
		hint: 'The message names the field; that router runs other software. It is asked again, and until it answers well its load shows in reports of the engines only.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: true,
	},
	IM_PEER_LOAD_FULL: {
		summary: 'As many routers follow the load of this one as may.',
		hint: 'Raise `fabric.load.peers_max`; those left out see this router’s requests in the reports of engines only.',
		httpStatus: 429,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: true,
	},
	IM_PEER_LOAD_STOPPING: {
		summary: 'The router followed is stopping.',
		hint: 'Nothing to do: what it had in flight ends with it.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
});
