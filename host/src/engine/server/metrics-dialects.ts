// Owns the metric names an emulated engine speaks: vLLM's of today, vLLM's of before mid 2025, and SGLang's.
// The same numbers in other clothes, so that an adapter can be tried against each.
import type { EngineCounters } from '../model/engine-counters.js';
import type { EngineDriver } from './engine-driver.js';
import { END_REASONS, type EngineMetrics, engineLoad, LORAS_MAX } from './metrics.js';
import type { MetricsDialect } from './options.js';
import { PrometheusText } from './prometheus-text.js';

export interface MetricsPage {
	readonly dialect: MetricsDialect;
	readonly modelName: string;
	readonly driver: EngineDriver;
	readonly metrics: EngineMetrics;
	/** Unix time the engine started, in seconds. */
	readonly createdSeconds: number;
}

/** The text of `GET /metrics`. */
export function metricsText(page: MetricsPage): string {
	const own = new PrometheusText({ prefix: 'infermesh_engine_', labels: { model_name: page.modelName } });
	own.counter('time_slip_seconds', 'Time by which the emulation has fallen behind the clock.', page.driver.slipSeconds);
	own.counter('steps', 'Steps the engine has run.', page.driver.model.counters.steps);
	return (page.dialect === 'sglang' ? sglang(page) : vllm(page, page.dialect === 'vllm-legacy')) + own.toString();
}

function vllm(page: MetricsPage, legacy: boolean): string {
	const { metrics, driver } = page;
	const { model } = driver;
	const { counters } = model;
	const load = engineLoad(driver);
	const text = new PrometheusText({
		prefix: 'vllm:',
		labels: legacy ? { model_name: page.modelName } : { engine: '0', model_name: page.modelName },
		createdSeconds: page.createdSeconds,
	});
	text.gauge('num_requests_running', 'Number of requests in model execution batches.', load.running);
	text.gauge('num_requests_waiting', 'Number of requests waiting to be processed.', load.waiting);
	if (legacy) legacyGauges(text, load.kvUse);
	else text.gauge('kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', load.kvUse);
	const cache = legacy ? 'gpu_prefix_cache' : 'prefix_cache';
	text.counter(
		`${cache}_queries`,
		'Prefix cache queries, in terms of number of queried tokens.',
		counters.prefixQueryTokens,
	);
	text.counter(`${cache}_hits`, 'Prefix cache hits, in terms of number of cached tokens.', counters.prefixHitTokens);
	if (!legacy) externalCache(text, counters);
	text.counter('num_preemptions', 'Cumulative number of preemption from the engine.', counters.preemptions);
	text.counter('prompt_tokens', 'Number of prefill tokens processed.', counters.promptTokens);
	text.counter('generation_tokens', 'Number of generation tokens processed.', counters.generatedTokens);
	text.counters(
		'request_success',
		'Count of successfully processed requests.',
		END_REASONS.map((reason) => [{ finished_reason: reason }, metrics.endReasons[reason]]),
	);
	text.histogram('request_prompt_tokens', 'Number of prefill tokens processed.', metrics.promptTokens);
	text.histogram('request_generation_tokens', 'Number of generation tokens processed.', metrics.generationTokens);
	text.histogram(
		'time_to_first_token_seconds',
		'Histogram of time to first token in seconds.',
		metrics.timeToFirstToken,
	);
	text.histogram(
		legacy ? 'time_per_output_token_seconds' : 'inter_token_latency_seconds',
		'Histogram of inter-token latency in seconds.',
		metrics.interTokenLatency,
	);
	text.histogram('e2e_request_latency_seconds', 'Histogram of e2e request latency in seconds.', metrics.e2eLatency);
	text.histogram(
		'request_queue_time_seconds',
		'Histogram of time spent in WAITING phase for request.',
		metrics.queueTime,
	);
	text.info('cache_config_info', 'Information of the LLMEngine CacheConfig', {
		block_size: String(model.config.blockTokens),
		enable_prefix_caching: model.config.prefixCaching ? 'True' : 'False',
		...(legacy ? {} : { engine: '0' }),
		num_gpu_blocks: String(model.config.kvBlocks),
	});
	if (metrics.loras.length > 0)
		text.info('lora_requests_info', 'Running stats on lora requests.', {
			...(legacy ? {} : { engine: '0' }),
			max_lora: String(LORAS_MAX),
			running_lora_adapters: metrics.loras.join(','),
			waiting_lora_adapters: '',
		});
	return text.toString();
}

