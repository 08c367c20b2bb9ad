// Owns the description of SGLang: names with a colon, and with an underscore as its load endpoint writes them; one
// series per tensor-, pipeline- or expert-parallel rank, which all report the same and are never summed; data-parallel
// ranks (`dp_rank`), which are. With priority scheduling, `priority=""` is the total and the other values break it down.
import { listOf, parseJson, recordOf, textOf } from '../json-values.js';
import { labelOf } from '../prometheus/samples.js';
import type { Answer, Companion, RuntimeAdapter } from './adapter.js';
import type { Draft } from './draft.js';
import { MappedAdapter } from './mapped-adapter.js';
import type { RuntimeMapping } from './mapping.js';
import type { ScrapeView, Selector } from './view.js';

const effective = (mode: string): Selector => ({ name: 'prefill_effective_tokens_total', where: { mode } });
const realtime = (mode: string): Selector => ({ name: 'realtime_tokens_total', where: { mode } });

const mapping: RuntimeMapping = {
	runtime: 'sglang',
	prefixes: ['sglang:', 'sglang_'],
	rankLabels: ['tp_rank', 'pp_rank', 'moe_ep_rank'],
	totalsWhere: { priority: '' },
	modelLabel: 'model_name',
	rankLabel: 'dp_rank',
	modelsFrom: ['num_running_reqs', 'num_queue_reqs'],
	gauges: [
		// With prefill and decode apart, requests also wait in the queues of the transfer; these exist (at 0) everywhere.
		{
			signal: 'queueDepth',
			anyOf: ['num_queue_reqs'],
			plus: [
				['num_prefill_bootstrap_queue_reqs', 'num_prefill_prealloc_queue_reqs'],
				['num_prefill_inflight_queue_reqs'],
				['num_decode_prealloc_queue_reqs'],
				['num_decode_transfer_queue_reqs'],
			],
			fold: 'sum',
			range: 'count',
			use: 'always',
		},
		{ signal: 'running', anyOf: ['num_running_reqs'], fold: 'sum', range: 'count', use: 'always' },
		{ signal: 'kvUsage', anyOf: ['token_usage'], fold: 'max', range: 'ratio', use: 'always' },
		// The ratio of the last prefill batch only: better than nothing where the counters are missing.
		{ signal: 'prefixHitRatio', anyOf: ['cache_hit_rate'], fold: 'max', range: 'ratio', use: 'fallback' },
	],
	totals: [
		{ signal: 'promptTokensTotal', anyOf: ['prompt_tokens_total'] },
		{ signal: 'generationTokensTotal', anyOf: ['generation_tokens_total'] },
	],
	rates: [
		{
			signal: 'prefillTokensPerSec',
			// The request counters move when a request ends, the realtime ones as the work is done.
			anyOf: [
				{ plus: [realtime('prefill_compute')] },
				{ plus: [{ name: 'prompt_tokens_total' }], minus: [{ name: 'cached_tokens_total' }] },
				{ plus: [{ name: 'prompt_tokens_total' }] },
			],
		},
		{
			signal: 'decodeTokensPerSec',
			anyOf: [{ plus: [realtime('decode')] }, { plus: [{ name: 'generation_tokens_total' }] }],
		},
		{ signal: 'preemptionsPerSec', anyOf: [{ plus: [{ name: 'num_retracted_requests_total' }] }] },
	],
	ratios: [
		{
			signal: 'prefixHitRatio',
			anyOf: [
				{
					part: [effective('device_hit'), effective('host_hit'), effective('storage_hit')],
					whole: [effective('device_hit'), effective('host_hit'), effective('storage_hit'), effective('input')],
				},
				{
					part: [realtime('prefill_cache')],
					whole: [realtime('prefill_cache'), realtime('prefill_compute')],
				},
				{ part: [{ name: 'cached_tokens_total' }], whole: [{ name: 'prompt_tokens_total' }] },
			],
		},
	],
	histograms: [
		{ meanMs: 'requestMsMean', unitMs: 1000, anyOf: ['e2e_request_latency_seconds'] },
		{ meanMs: 'queueMsMean', unitMs: 1000, anyOf: ['queue_time_seconds'] },
		// For a request that does not stream this is the time of the whole answer.
		{
			meanMs: 'ttftMsMean',
			p95Ms: 'ttftMsP95',
			unitMs: 1000,
			anyOf: ['time_to_first_token_seconds'],
			not: { is_streaming: 'false' },
		},
		{
			meanMs: 'tpotMsMean',
			p95Ms: 'tpotMsP95',
			unitMs: 1000,
			anyOf: ['inter_token_latency_seconds', 'time_per_output_token_seconds'],
		},
	],
	derivedFrom: [
		'cache_config_info',
		'page_size',
		'num_pages',
		'max_total_num_tokens',
		'kv_available_tokens',
		'kv_evictable_tokens',
	],
	derive: capacity,
};

