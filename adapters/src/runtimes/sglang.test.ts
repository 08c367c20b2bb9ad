// What the mesh learns from SGLang: ranks that repeat each other, data-parallel ranks that add up, both ways of writing
// its names, and the label sets of its versions.
import test from 'ava';
import { parseMetrics } from '../prometheus/parser.js';
import type { Scrape } from './adapter.js';
import { histogram, type Labels, series } from './bodies.fixture.js';
import { RuntimeReader } from './reader.js';
import { sglangAdapter } from './sglang.js';

function scrape(lines: readonly string[], atMs: number): Scrape {
	return { samples: parseMetrics(`${lines.join('\n')}\n`, sglangAdapter.wanted), atMs };
}

const model = { model_name: 'org/model' };
const bounds = [0.1, 0.2, 0.4, 1];

function rank(tp: number, extra: Labels = {}): Labels {
	return { engine_type: 'unified', ...model, moe_ep_rank: 0, pp_rank: 0, tp_rank: tp, ...extra };
}

function state(labels: Labels, queue: number, running: number, usage: number, prefix = 'sglang:'): string[] {
	return [
		series(`${prefix}num_running_reqs`, labels, running),
		series(`${prefix}num_queue_reqs`, labels, queue),
		series(`${prefix}token_usage`, labels, usage),
		series(`${prefix}gen_throughput`, labels, 1234),
	];
}

test('tensor-parallel ranks are one engine', (t) => {
	const delta = sglangAdapter.read(
		scrape(
			[0, 1, 2, 3].flatMap((tp) => state(rank(tp), 5, 7, 0.5 + tp / 100)),
			10,
		),
	);
	t.is(delta.observedAtMs, 10);
	t.is(delta.queueDepth, 5);
	t.is(delta.running, 7);
	t.is(delta.kvUsage, 0.53);
	t.deepEqual(delta.models, ['org/model']);
	t.deepEqual(delta.unread, []);
});

test('the lowest rank speaks, wherever it stands', (t) => {
	const delta = sglangAdapter.read(
		scrape([...state(rank(10), 90, 90, 0), ...state(rank(9), 80, 80, 0), ...state(rank(2), 3, 4, 0)], 0),
	);
	t.is(delta.queueDepth, 3);
	t.is(delta.running, 4);
});

test('data-parallel ranks add up, each once', (t) => {
	const lines = [0, 1].flatMap((dp) =>
		[0, 1].flatMap((tp) => state(rank(2 * dp + tp, { dp_rank: dp }), 1 + dp, 10, 0.2)),
	);
	const delta = sglangAdapter.read(scrape(lines, 0));
	t.is(delta.queueDepth, 3);
	t.is(delta.running, 20);
});

test('with priorities the total counts, not its parts', (t) => {
	const lines = ['', '1', '5'].flatMap((priority) => state(rank(0, { priority }), priority === '' ? 6 : 3, 2, 0.1));
	const delta = sglangAdapter.read(scrape(lines, 0));
	t.is(delta.queueDepth, 6);
	t.is(delta.running, 2);
});

test('reads names with an underscore', (t) => {
	const lines = state(model, 2, 3, 0.4, 'sglang_');
	t.true(sglangAdapter.detect(lines.join('\n')));
	const delta = sglangAdapter.read(scrape(lines, 0));
	t.is(delta.queueDepth, 2);
	t.is(delta.kvUsage, 0.4);
});

test('of both ways of writing the colon counts, once', (t) => {
	const delta = sglangAdapter.read(scrape([...state(model, 9, 9, 0.9, 'sglang_'), ...state(model, 2, 3, 0.4)], 0));
	t.is(delta.queueDepth, 2);
	t.is(delta.kvUsage, 0.4);
});