/** vLLM counts look-ups in a second tier apart: only what the device did not have is asked there. */
function externalCache(text: PrometheusText, counters: Readonly<EngineCounters>): void {
	const asked = counters.prefixQueryTokens - counters.prefixHitTokens;
	text.counter('external_prefix_cache_queries', 'External prefix cache queries, in tokens.', asked);
	const hits = counters.hostHitTokens + counters.transferredTokens;
	text.counter('external_prefix_cache_hits', 'External prefix cache hits, in tokens.', hits);
}

function legacyGauges(text: PrometheusText, kvUse: number): void {
	text.gauge('num_requests_swapped', 'Number of requests swapped to CPU.', 0);
	text.gauge('gpu_cache_usage_perc', 'GPU KV-cache usage. 1 means 100 percent usage.', kvUse);
	text.gauge('cpu_cache_usage_perc', 'CPU KV-cache usage. 1 means 100 percent usage.', 0);
}

function sglang(page: MetricsPage): string {
	const { metrics, driver } = page;
	const { model } = driver;
	const { counters, config } = model;
	const load = engineLoad(driver);
	const text = new PrometheusText({
		prefix: 'sglang:',
		labels: { engine_type: 'unified', model_name: page.modelName, pp_rank: '0', tp_rank: '0' },
	});
	const usedTokens = model.kvBlocksUsed * config.blockTokens;
	const hits = counters.prefixHitTokens + counters.hostHitTokens;
	text.gauge('num_running_reqs', 'The number of running requests.', load.running);
	text.gauge('num_queue_reqs', 'The number of requests in the waiting queue.', load.waiting);
	text.gauge('num_used_tokens', 'The number of used tokens.', usedTokens);
	text.gauge('token_usage', 'The token usage.', load.kvUse);
	text.gauge('gen_throughput', 'The generation throughput (token/s).', metrics.throughput(driver.nowUs()));
	text.gauge(
		'cache_hit_rate',
		'The prefix cache hit rate.',
		counters.prefixQueryTokens === 0 ? 0 : hits / counters.prefixQueryTokens,
	);
	text.gauge('num_retracted_reqs', 'The number of retracted requests.', 0);
	text.info('cache_config_info', 'Information of the cache config.', {
		num_pages: String(config.kvBlocks),
		page_size: String(config.blockTokens),
	});
	text.counter('prompt_tokens', 'Number of prefill tokens processed.', counters.promptTokens);
	text.counter('generation_tokens', 'Number of generation tokens processed.', counters.generatedTokens);
	text.counter('num_requests', 'Number of requests processed.', counters.submitted);
	text.counter('num_retracted_requests', 'Number of retracted requests.', counters.preemptions);
	text.histogram(
		'time_to_first_token_seconds',
		'Histogram of time to first token in seconds.',
		metrics.timeToFirstToken,
	);
	text.histogram(
		'inter_token_latency_seconds',
		'Histogram of inter-token latency in seconds.',
		metrics.interTokenLatency,
	);
	text.histogram(
		'e2e_request_latency_seconds',
		'Histogram of End-to-end request latency in seconds',
		metrics.e2eLatency,
	);
	text.histogram('queue_time_seconds', 'Histogram of queueing time in seconds.', metrics.queueTime);
	return text.toString();
}
