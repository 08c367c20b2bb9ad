// Owns the errors of experiments on a running mesh.
import { defineErrors } from '@infermesh/proto';

export const experimentErrors = defineErrors({
	IM_EXPERIMENT_UNKNOWN: {
		summary: 'There is no experiment of this id.',
		hint: '`infermesh experiment list` shows them.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_EXPERIMENT_MODEL: {
		summary: 'The experiment needs a model that this mesh serves.',
		hint: 'Name one with `--model`; `infermesh status` lists them.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_EXPERIMENT_KIND: {
		summary: 'Matched cells are meshes of their own: no single mesh can compare them.',
		hint: 'Start it over all of them: `infermesh experiment matched start`; or run a switchback on this one.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_EXPERIMENT_CELLS: {
		summary: 'These cells cannot be paired.',
		hint: 'Name an even number of cells, and as many pairs as are asked for, each by `--cell NAME=ADMIN-URL`.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_EXPERIMENT_CELLS_SHARED: {
		summary:
			'Cells that are to be compared share nodes, engines or requests: what one strategy does would reach the other.',
		hint: 'Compare meshes with fleets of their own, set `fabric.cells.route: false` in all that are linked and name each as its `fabric.cell`; or run a switchback.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_CELLS_DIFFER: {
		summary: 'What cells report is not one comparison.',
		hint: 'Name all cells of the comparison, each by the name it was started with, and load the same modules in all of them.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_LEVEL: {
		summary:
			'A split by session or tenant, and matched cells, are judged block by block in ways that nodes of the mesh’s level do not know: one that took over would judge them wrongly.',
		hint: 'Finish the upgrade of all nodes (`infermesh status` shows the level), or run a canary by request.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_MODEL_BUSY: {
		summary: 'Another experiment runs on this model.',
		hint: 'Wait for its end, or stop it: `infermesh experiment stop ID`.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_STAGING: {
		summary:
			'An experiment runs on this model, or on one of those that staging for the whole mesh would touch: staging by hand would spoil it.',
		hint: 'Stop it first (`infermesh experiment stop ID`); `strategy rollback --force` and `strategy stage NAME loaded --force` stop it and take back.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_FORCE: {
		summary: 'Force only takes back: it gives no strategy traffic while an experiment runs.',
		hint: 'Stop the experiment first: `infermesh experiment stop ID`; then stage without force.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_EXPERIMENT_OVERTAKEN: {
		summary: 'Another node runs this experiment now.',
		hint: 'Nothing is to be done: the other node goes on where this one stopped.',
		httpStatus: 409,
		grpcStatus: 'ABORTED',
		retryable: true,
	},
	IM_EXPERIMENT_ENDED: {
		summary: 'The experiment has ended.',
		hint: '`infermesh experiment report ID` says how.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_EXPERIMENT_KEPT: {
		summary: 'What a lone node has kept of its experiments is damaged; it starts without.',
		hint: 'Where the message says so the file is kept aside: start the experiment anew. Without what guardrails had building up it goes on, and they begin anew.',
		httpStatus: 500,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
	},
	IM_EXPERIMENT_KEPT_WRITE: {
		summary: 'A lone node cannot keep its experiments on disk: a restart would lose what they have found.',
		hint: 'Make room, or let the node write to `experiments` in its `state_dir`.',
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: true,
	},
	IM_EXPERIMENT_LIMIT: {
		summary: 'As many experiments run as the mesh runs at once.',
		hint: 'Wait for the end of one, or stop one: `infermesh experiment list` shows them.',
		httpStatus: 409,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
});