/** Pages from gauges (new) or an info metric (old); free ones from token counts where there are some, else from the usage. */
function capacity(view: ScrapeView, draft: Draft): void {
	const pages = pagesOf(view);
	if (pages === undefined) return;
	draft.count('kvBlockTokens', pages.tokens);
	draft.count('kvBlocksTotal', pages.count);
	const usage = draft.get('kvUsage');
	if (view.has('kv_available_tokens')) {
		const tokens = total(view, 'kv_available_tokens') + total(view, 'kv_evictable_tokens');
		draft.count('kvBlocksFree', Math.min(pages.count, Math.floor(tokens / pages.tokens)));
	} else if (usage !== undefined) {
		draft.count('kvBlocksFree', Math.round(pages.count * (1 - usage)));
	}
}

function pagesOf(view: ScrapeView): { readonly tokens: number; readonly count: number } | undefined {
	const size = view.series('page_size')[0]?.value;
	if (size !== undefined && size > 0 && view.has('num_pages')) return { tokens: size, count: total(view, 'num_pages') };
	let tokens = 0;
	let count = 0;
	for (const sample of view.series('cache_config_info')) {
		tokens = Number.parseInt(labelOf(sample, 'page_size'), 10);
		count += Number.parseInt(labelOf(sample, 'num_pages'), 10);
	}
	if (tokens > 0 && count > 0) return { tokens, count };
	// A page is one token unless configured otherwise.
	const capacityTokens = total(view, 'max_total_num_tokens');
	return capacityTokens > 0 ? { tokens: 1, count: capacityTokens } : undefined;
}

function total(view: ScrapeView, name: string): number {
	return view.series(name).reduce((sum, sample) => sum + sample.value, 0);
}

const MODELS = '/v1/models';
const NAME_CHARS_MAX = 256;

/**
 * Its metrics name no LoRA adapters. `GET /v1/models` lists those that are registered beside the model, each with the model as its `parent`: they are in the memory
 * of the host, and go to that of the GPU as requests want them.
 */
const models: Companion = {
	periodMs: 10_000,
	aside: true,
	paths: () => [MODELS],
	read({ status, body }: Answer, draft: Draft): void {
		const data = status === 200 ? recordOf(parseJson(body))?.['data'] : undefined;
		if (!Array.isArray(data)) return draft.unread(`loras: ${MODELS} answered ${status} without a list`);
		draft.loras(
			listOf(data).flatMap((entry) => {
				const model = recordOf(entry);
				const adapter = textOf(model?.['parent'], NAME_CHARS_MAX) !== undefined;
				return adapter ? (textOf(model?.['id'], NAME_CHARS_MAX) ?? []) : [];
			}),
		);
	},
};

/** Reads SGLang's `/metrics` (port 30000 by default, with `--enable-metrics`), and which LoRA adapters it has. */
export const sglangAdapter: RuntimeAdapter = new MappedAdapter(mapping, [models]);
