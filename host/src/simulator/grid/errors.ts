// Owns the errors of running simulations: options that make no sense, and cells that could not be run.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const gridErrors = defineErrors({
	IM_SIMULATE_OPTION: {
		...refused,
		summary: 'An option of the simulation is not valid.',
		hint: '`infermesh simulate --help` shows options and an example; docs/evaluate.md explains them.',
	},
	IM_SIMULATE_UNTIL: {
		...refused,
		summary: 'A search for capacity needs a condition that more load can only break.',
		hint: "For example --until 'goodput>=99%' or --until 'ttft.mean<5s'.",
	},
	IM_SIMULATE_TOO_LARGE: {
		...refused,
		summary: 'The grid has more cells than the bound.',
		hint: 'Name fewer loads, seeds, faults, variants or strategies.',
	},
	IM_SIMULATE_NO_CAPACITY: {
		...refused,
		summary: 'Loads are shares of a capacity that was not found.',
		hint: 'Change `grid.loads.until`, or give speeds: `grid.loads.of: speed`, `--loads 0.5,1`.',
	},
	IM_SIMULATE_CELL: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		summary: 'A cell of the grid could not be run.',
		hint: 'The message is its own; the other cells were run and stand in the report.',
	},
	IM_SIMULATE_ALL_FAILED: {
		...refused,
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		summary: 'No cell of the grid could be run.',
		hint: 'The message is that of the first; run one cell alone to look into it.',
	},
	IM_SIMULATE_INTERRUPTED: {
		...refused,
		httpStatus: 503,
		grpcStatus: 'CANCELLED',
		retryable: true,
		summary: 'The simulation was stopped before anything was finished.',
		hint: 'Run it again, or with fewer cells.',
	},
});
