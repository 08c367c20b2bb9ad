// What the mesh learns from vLLM: V1 and older names, one engine and several, one scrape and two.
import test from 'ava';
import { parseMetrics } from '../prometheus/parser.js';
import type { Scrape } from './adapter.js';
import { histogram, series, tpotBounds, ttftBounds, vllmBody } from './bodies.fixture.js';
import { vllmAdapter } from './vllm.js';

function scrape(body: string, atMs: number): Scrape {
	return { samples: parseMetrics(body, vllmAdapter.wanted), atMs };
}

function near(
	t: { true(value: boolean, message?: string): unknown },
	value: number | undefined,
	expected: number,
): void {
	t.true(value !== undefined && Math.abs(value - expected) < 1e-6, `${value} is not ${expected}`);
}

test('one scrape of one engine gives its state and no rates', (t) => {
	const body = vllmBody([
		{ waiting: 3, running: 8, usage: 0.25, promptTokens: 900, generationTokens: 70, ttftSeconds: [0.1] },
	]);
	t.deepEqual(vllmAdapter.read(scrape(body, 5000)), {
		observedAtMs: 5000,
		runtime: 'vllm',
		queueDepth: 3,
		running: 8,
		kvUsage: 0.25,
		kvBlocksTotal: 1000,
		kvBlockTokens: 16,
		kvBlocksFree: 750,
		promptTokensTotal: 900,
		generationTokensTotal: 70,
		models: ['org/model'],
		unread: [],
	});
});

test('two scrapes give rates and ratios over the interval', (t) => {
	const before = vllmBody([
		{
			waiting: 0,
			running: 1,
			usage: 0,
			promptTokens: 1000,
			cachedTokens: 400,
			generationTokens: 500,
			preemptions: 2,
			finished: { stop: 10, error: 1, abort: 0 },
		},
	]);
	const after = vllmBody([
		{
			waiting: 0,
			running: 1,
			usage: 0,
			promptTokens: 3000,
			cachedTokens: 900,
			generationTokens: 800,
			preemptions: 3,
			finished: { stop: 16, error: 3, abort: 2 },
		},
	]);
	const delta = vllmAdapter.read(scrape(after, 3000), scrape(before, 1000));
	t.is(delta.intervalMs, 2000);
	t.false(delta.restarted);
	t.is(delta.prefillTokensPerSec, (2000 - 500) / 2);
	t.is(delta.decodeTokensPerSec, 150);
	t.is(delta.preemptionsPerSec, 0.5);
	t.is(delta.prefixHitRatio, 0.25);
	t.is(delta.errorRatio, 0.2);
	t.is(delta.ttftMsMean, undefined);
	t.deepEqual(delta.unread, []);
});

test('an idle interval has rates of zero and no ratios', (t) => {
	const body = vllmBody([
		{ waiting: 0, running: 0, usage: 0, promptTokens: 10, cachedTokens: 5, finished: { stop: 1, error: 0 } },
	]);
	const delta = vllmAdapter.read(scrape(body, 2000), scrape(body, 1000));
	t.is(delta.prefillTokensPerSec, 0);
	t.is(delta.decodeTokensPerSec, 0);
	t.is(delta.prefixHitRatio, undefined);
	t.is(delta.errorRatio, undefined);
	t.deepEqual(delta.unread, []);
});

test('latencies are those of the interval, interpolated in the buckets', (t) => {
	const old = { waiting: 0, running: 0, usage: 0, ttftSeconds: [5, 5, 5], tpotSeconds: [0.9] };
	const fresh = [...Array.from({ length: 9 }, () => 0.03), 0.07];
	const now = { ...old, ttftSeconds: [...old.ttftSeconds, ...fresh], tpotSeconds: [...old.tpotSeconds, 0.02, 0.04] };
	const delta = vllmAdapter.read(scrape(vllmBody([now]), 2000), scrape(vllmBody([old]), 1000));
	near(t, delta.ttftMsMean, 34);
	// Rank 9.5 of 10 lies in the middle of the bucket 60 to 80 ms, which holds the tenth.
	near(t, delta.ttftMsP95, 70);
	near(t, delta.tpotMsMean, 30);
	// Rank 1.9 of 2 lies nine tenths into the bucket 25 to 50 ms.
	near(t, delta.tpotMsP95, 47.5);
});

