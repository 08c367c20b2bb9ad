// Owns the description of llama.cpp's server: `/metrics` (with `--metrics`), whose series have no labels, and `/slots`, which tells what the
// metrics no longer do: how many sequences fit and how full their contexts are.

import { countOf, listOf, parseJson, recordOf } from '../json-values.js';
import type { Answer, Companion } from './adapter.js';
import type { Draft } from './draft.js';
import { MappedAdapter } from './mapped-adapter.js';
import { plainRules, type RuntimeMapping } from './mapping.js';

const SLOTS_MAX = 4096;

const mapping: RuntimeMapping = {
	...plainRules,
	runtime: 'llamacpp',
	prefixes: ['llamacpp:', 'llamacpp_'],
	modelsFrom: [],
	gauges: [
		{ signal: 'queueDepth', anyOf: ['requests_deferred'], fold: 'sum', range: 'count', use: 'always' },
		{ signal: 'running', anyOf: ['requests_processing'], fold: 'sum', range: 'count', use: 'always' },
		// Gone since 2025; `/slots` takes its place.
		{ signal: 'kvUsage', anyOf: ['kv_cache_usage_ratio'], fold: 'max', range: 'ratio', use: 'fallback' },
	],
	totals: [
		{ signal: 'promptTokensTotal', anyOf: ['prompt_tokens_total'] },
		{ signal: 'generationTokensTotal', anyOf: ['tokens_predicted_total'] },
	],
	rates: [
		{ signal: 'prefillTokensPerSec', anyOf: [{ plus: [{ name: 'prompt_tokens_total' }] }] },
		{ signal: 'decodeTokensPerSec', anyOf: [{ plus: [{ name: 'tokens_predicted_total' }] }] },
	],
	ratios: [
		{
			signal: 'tpotMsMean',
			scale: 1000,
			anyOf: [{ part: [{ name: 'tokens_predicted_seconds_total' }], whole: [{ name: 'tokens_predicted_total' }] }],
		},
		{
			signal: 'prefixHitRatio',
			anyOf: [
				{
					part: [{ name: 'prompt_tokens_cached_total' }],
					whole: [{ name: 'prompt_tokens_cached_total' }, { name: 'prompt_tokens_total' }],
				},
			],
		},
	],
};

/** `/slots`: one entry a sequence the server can hold. 501 where it is switched off. */
export const slotsCompanion: Companion = {
	periodMs: 0,
	paths: () => ['/slots'],
	read({ status, body }: Answer, draft: Draft): void {
		const slots = status === 200 ? listOf(parseJson(body)) : [];
		if (slots.length === 0 || slots.length > SLOTS_MAX) {
			draft.unread(`maxSequences: /slots answered ${status}${status === 200 ? ' with no list of slots' : ''}`);
			return;
		}
		let busy = 0;
		let used = 0;
		let room = 0;
		for (const entry of slots) {
			const slot = recordOf(entry);
			const processing = slot?.['is_processing'] === true || (countOf(slot?.['state']) ?? 0) > 0;
			busy += processing ? 1 : 0;
			room += countOf(slot?.['n_ctx']) ?? 0;
			if (processing && slot !== undefined) used += contextOf(slot);
		}
		draft.count('maxSequences', slots.length);
		draft.count('running', busy);
		if (room > 0) draft.ratio('kvUsage', Math.min(1, used / room));
	},
};

/** Tokens in a busy slot's context: told outright by older servers, prompt and output apart by newer ones. */
function contextOf(slot: Readonly<Record<string, unknown>>): number {
	const past = countOf(slot['n_past']);
	if (past !== undefined) return Math.max(0, past);
	const next = recordOf(listOf(slot['next_token'])?.[0] ?? slot['next_token']);
	return Math.max(0, (countOf(slot['n_prompt_tokens']) ?? 0) + (countOf(next?.['n_decoded']) ?? 0));
}

export const llamacppAdapter = new MappedAdapter(mapping, [slotsCompanion]);
