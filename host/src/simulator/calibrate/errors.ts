// Owns the errors of fitting a latency to measurements.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;

export const calibrateErrors = defineErrors({
	IM_CALIBRATE_INPUT: {
		...refused,
		summary: 'Measurements cannot be read.',
		hint: 'CSV with a header or JSONL: input_tokens, cached_tokens, ttft_ms for prefills; context_tokens, batch, itl_ms for decodes.',
	},
	IM_CALIBRATE_NO_FEATURES: {
		...refused,
		summary: 'The file has distributions only, not what each request took.',
		hint: 'A latency is fitted to single requests: `infermesh bench --concurrency N --rows FILE` writes them.',
	},
	IM_CALIBRATE_TOO_FEW: {
		...refused,
		summary: 'There are too few measurements for a fit.',
		hint: 'Measure prompts of several lengths alone, and decodes at several batch sizes and contexts.',
	},
});