test('a percentile beyond the last finite bucket is that bound', (t) => {
	const before = vllmBody([{ waiting: 0, running: 0, usage: 0 }]);
	const after = vllmBody([{ waiting: 0, running: 0, usage: 0, ttftSeconds: [60, 70] }]);
	const delta = vllmAdapter.read(scrape(after, 2000), scrape(before, 1000));
	t.is(delta.ttftMsP95, 10_000);
	near(t, delta.ttftMsMean, 65_000);
});

test('several engines: queues add up, the fullest cache speaks, free blocks are counted engine by engine', (t) => {
	const body = vllmBody([
		{ waiting: 1, running: 4, usage: 0.5, blocks: 1000 },
		{ waiting: 6, running: 2, usage: 0.9, blocks: 2000 },
	]);
	const delta = vllmAdapter.read(scrape(body, 0));
	t.is(delta.queueDepth, 7);
	t.is(delta.running, 6);
	t.is(delta.kvUsage, 0.9);
	t.is(delta.kvBlocksTotal, 3000);
	t.is(delta.kvBlocksFree, 700);
	t.deepEqual(delta.models, ['org/model']);
});

test('latencies of several engines make one distribution', (t) => {
	const idle = { waiting: 0, running: 0, usage: 0 };
	const before = vllmBody([idle, idle]);
	const after = vllmBody([
		{ ...idle, ttftSeconds: Array.from({ length: 19 }, () => 0.015) },
		{ ...idle, ttftSeconds: [0.2] },
	]);
	const delta = vllmAdapter.read(scrape(after, 2000), scrape(before, 1000));
	near(t, delta.ttftMsMean, (19 * 15 + 200) / 20);
	near(t, delta.ttftMsP95, 20);
});

test('an engine that joins or leaves is no traffic of the others', (t) => {
	const engine = { waiting: 0, running: 1, usage: 0, generationTokens: 5000 };
	const one = vllmBody([engine]);
	const two = vllmBody([engine, { ...engine, generationTokens: 40 }]);
	t.is(vllmAdapter.read(scrape(two, 2000), scrape(one, 1000)).decodeTokensPerSec, 40);
	const left = vllmAdapter.read(scrape(one, 2000), scrape(two, 1000));
	t.is(left.decodeTokensPerSec, 0);
	t.false(left.restarted);
});

test('counters that fell began anew', (t) => {
	const engine = { waiting: 0, running: 0, usage: 0 };
	const before = vllmBody([{ ...engine, generationTokens: 900, ttftSeconds: [0.3, 0.3, 0.3] }]);
	const after = vllmBody([{ ...engine, generationTokens: 50, ttftSeconds: [0.015] }]);
	const delta = vllmAdapter.read(scrape(after, 2000), scrape(before, 1000));
	t.true(delta.restarted);
	t.is(delta.decodeTokensPerSec, 50);
	near(t, delta.ttftMsMean, 15);
});

test('one counter that fell is enough, and the others count on', (t) => {
	const engine = { waiting: 0, running: 0, usage: 0, promptTokens: 700 };
	const before = vllmBody([{ ...engine, generationTokens: 900 }]);
	const after = vllmBody([{ ...engine, generationTokens: 50 }]);
	const delta = vllmAdapter.read(scrape(after, 2000), scrape(before, 1000));
	t.true(delta.restarted);
	t.is(delta.decodeTokensPerSec, 50);
	t.is(delta.prefillTokensPerSec, 0);
});

test('a new process is known by its start even when its counters have overtaken the old ones', (t) => {
	const engine = { waiting: 0, running: 0, usage: 0 };
	const before = vllmBody([{ ...engine, generationTokens: 30, ttftSeconds: [1] }], [], 1000);
	const after = vllmBody([{ ...engine, generationTokens: 70, ttftSeconds: [0.015, 0.015] }], [], 2000);
	const delta = vllmAdapter.read(scrape(after, 2000), scrape(before, 1000));
	t.true(delta.restarted);
	t.is(delta.decodeTokensPerSec, 70);
	near(t, delta.ttftMsMean, 15);
});

test('a scrape that is not older, or holds nothing of vLLM, gives no rates', (t) => {
	const body = vllmBody([{ waiting: 0, running: 0, usage: 0, generationTokens: 1_000_000 }]);
	for (const previous of [scrape(body, 2000), scrape(body, 2001), scrape('<html>\n', 1000), scrape('', 1000)]) {
		const delta = vllmAdapter.read(scrape(body, 2000), previous);
		t.is(delta.intervalMs, undefined);
		t.is(delta.decodeTokensPerSec, undefined);
		t.is(delta.restarted, undefined);
	}
});

