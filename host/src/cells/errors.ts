// Owns the errors of cells and of what they tell each other.
import { defineErrors } from '@infermesh/proto';

export const cellErrors = defineErrors({
	IM_CELL_NAME_TAKEN: {
		summary: 'Two cells have one name.',
		hint: 'Give each its own `fabric.cell`; the message names both clusters. The one heard of first stays.',
		httpStatus: 409,
		grpcStatus: 'ALREADY_EXISTS',
		retryable: false,
	},
	IM_CELL_OTHER_NODE: {
		summary: 'A summary is not of the node that brings it, or not of the cell that node speaks for.',
		hint: 'The message names both. Whoever brings it poses as a gateway: look at what runs there.',
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
	},
	IM_CELL_SUMMARY: {
		summary: 'A cell’s summary is malformed or larger than it may be.',
		hint: 'The message names the field; the gateway that sent it runs other software.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_CELL_FULL: {
		summary: 'There are more cells than a node keeps summaries of.',
		hint: 'The message names the bound; this one is not shown and not routed to.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_CELL_ROWS: {
		summary: 'Other cells serve more models than this one keeps rows for.',
		hint: 'Rows of other cells take a quarter of `fleet.targets_max` and of `fleet.models_max`; the rest is not routed to.',
		httpStatus: 507,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_CELL_NOT_GATEWAY: {
		summary: 'The node asked is no gateway of its cell.',
		hint: 'Name gateways (`fabric.gateway: true`) in `fabric.wan_join`.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
});
