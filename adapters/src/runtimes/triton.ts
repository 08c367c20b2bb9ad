// Owns the descriptions of Triton (metrics on port 8002, with or without the TensorRT-LLM backend) and of trtllm-serve, TensorRT-LLM's own server.
// Triton's histograms are off by default: means come from its counters of µs, percentiles from its summaries where they are on.
import { kserveCompanion } from './kserve.js';
import { MappedAdapter } from './mapped-adapter.js';
import { type Metric, plainRules, type RuntimeMapping } from './mapping.js';

const requests = (request_type: string): Metric => ({ name: 'trt_llm_request_metrics', where: { request_type } });
const blocks = (kv_cache_block_type: string): Metric => ({
	name: 'trt_llm_kv_cache_block_metrics',
	where: { kv_cache_block_type },
});

const success = { name: 'inference_request_success' };
const failure = { name: 'inference_request_failure' };

const triton: RuntimeMapping = {
	...plainRules,
	runtime: 'triton',
	prefixes: ['nv_'],
	knownBy: ['nv_inference_', 'nv_trt_llm_'],
	modelLabel: 'model',
	modelsFrom: ['inference_count', 'inference_request_success'],
	gauges: [
		// The backend's own queue comes on top of what waits before it; scheduled requests are those in its batch.
		{
			signal: 'queueDepth',
			anyOf: ['inference_pending_request_count'],
			plus: [[requests('waiting')]],
			fold: 'sum',
			range: 'count',
			use: 'always',
		},
		{ signal: 'queueDepth', anyOf: [requests('waiting')], fold: 'sum', range: 'count', use: 'fallback' },
		{
			signal: 'running',
			anyOf: [requests('scheduled'), requests('active')],
			fold: 'sum',
			range: 'count',
			use: 'optional',
		},
		{ signal: 'maxSequences', anyOf: [requests('max')], fold: 'sum', range: 'count', use: 'optional' },
		{ signal: 'kvUsage', anyOf: [blocks('fraction')], fold: 'max', range: 'ratio', use: 'optional' },
		{ signal: 'kvBlocksTotal', anyOf: [blocks('max')], fold: 'sum', range: 'count', use: 'optional' },
		{ signal: 'kvBlocksFree', anyOf: [blocks('free')], fold: 'sum', range: 'count', use: 'optional' },
		{ signal: 'kvBlockTokens', anyOf: [blocks('tokens_per')], fold: 'max', range: 'count', use: 'optional' },
		{
			signal: 'requestMsP95',
			anyOf: [{ name: 'inference_request_summary_us', where: { quantile: '0.95' } }],
			fold: 'max',
			range: 'count',
			scale: 0.001,
			use: 'fallback',
		},
		{ signal: 'utilization', anyOf: ['cpu_utilization'], fold: 'max', range: 'ratio', use: 'optional' },
	],
	rates: [{ signal: 'requestsPerSec', anyOf: [{ plus: [success, failure] }] }],
	ratios: [
		{ signal: 'errorRatio', anyOf: [{ part: [failure], whole: [failure, success] }] },
		{
			signal: 'requestMsMean',
			scale: 0.001,
			anyOf: [{ part: [{ name: 'inference_request_duration_us' }], whole: [success] }],
		},
		{
			signal: 'queueMsMean',
			scale: 0.001,
			anyOf: [{ part: [{ name: 'inference_queue_duration_us' }], whole: [success] }],
		},
	],
	histograms: [
		{ meanMs: 'ttftMsMean', p95Ms: 'ttftMsP95', unitMs: 1, anyOf: ['inference_first_response_histogram_ms'] },
	],
};

/** Reads Triton's metrics, and its readiness at the target's own URL. */
export const tritonAdapter = new MappedAdapter(triton, [kserveCompanion]);

const served: RuntimeMapping = {
	...plainRules,
	runtime: 'trtllm',
	prefixes: ['trtllm_', 'trtllm:'],
	modelsFrom: ['num_requests_running', 'request_success_total'],
	gauges: [
		{ signal: 'queueDepth', anyOf: ['num_requests_waiting'], fold: 'sum', range: 'count', use: 'always' },
		{ signal: 'running', anyOf: ['num_requests_running'], fold: 'sum', range: 'count', use: 'always' },
		{ signal: 'kvUsage', anyOf: ['kv_cache_utilization'], fold: 'max', range: 'ratio', use: 'always' },
		{ signal: 'kvBlockTokens', anyOf: ['kv_cache_tokens_per_block'], fold: 'max', range: 'count', use: 'optional' },
		{ signal: 'kvBlocksTotal', anyOf: ['kv_cache_max_blocks'], fold: 'sum', range: 'count', use: 'optional' },
		{ signal: 'prefixHitRatio', anyOf: ['kv_cache_hit_rate'], fold: 'max', range: 'ratio', use: 'fallback' },
	],
	rates: [{ signal: 'requestsPerSec', anyOf: [{ plus: [{ name: 'request_success_total' }] }] }],
	histograms: [
		{ meanMs: 'ttftMsMean', p95Ms: 'ttftMsP95', unitMs: 1000, anyOf: ['time_to_first_token_seconds'] },
		{ meanMs: 'tpotMsMean', p95Ms: 'tpotMsP95', unitMs: 1000, anyOf: ['time_per_output_token_seconds'] },
		{ meanMs: 'requestMsMean', p95Ms: 'requestMsP95', unitMs: 1000, anyOf: ['e2e_request_latency_seconds'] },
		{ meanMs: 'queueMsMean', unitMs: 1000, anyOf: ['request_queue_time_seconds'] },
	],
	derive(_view, draft) {
		const total = draft.get('kvBlocksTotal');
		const usage = draft.get('kvUsage');
		if (total !== undefined && usage !== undefined) draft.count('kvBlocksFree', Math.round(total * (1 - usage)));
	},
};

export const trtllmAdapter = new MappedAdapter(served);