test('a series missing from a cut body is not taken to have begun at zero', (t) => {
	const cut = parseMetrics('vllm:num_requests_running 1\nvllm:generation_tokens_total{ 7\n', vllmAdapter.wanted);
	const body = vllmBody([{ waiting: 0, running: 0, usage: 0, generationTokens: 1_000_000, ttftSeconds: [1] }]);
	const delta = vllmAdapter.read(scrape(body, 2000), { samples: cut, atMs: 1000 });
	t.is(delta.intervalMs, 1000);
	t.is(delta.decodeTokensPerSec, undefined);
	t.is(delta.ttftMsMean, undefined);
});

const legacyLabels = { model_name: 'org/old' };

function legacyBody(generated: number, hits: number, queries: number, tpotSeconds: readonly number[]): string {
	return [
		series('vllm:num_requests_running', legacyLabels, '2.0'),
		series('vllm:num_requests_swapped', legacyLabels, '1.0'),
		series('vllm:num_requests_waiting', legacyLabels, '4.0'),
		series('vllm:gpu_cache_usage_perc', legacyLabels, '0.125'),
		series('vllm:cpu_cache_usage_perc', legacyLabels, '0.9'),
		series('vllm:cache_config_info', { block_size: 32, num_gpu_blocks: 80 }, '1.0'),
		series('vllm:generation_tokens_total', legacyLabels, generated),
		series('vllm:prompt_tokens_total', legacyLabels, generated),
		series('vllm:gpu_prefix_cache_hits_total', legacyLabels, hits),
		series('vllm:gpu_prefix_cache_queries_total', legacyLabels, queries),
		histogram('vllm:time_to_first_token_seconds', legacyLabels, ttftBounds, []),
		histogram('vllm:time_per_output_token_seconds', legacyLabels, tpotBounds, tpotSeconds),
	].join('\n');
}

test('reads the names of older releases', (t) => {
	const delta = vllmAdapter.read(
		scrape(legacyBody(300, 30, 60, [0.02]), 2000),
		scrape(legacyBody(100, 10, 20, []), 1000),
	);
	t.is(delta.queueDepth, 5);
	t.is(delta.kvUsage, 0.125);
	t.is(delta.kvBlockTokens, 32);
	t.is(delta.kvBlocksFree, 70);
	t.is(delta.decodeTokensPerSec, 200);
	t.is(delta.prefillTokensPerSec, 200);
	t.is(delta.prefixHitRatio, 0.5);
	near(t, delta.tpotMsMean, 20);
	t.is(delta.errorRatio, undefined);
	t.deepEqual(delta.models, ['org/old']);
	t.deepEqual(delta.unread, []);
});

test('of an old and a new name in one body the new one counts, once', (t) => {
	const body = vllmBody(
		[{ waiting: 0, running: 0, usage: 0.5, tpotSeconds: [0.02] }],
		[
			series('vllm:gpu_cache_usage_perc', { engine: 0, model_name: 'org/model' }, 0.75),
			histogram('vllm:time_per_output_token_seconds', { engine: 0, model_name: 'org/model' }, tpotBounds, [0.4]),
		],
	);
	const before = vllmBody([{ waiting: 0, running: 0, usage: 0 }]);
	const delta = vllmAdapter.read(scrape(body, 2000), scrape(before, 1000));
	t.is(delta.kvUsage, 0.5);
	near(t, delta.tpotMsMean, 20);
});

test('prompt tokens taken from a cache are no prefill, where their source is told', (t) => {
	const source = (compute: number, cached: number): string[] => [
		series('vllm:prompt_tokens_by_source_total', { engine: 0, source: 'local_compute' }, compute),
		series('vllm:prompt_tokens_by_source_total', { engine: 0, source: 'local_cache_hit' }, cached),
		series('vllm:prompt_tokens_by_source_total', { engine: 0, source: 'external_kv_transfer' }, 0),
	];
	const engine = { waiting: 0, running: 0, usage: 0 };
	const before = vllmBody([{ ...engine, promptTokens: 100 }], source(100, 0));
	const after = vllmBody([{ ...engine, promptTokens: 1100 }], source(300, 800));
	t.is(vllmAdapter.read(scrape(after, 2000), scrape(before, 1000)).prefillTokensPerSec, 200);
});

test('a hit ratio of an old release below zero means that it is unknown', (t) => {
	const body = (rate: number): string =>
		`${series('vllm:num_requests_running', {}, 1)}\n${series('vllm:gpu_prefix_cache_hit_rate', {}, rate)}\n`;
	const unknown = vllmAdapter.read(scrape(body(-1), 0));
	t.is(unknown.prefixHitRatio, undefined);
	t.false(unknown.unread.some((entry) => entry.startsWith('prefixHitRatio')));
	t.is(vllmAdapter.read(scrape(body(0.3), 0)).prefixHitRatio, 0.3);
});

