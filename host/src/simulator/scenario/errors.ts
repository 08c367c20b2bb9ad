// Owns the errors of simulation scenarios: files that cannot be read or are not valid.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const simulationScenarioErrors = defineErrors({
	IM_SIMULATION_SCENARIO_NOT_FOUND: {
		...refused,
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		summary: 'There is no such scenario.',
		hint: 'Name a YAML file, or one of the scenarios that ship; `infermesh simulate --list` shows them.',
	},
	IM_SIMULATION_SCENARIO_SYNTAX: {
		...refused,
		summary: 'The scenario is not valid YAML.',
		hint: 'Mend the line named; indentation is by spaces.',
	},
	IM_SIMULATION_SCENARIO_INVALID: {
		...refused,
		summary: 'The scenario is not valid.',
		hint: 'docs/scenario.md lists every key with its default and bounds.',
	},
});