test('requests in the queues of a transfer wait too, under the new name or the old', (t) => {
	const transfer = [
		series('sglang:num_prefill_inflight_queue_reqs', model, 2),
		series('sglang:num_decode_prealloc_queue_reqs', model, 3),
		series('sglang:num_decode_transfer_queue_reqs', model, 4),
	];
	for (const bootstrap of ['num_prefill_bootstrap_queue_reqs', 'num_prefill_prealloc_queue_reqs']) {
		const lines = [...state(model, 10, 0, 0), ...transfer, series(`sglang:${bootstrap}`, model, 1)];
		t.is(sglangAdapter.read(scrape(lines, 0)).queueDepth, 20);
	}
});

test('capacity comes from page gauges, an info metric or the token total', (t) => {
	const usage = state(rank(0), 0, 0, 0.25);
	const gauges = [0, 1].flatMap((tp) => [
		series('sglang:page_size', rank(tp), 64),
		series('sglang:num_pages', rank(tp), 100),
	]);
	const info = [0, 1].map((tp) =>
		series('sglang:cache_config_info', { ...rank(tp), page_size: 64, num_pages: 100 }, 1),
	);
	for (const lines of [gauges, info]) {
		const delta = sglangAdapter.read(scrape([...usage, ...lines], 0));
		t.is(delta.kvBlockTokens, 64);
		t.is(delta.kvBlocksTotal, 100);
		t.is(delta.kvBlocksFree, 75);
	}
	const tokens = sglangAdapter.read(scrape([...usage, series('sglang:max_total_num_tokens', rank(0), 8000)], 0));
	t.is(tokens.kvBlockTokens, 1);
	t.is(tokens.kvBlocksTotal, 8000);
	t.is(sglangAdapter.read(scrape(usage, 0)).kvBlocksTotal, undefined);
});

test('free pages count what can be evicted', (t) => {
	const lines = [
		...state(rank(0), 0, 0, 0.9),
		series('sglang:page_size', rank(0), 16),
		series('sglang:num_pages', rank(0), 100),
		series('sglang:kv_available_tokens', rank(0), 160),
		series('sglang:kv_evictable_tokens', rank(0), 330),
	];
	t.is(sglangAdapter.read(scrape(lines, 0)).kvBlocksFree, 30);
});

function counters(scale: number): string[] {
	const mode = (name: string, labels: Labels, value: string, tokens: number): string =>
		series(`sglang:${name}`, { ...labels, mode: value }, tokens * scale);
	const lines: string[] = [];
	for (const labels of [rank(0), rank(1)]) {
		lines.push(
			...state(labels, 0, 0, 0),
			mode('realtime_tokens_total', labels, 'prefill_compute', 300),
			mode('realtime_tokens_total', labels, 'prefill_cache', 100),
			mode('realtime_tokens_total', labels, 'decode', 50),
			series('sglang:num_retracted_requests_total', labels, 4 * scale),
		);
	}
	return lines;
}

test('rates come from one rank of the work done', (t) => {
	const delta = sglangAdapter.read(scrape(counters(3), 3000), scrape(counters(1), 1000));
	t.is(delta.prefillTokensPerSec, 300);
	t.is(delta.decodeTokensPerSec, 50);
	t.is(delta.prefixHitRatio, 0.25);
	t.is(delta.preemptionsPerSec, 4);
	t.false(delta.restarted);
});

test('older builds give rates by the counters of finished requests', (t) => {
	const body = (scale: number): string[] => [
		...state(model, 0, 0, 0),
		series('sglang:prompt_tokens_total', { ...model, is_streaming: 'true' }, 100 * scale),
		series('sglang:prompt_tokens_total', { ...model, is_streaming: 'false' }, 300 * scale),
		series('sglang:generation_tokens_total', model, 40 * scale),
		series('sglang:cached_tokens_total', { ...model, cache_source: 'device' }, 80 * scale),
		series('sglang:cached_tokens_total', { ...model, cache_source: 'host' }, 20 * scale),
		series('sglang:cache_hit_rate', model, 0.9),
	];
	const delta = sglangAdapter.read(scrape(body(2), 2000), scrape(body(1), 1000));
	t.is(delta.promptTokensTotal, 800);
	t.is(delta.prefillTokensPerSec, 300);
	t.is(delta.decodeTokensPerSec, 40);
	t.is(delta.prefixHitRatio, 0.25);
});

