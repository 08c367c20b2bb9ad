// Owns the description of Text Generation Inference (port 80 or 3000, `/metrics`). It exports no first-token time and no use of its cache: the
// duration of its prefill batches stands for the former where clients send no stream, and nothing for the latter.
import { MappedAdapter } from './mapped-adapter.js';
import { plainRules, type RuntimeMapping } from './mapping.js';

const prefill = { method: 'prefill' };

const mapping: RuntimeMapping = {
	...plainRules,
	runtime: 'tgi',
	prefixes: ['tgi_'],
	modelsFrom: [],
	gauges: [
		{ signal: 'queueDepth', anyOf: ['queue_size'], fold: 'sum', range: 'count', use: 'always' },
		{ signal: 'running', anyOf: ['batch_current_size'], fold: 'sum', range: 'count', use: 'always' },
	],
	rates: [
		// Tokens of finished requests; the sums of these histograms count them.
		{ signal: 'prefillTokensPerSec', anyOf: [{ plus: [{ name: 'request_input_length_sum' }] }] },
		{ signal: 'decodeTokensPerSec', anyOf: [{ plus: [{ name: 'request_generated_tokens_sum' }] }] },
		{
			signal: 'requestsPerSec',
			anyOf: [{ plus: [{ name: 'request_count' }] }, { plus: [{ name: 'request_count_total' }] }],
		},
	],
	totals: [
		{ signal: 'promptTokensTotal', anyOf: ['request_input_length_sum'] },
		{ signal: 'generationTokensTotal', anyOf: ['request_generated_tokens_sum'] },
	],
	ratios: [
		{
			signal: 'errorRatio',
			anyOf: [
				{ part: [{ name: 'request_failure' }], whole: [{ name: 'request_count' }] },
				{ part: [{ name: 'request_failure_total' }], whole: [{ name: 'request_count_total' }] },
			],
		},
		{
			signal: 'ttftMsMean',
			scale: 1000,
			anyOf: [
				{
					part: [{ name: 'batch_inference_duration_sum', where: prefill }],
					whole: [{ name: 'batch_inference_duration_count', where: prefill }],
				},
			],
		},
	],
	histograms: [
		{ meanMs: 'requestMsMean', p95Ms: 'requestMsP95', unitMs: 1000, anyOf: ['request_duration'] },
		{ meanMs: 'queueMsMean', unitMs: 1000, anyOf: ['request_queue_duration'] },
		{ meanMs: 'tpotMsMean', p95Ms: 'tpotMsP95', unitMs: 1000, anyOf: ['request_mean_time_per_token_duration'] },
	],
};

export const tgiAdapter = new MappedAdapter(mapping);
