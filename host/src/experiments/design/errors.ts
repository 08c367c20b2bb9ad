// Owns the errors of designing experiments and of resuming what they have gathered.
import { defineErrors, MeshError } from '@infermesh/proto';

export const designErrors = defineErrors({
	IM_EXPERIMENT_DESIGN: {
		summary: 'The design of an experiment has a value out of its range, or values that contradict each other.',
		hint: 'The message names the value and its range; see "Designs" in docs/evaluate.md.',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_EXPERIMENT_STATE: {
		summary: 'What an experiment has gathered cannot be resumed: its state is damaged or of another design.',
		hint: 'Stop the experiment and start it anew: evidence is never guessed.',
		httpStatus: 500,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
	},
});

export function designError(where: string, message: string): MeshError {
	return new MeshError(designErrors, 'IM_EXPERIMENT_DESIGN', `${where}: ${message}`);
}

export function stateError(why: string, cause?: unknown): MeshError {
	return new MeshError(designErrors, 'IM_EXPERIMENT_STATE', `an experiment cannot be resumed: ${why}`, { cause });
}
