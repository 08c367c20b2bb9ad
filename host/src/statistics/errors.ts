// Owns the errors of the statistics' edges: states that come back from disk. Wrong arguments are bugs of the caller and throw a RangeError.
import { defineErrors } from '@infermesh/proto';

export const statisticsErrors = defineErrors({
	IM_STATISTICS_STATE: {
		summary: 'A saved statistic cannot be resumed: its state is damaged or of another version.',
		hint: 'Restore the record from a backup, or stop the experiment and start it anew: evidence is never guessed.',
		httpStatus: 500,
		grpcStatus: 'DATA_LOSS',
		retryable: false,
	},
});
