// Owns the errors of a simulation: what is asked of it cannot be simulated. What is wrong in a scenario file is the scenario's.
import { defineErrors } from '@infermesh/proto';

export const simulationErrors = defineErrors({
	IM_SIMULATION_BLOCKS: {
		summary: 'KV blocks of an engine neither divide the blocks of the workload nor are made of them.',
		hint: 'Content is known in blocks of the workload only: choose a block size of which it is a multiple, or the other way round.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_SIMULATION_SPEC: {
		summary: 'A number of the simulation is out of its bounds.',
		hint: 'Give the field named a value within them.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_SIMULATION_FLEET: {
		summary: 'The fleet cannot be simulated.',
		hint: 'Give each group of engines an id of its own and a count of at least one.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_SIMULATION_ARMS: {
		summary: 'The assignment and the number of strategies do not agree.',
		hint: 'One arm alone names one of the strategies given; every other assignment needs two.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_SIMULATION_FAULT: {
		summary: 'A fault names a target that is not in the fleet, or lacks what its kind needs.',
		hint: 'Name a target of the fleet, or `*`; slow needs a factor and flapping a period.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_SIMULATION_BROKEN: {
		summary: 'An invariant of the simulation does not hold.',
		hint: 'This is a bug of the simulator: report it with the scenario and its seed.',
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: false,
	},
});
