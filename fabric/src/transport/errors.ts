// Owns the errors of transport: connections between nodes that could not be made or kept. What a certificate is refused for has its code in
// identity.
import { defineErrors } from '@infermesh/proto';

const unavailable = { httpStatus: 503, grpcStatus: 'UNAVAILABLE', retryable: true } as const;
const refused = { httpStatus: 403, grpcStatus: 'PERMISSION_DENIED', retryable: false } as const;

export const transportErrors = defineErrors({
	IM_TRANSPORT_UNREACHABLE: {
		...unavailable,
		summary: 'a node cannot be reached',
		hint: 'it may be down, or a firewall is between: the cause has what the operating system said',
	},
	IM_TRANSPORT_BIND: {
		httpStatus: 500,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
		summary: 'an address of this node cannot be listened on',
		hint: 'see which process holds the port (ss -ltnp, and -lunp for QUIC), or give another one in the node configuration',
	},
	IM_TRANSPORT_TIMEOUT: {
		...unavailable,
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		summary: 'a node did not answer in time',
		hint: 'the node or the network is overloaded, or something that is no mesh node listens there',
	},
	IM_TRANSPORT_HANDSHAKE: {
		...refused,
		summary: 'a TLS handshake failed',
		hint: 'both ends must speak TLS 1.3 and the mesh protocol; the refusing node counts the reason in its metrics',
	},
	IM_TRANSPORT_PLAINTEXT: {
		...refused,
		summary: 'something spoke without TLS to a port that wants it',
		hint: 'every connection between nodes is mutual TLS; check who connects to this port',
	},
	IM_TRANSPORT_PROTOCOL: {
		...refused,
		summary: 'the peer speaks no protocol that this port serves',
		hint: 'agent and consensus ports speak gRPC, the gossip port its exchange; check the address',
	},
	IM_TRANSPORT_CONNECTIONS_MAX: {
		...unavailable,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		summary: 'a port holds as many connections as it may',
		hint: 'raise the bound if the mesh is that large, or look who connects so often',
	},
	IM_TRANSPORT_ADDRESS_TAKEN: {
		...unavailable,
		summary: 'another open connection to this port comes from the same address and port',
		hint: 'two peers behind one NAT that reach this node at two of its addresses may meet so; they connect again, from another port',
	},
	IM_TRANSPORT_CHANNELS_MAX: {
		...unavailable,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		summary: 'this node holds as many channels to others as it may',
		hint: 'all of them are in use: raise the bound if the mesh is that large',
	},
	IM_TRANSPORT_MESSAGE_TOO_LARGE: {
		...refused,
		httpStatus: 413,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		summary: 'a message between nodes is larger than its bound',
		hint: 'the sender is of another version, or forged',
	},
	IM_TRANSPORT_ADDRESS: {
		...refused,
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		summary: 'this is not an address',
		hint: 'the form is host:port; IPv6 hosts in brackets',
	},
	IM_TRANSPORT_CLOSED: {
		...unavailable,
		summary: 'the connection or its owner is closed',
		hint: 'the node is shutting down, or the peer went away; what can be tried again is',
	},
	IM_TRANSPORT_HANDLER: {
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: false,
		summary: 'a node failed to answer a call',
		hint: 'this is a bug of InferMesh; the log of the node that was called has the cause',
	},
	IM_TRANSPORT_QUIC_MISSING: {
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
		summary: 'the configuration asks for QUIC and its library does not load',
		hint: 'install the optional package @infisical/quic with the binary of this platform, or set fabric.transport to tls',
	},
	IM_TRANSPORT_NOT_A_NODE: {
		...refused,
		summary: 'only nodes of the mesh may call this',
		hint: 'the caller has a client certificate; use the admin API',
	},
});

export type TransportErrorCode = keyof typeof transportErrors;
