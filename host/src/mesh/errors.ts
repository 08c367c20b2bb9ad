// Owns the errors of nodes and of what is decided about them.
import { defineErrors } from '@infermesh/proto';

export const meshErrors = defineErrors({
	IM_NODE_UNKNOWN: {
		summary: 'No node of the mesh has this name or id.',
		hint: '`infermesh nodes list` shows them.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_NODE_NAME_TAKEN: {
		summary: 'Another node of the mesh has this name.',
		hint: 'Give each node its own `node.id`; if the other one is gone for good, `infermesh nodes remove` it.',
		httpStatus: 409,
		grpcStatus: 'ALREADY_EXISTS',
		retryable: false,
	},
	IM_NODE_STATE: {
		summary: 'The node is not in a state from which this is possible.',
		hint: 'The message names both states; `infermesh nodes list` shows them.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_NODE_ROLE: {
		summary: 'This node does not run what was asked of it.',
		hint: 'Ask a node with the role: `infermesh nodes list` shows the roles of all.',
		httpStatus: 404,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_NODE_LEVEL: {
		summary: 'This node’s version is too far from the mesh’s for both to understand each other.',
		hint: 'Upgrade one version at a time, all nodes before the next; docs/compatibility.md has the rule.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_NODE_REMOVED: {
		summary: 'The node was removed from the mesh.',
		hint: 'Empty its state folder and let it join anew with a token: it gets another UUID.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_NODE_REMOVAL_PENDING: {
		summary: 'The node is removed and still in the group of coordinators.',
		hint: 'The leader takes it out as soon as that endangers no quorum; `infermesh raft status` shows the members.',
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: true,
	},
	IM_NODE_STREAMS_MAX: {
		summary: 'As many streams are open as this node serves, to this caller or in all.',
		hint: 'Close some, or ask another node: all of them tell the same events.',
		httpStatus: 429,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: true,
	},
	IM_NODE_QUORUM: {
		summary: 'Without this node the coordinators would have no quorum left.',
		hint: 'Bring other coordinators back first, or add some.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: true,
	},
	IM_NODE_DRAIN_TIMEOUT: {
		summary: 'The drain has not ended in time; it goes on.',
		hint: 'Wait longer with `--timeout`, or stop it with `infermesh nodes uncordon`.',
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: true,
	},
});
