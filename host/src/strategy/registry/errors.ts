// Owns the errors of loading and staging strategies.
import { defineErrors } from '@infermesh/proto';

export const registryErrors = defineErrors({
	IM_STRATEGY_REFUSED: {
		summary: 'The strategy was not admitted.',
		hint: 'The report says what was refused and where; `infermesh strategy check` prints it without loading.',
		httpStatus: 422,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_STRATEGY_UNKNOWN: {
		summary: 'No loaded strategy has this name.',
		hint: '`infermesh strategy list` shows what is loaded, `infermesh strategies` what ships.',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_STRATEGY_STAGED: {
		summary: 'The strategy is staged and cannot be unloaded.',
		hint: 'Stage another one in its place, or roll back, then unload it.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_STRATEGY_ACTIVE: {
		summary: 'The strategy is active already: it cannot be its own canary or shadow.',
		hint: 'Stage another version of it, or another strategy; `infermesh strategy list` shows what is loaded.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_STRATEGY_NO_PREVIOUS: {
		summary: 'There is nothing to roll back to.',
		hint: 'Only a change of the active strategy can be rolled back; `infermesh strategy stage NAME active` chooses one.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
	},
	IM_STRATEGY_LIMIT: {
		summary: 'Too many strategies are loaded.',
		hint: 'Unload some, or raise `strategy.loaded_max`.',
		httpStatus: 409,
		grpcStatus: 'RESOURCE_EXHAUSTED',
		retryable: false,
	},
	IM_STRATEGY_KIND: {
		summary: 'The strategy is of another kind than this use needs.',
		hint: 'An inference strategy (with `rank`) routes requests; a training strategy (with `plan`) lays out jobs.',
		httpStatus: 422,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
	IM_STRATEGY_PREPARE: {
		summary: 'Not every worker could make the strategy ready; nothing was changed.',
		hint: 'Try again; if it persists the log of the workers says why.',
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
	},
	IM_STRATEGY_LAGGING: {
		summary: 'The change is written, and not every router has carried it out yet.',
		hint: 'They follow as soon as they can; `infermesh nodes list` shows who is reachable.',
		httpStatus: 504,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: false,
	},
	IM_STRATEGY_QUARANTINED: {
		summary: 'The strategy is in quarantine.',
		hint: 'Mend and load a new version, or wait; `infermesh strategy list` shows for how long.',
		httpStatus: 409,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: true,
	},
});
