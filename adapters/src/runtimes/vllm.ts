// Owns the description of vLLM: V1 names, those of V0 and of the releases between, several data-parallel engines in one
// body (label `engine`). `*_created` gauges are in no list and so are never read.
import { labelOf } from '../prometheus/samples.js';
import type { RuntimeAdapter } from './adapter.js';
import type { Draft } from './draft.js';
import { MappedAdapter } from './mapped-adapter.js';
import type { RuntimeMapping } from './mapping.js';
import type { ScrapeView } from './view.js';

const usageNames = ['kv_cache_usage_perc', 'gpu_cache_usage_perc'];

const mapping: RuntimeMapping = {
	runtime: 'vllm',
	prefixes: ['vllm:'],
	rankLabels: [],
	totalsWhere: {},
	modelLabel: 'model_name',
	rankLabel: 'engine',
	modelsFrom: ['num_requests_running', 'num_requests_waiting'],
	gauges: [
		// Requests V0 swapped out wait for room as well.
		{
			signal: 'queueDepth',
			anyOf: ['num_requests_waiting'],
			plus: [['num_requests_swapped']],
			fold: 'sum',
			range: 'count',
			use: 'always',
		},
		{ signal: 'running', anyOf: ['num_requests_running'], fold: 'sum', range: 'count', use: 'always' },
		// A ratio in spite of the name. Some releases export both names.
		{ signal: 'kvUsage', anyOf: usageNames, fold: 'max', range: 'ratio', use: 'always' },
		{ signal: 'prefixHitRatio', anyOf: ['gpu_prefix_cache_hit_rate'], fold: 'max', range: 'ratio', use: 'fallback' },
	],
	totals: [
		{ signal: 'promptTokensTotal', anyOf: ['prompt_tokens_total'] },
		{ signal: 'generationTokensTotal', anyOf: ['generation_tokens_total'] },
	],
	rates: [
		{
			signal: 'prefillTokensPerSec',
			anyOf: [
				{ plus: [{ name: 'prompt_tokens_by_source_total', where: { source: 'local_compute' } }] },
				{ plus: [{ name: 'prompt_tokens_total' }], minus: [{ name: 'prompt_tokens_cached_total' }] },
				// In V1 hits are tokens. The gpu_ names counted blocks for a while and are no help here.
				{ plus: [{ name: 'prompt_tokens_total' }], minus: [{ name: 'prefix_cache_hits_total' }] },
				{ plus: [{ name: 'prompt_tokens_total' }] },
			],
		},
		{ signal: 'decodeTokensPerSec', anyOf: [{ plus: [{ name: 'generation_tokens_total' }] }] },
		{ signal: 'preemptionsPerSec', anyOf: [{ plus: [{ name: 'num_preemptions_total' }] }] },
	],
	ratios: [
		{
			signal: 'prefixHitRatio',
			anyOf: [
				{ part: [{ name: 'prefix_cache_hits_total' }], whole: [{ name: 'prefix_cache_queries_total' }] },
				{ part: [{ name: 'gpu_prefix_cache_hits_total' }], whole: [{ name: 'gpu_prefix_cache_queries_total' }] },
			],
		},
		{
			signal: 'errorRatio',
			anyOf: [
				{
					part: [{ name: 'request_success_total', where: { finished_reason: 'error' } }],
					whole: [{ name: 'request_success_total' }],
				},
			],
		},
	],
	histograms: [
		{ meanMs: 'requestMsMean', unitMs: 1000, anyOf: ['e2e_request_latency_seconds'] },
		{ meanMs: 'queueMsMean', unitMs: 1000, anyOf: ['request_queue_time_seconds'] },
		{ meanMs: 'ttftMsMean', p95Ms: 'ttftMsP95', unitMs: 1000, anyOf: ['time_to_first_token_seconds'] },
		{
			meanMs: 'tpotMsMean',
			p95Ms: 'tpotMsP95',
			unitMs: 1000,
			anyOf: ['inter_token_latency_seconds', 'time_per_output_token_seconds'],
		},
	],
	derivedFrom: ['cache_config_info', 'engine_sleep_state', 'lora_requests_info'],
	derive(view, draft) {
		capacity(view, draft);
		sleep(view, draft);
		loras(view, draft);
	},
};

/** Blocks from the cache configuration, one series an engine; free ones from each engine's own usage. */
function capacity(view: ScrapeView, draft: Draft): void {
	const usage = view.firstOf(usageNames);
	const used = new Map(
		usage === undefined ? [] : view.series(usage).map((sample) => [labelOf(sample, 'engine'), sample.value]),
	);
	let total = 0;
	let free = 0;
	for (const sample of view.series('cache_config_info')) {
		const blocks = Number.parseInt(labelOf(sample, 'num_gpu_blocks'), 10);
		// Reads "None" until the engine has measured its memory.
		if (!(blocks >= 0)) {
			draft.unread('kvBlocksTotal: cache_config_info has no num_gpu_blocks');
			return;
		}
		const blockTokens = Number.parseInt(labelOf(sample, 'block_size'), 10);
		if (blockTokens > 0) draft.count('kvBlockTokens', blockTokens);
		total += blocks;
		free += blocks * (1 - (used.get(labelOf(sample, 'engine')) ?? draft.get('kvUsage') ?? Number.NaN));
	}
	if (total === 0) return;
	draft.count('kvBlocksTotal', total);
	if (!Number.isNaN(free)) draft.count('kvBlocksFree', Math.max(0, Math.round(free)));
}

/** One engine asleep is enough: a request may be given to it. */
function sleep(view: ScrapeView, draft: Draft): void {
	const awake = view.select({ name: 'engine_sleep_state', where: { sleep_state: 'awake' } });
	if (awake.length > 0) draft.sleeping(awake.some((sample) => sample.value === 0));
}

/** The value is the time of the change, so of an engine's series the newest holds. */
function loras(view: ScrapeView, draft: Draft): void {
	const newest = new Map<string, { readonly atSeconds: number; readonly names: readonly string[] }>();
	for (const sample of view.series('lora_requests_info')) {
		const engine = labelOf(sample, 'engine');
		if (sample.value < (newest.get(engine)?.atSeconds ?? Number.NEGATIVE_INFINITY)) continue;
		const lists = `${labelOf(sample, 'running_lora_adapters')},${labelOf(sample, 'waiting_lora_adapters')}`;
		newest.set(engine, { atSeconds: sample.value, names: lists.split(',').map((name) => name.trim()) });
	}
	if (newest.size > 0) draft.loras([...newest.values()].flatMap((entry) => entry.names));
}

/** Reads vLLM's `/metrics` (port 8000 by default). */
export const vllmAdapter: RuntimeAdapter = new MappedAdapter(mapping);