test('LoRA adapters are those of the newest series', (t) => {
	const lora = (running: string, waiting: string, atSeconds: number): string =>
		series(
			'vllm:lora_requests_info',
			{ max_lora: 4, running_lora_adapters: running, waiting_lora_adapters: waiting },
			atSeconds,
		);
	const extra = [lora('a', '', 100), lora('b,c', 'd, b', 300), lora('e', '', 200)];
	const delta = vllmAdapter.read(scrape(vllmBody([{ waiting: 0, running: 0, usage: 0 }], extra), 0));
	t.deepEqual(delta.loras, ['b', 'c', 'd']);
});

test('one sleeping engine makes the target sleep', (t) => {
	const awake = (engine: number, value: number): string =>
		series('vllm:engine_sleep_state', { engine, sleep_state: 'awake' }, value);
	const offloaded = series('vllm:engine_sleep_state', { engine: 1, sleep_state: 'weights_offloaded' }, 1);
	const engines = [{ waiting: 0, running: 0, usage: 0 }];
	t.true(vllmAdapter.read(scrape(vllmBody(engines, [awake(0, 1), awake(1, 0), offloaded]), 0)).sleeping);
	t.false(vllmAdapter.read(scrape(vllmBody(engines, [awake(0, 1), awake(1, 1)]), 0)).sleeping);
});

test('says what it could not read, and reads the rest', (t) => {
	const body = vllmBody([{ waiting: 2, running: 1, usage: 'NaN', blocks: 'None' }]).replace(
		/^vllm:num_requests_running.*$/m,
		'vllm:num_requests_running{engine="0"} soon',
	);
	const delta = vllmAdapter.read(scrape(body, 0));
	t.is(delta.queueDepth, 2);
	t.is(delta.running, undefined);
	t.is(delta.kvUsage, undefined);
	t.deepEqual(delta.unread, [
		'vllm:num_requests_running: bad_value at line 7',
		'running: none of num_requests_running',
		'kvUsage: kv_cache_usage_perc is not a finite number',
		'kvBlocksTotal: cache_config_info has no num_gpu_blocks',
	]);
});

test('a usage in another unit is not passed on', (t) => {
	const delta = vllmAdapter.read(scrape(vllmBody([{ waiting: 0, running: -1, usage: 45 }]), 0));
	t.is(delta.kvUsage, undefined);
	t.is(delta.running, undefined);
	t.deepEqual(delta.unread, ['running: -1 is not a count', 'kvUsage: 45 is not between 0 and 1']);
	t.is(vllmAdapter.read(scrape(vllmBody([{ waiting: 0, running: 0, usage: 1.0000001 }]), 0)).kvUsage, 1);
});

test('lists are bounded whatever a body says', (t) => {
	const many = Array.from({ length: 500 }, (_, i) =>
		series('vllm:num_requests_running', { engine: i, model_name: `m${i}` }, 1),
	);
	const names = Array.from({ length: 1000 }, (_, i) => `adapter-${i}`).join(',');
	const body = [
		...many,
		series('vllm:lora_requests_info', { running_lora_adapters: names }, 1),
		'vllm:num_requests_waiting x\n'.repeat(100),
	];
	const delta = vllmAdapter.read(scrape(body.join('\n'), 0));
	t.is(delta.models?.length, 64);
	t.is(delta.loras?.length, 256);
	t.true(delta.unread.length <= 32 && delta.unread.every((entry) => entry.length <= 200));
	t.is(delta.running, 500);
});

test('asks for no metric that only tells when another was made', (t) => {
	t.false(vllmAdapter.wanted.names.some((name) => name.endsWith('_created')));
	t.is(new Set(vllmAdapter.wanted.names).size, vllmAdapter.wanted.names.length);
});

test('tells data-parallel engines apart', (t) => {
	const body = vllmBody([
		{ waiting: 3, running: 8, usage: 0.25 },
		{ waiting: 0, running: 2, usage: 0.5 },
	]);
	t.deepEqual(vllmAdapter.read(scrape(body, 1)).ranks, [
		{ rank: 0, queueDepth: 3, running: 8, kvUsage: 0.25 },
		{ rank: 1, queueDepth: 0, running: 2, kvUsage: 0.5 },
	]);
});
