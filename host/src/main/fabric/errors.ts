// Owns the errors of a node's own part in a mesh.
import { defineErrors } from '@infermesh/proto';

export const fabricNodeErrors = defineErrors({
	IM_FABRIC_NO_IDENTITY: {
		summary: 'This node has no certificate of the mesh and no way to get one.',
		hint: 'Give `fabric.join` and `fabric.join_token` (from `infermesh join-token` on a coordinator), or begin a mesh with `infermesh ca init`.',
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_FABRIC_NO_AUTHORITY: {
		summary: 'The certificate authority cannot be opened here.',
		hint: 'Run this on the node that holds it (`fabric.ca_dir`), with its passphrase if it has one; `infermesh ca init` makes one. With identities from a SPIFFE Workload API there is none, and nodes need no join token.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_FABRIC_MESH_UNREACHABLE: {
		summary: 'None of the nodes to join answers.',
		hint: 'Check `fabric.join` and the network; it is tried for ever.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_FABRIC_SPIFFE_ID: {
		summary: 'The SPIFFE Workload API gives an identity that is none of a node of this mesh.',
		hint: 'Register this node as `spiffe://TRUST-DOMAIN/node/UUID`, with the trust domain of `fabric.trust_domain` and a UUID of its own.',
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_FABRIC_NO_COORDINATOR: {
		summary: 'A mesh cannot begin on a node that is no coordinator.',
		hint: 'Start a node with the role `coordinator` first, and name its agent in `fabric.join`.',
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_FABRIC_ENGINE: {
		summary: 'The mesh to join keeps its state elsewhere than this node is to.',
		hint: 'Give `consensus.engine` and `consensus.endpoints` as the other nodes have them.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_FABRIC_ETCD_TLS: {
		summary: 'The certificate files for etcd cannot be used.',
		hint: 'Check `consensus.ca_file`, `cert_file` and `key_file`: PEM, readable by this user, key and certificate of one pair.',
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_FABRIC_STOPPED: {
		summary: 'The node was stopped before it had found its mesh.',
		hint: 'Start it again when the mesh can be reached.',
		httpStatus: 503,
		grpcStatus: 'CANCELLED',
		retryable: true,
	},
	IM_FABRIC_NODE_ID: {
		summary: 'The node’s UUID and its certificate do not agree.',
		hint: 'Two nodes share one state folder, or it was copied. Give each node its own `state_dir`.',
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
});