test("without counters the hit ratio is the last batch's", (t) => {
	const delta = sglangAdapter.read(scrape([...state(model, 0, 0, 0), series('sglang:cache_hit_rate', model, 0.6)], 0));
	t.is(delta.prefixHitRatio, 0.6);
});

test('time to first token is that of streamed answers', (t) => {
	const body = (streamed: readonly number[], whole: readonly number[]): string[] => [
		...state(model, 0, 0, 0),
		histogram('sglang:time_to_first_token_seconds', { ...model, is_streaming: 'true' }, bounds, streamed),
		histogram('sglang:time_to_first_token_seconds', { ...model, is_streaming: 'false' }, bounds, whole),
		histogram('sglang:time_per_output_token_seconds', model, bounds, streamed),
	];
	const delta = sglangAdapter.read(scrape(body([0.15, 0.15], [0.9]), 2000), scrape(body([], []), 1000));
	t.true(Math.abs((delta.ttftMsMean ?? 0) - 150) < 1e-6);
	t.true(Math.abs((delta.ttftMsP95 ?? 0) - 195) < 1e-6);
	t.true(Math.abs((delta.tpotMsMean ?? 0) - 150) < 1e-6);
});

test('a counter that first appears began at zero', (t) => {
	const before = state(model, 0, 0, 0);
	const after = [...before, series('sglang:generation_tokens_total', model, 70)];
	t.is(sglangAdapter.read(scrape(after, 2000), scrape(before, 1000)).decodeTokensPerSec, 70);
});

test('says what is missing', (t) => {
	const delta = sglangAdapter.read(scrape(['sglang:num_queue_reqs 3'], 0));
	t.is(delta.queueDepth, 3);
	t.deepEqual(delta.unread, ['running: none of num_running_reqs', 'kvUsage: none of token_usage']);
});

test('LoRA adapters are those that the list of models gives a parent', (t) => {
	const reader = new RuntimeReader({ runtime: 'sglang' });
	const body = `${state(rank(0), 1, 2, 0.5).join('\n')}\n`;
	t.deepEqual(reader.due(0), ['/v1/models']);
	t.is(reader.accept(body, 0).loras, undefined, 'not known yet');
	const list = [
		{ id: 'org/model', root: 'org/model', object: 'model' },
		{ id: 'sql', root: '/adapters/sql', parent: 'org/model' },
		{ id: 'law', root: '/adapters/law', parent: 'org/model' },
		{ id: 7, parent: 'org/model' },
		'noise',
	];
	reader.answer({ path: '/v1/models', status: 200, body: JSON.stringify({ object: 'list', data: list }) }, 10);
	t.deepEqual(reader.accept(body, 20).loras, ['sql', 'law']);
	t.deepEqual(reader.due(20), []);
	t.deepEqual(reader.due(10_000), ['/v1/models']);
	reader.answer({ path: '/v1/models', status: 200, body: '{"data":[{"id":"org/model"}]}' }, 10_000);
	t.deepEqual(reader.accept(body, 10_010).loras, []);
	t.is(reader.accept(body, 50_000).loras, undefined, 'what was told long ago is not known');
});

test('a list of models that is none is told, and a list alone is no look', (t) => {
	const reader = new RuntimeReader({ runtime: 'sglang' });
	reader.due(0);
	reader.answer({ path: '/v1/models', status: 200, body: '{"data":[{"id":"a","parent":"m"}]}' }, 10);
	t.is(reader.readCompanions(20), undefined);
	reader.due(10_000);
	reader.answer({ path: '/v1/models', status: 401, body: 'no' }, 10_000);
	const delta = reader.accept(`${state(rank(0), 1, 2, 0.5).join('\n')}\n`, 10_010);
	t.deepEqual(
		[delta.queueDepth, delta.loras, delta.unread],
		[1, undefined, ['loras: /v1/models answered 401 without a list']],
	);
});
