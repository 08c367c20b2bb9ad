// Following a target: which runtime it is, and which scrape the next one is compared with.
import test from 'ava';
import { vllmBody } from './bodies.fixture.js';
import { detectRuntime, runtimeAdapters } from './detect.js';
import { RuntimeReader } from './reader.js';

const engine = { waiting: 0, running: 0, usage: 0 };

test('tells runtimes by their metrics', (t) => {
	t.is(detectRuntime(vllmBody([engine]))?.name, 'vllm');
	t.is(detectRuntime('vllm:num_requests_running 1')?.name, 'vllm');
	t.is(detectRuntime('# TYPE vllm:num_requests_running gauge\n')?.name, 'vllm');
	t.is(detectRuntime('a 1\nsglang:num_queue_reqs{model_name="m"} 1\n')?.name, 'sglang');
	t.is(detectRuntime('sglang_num_queue_reqs 1\n')?.name, 'sglang');
});

test('does not take a mention for a runtime', (t) => {
	t.is(detectRuntime(''), undefined);
	t.is(detectRuntime('<p>vllm: not found</p>'), undefined);
	t.is(detectRuntime('up{job="vllm:8000"} 1\n# HELP up about vllm: and sglang:\n'), undefined);
});

test('compares each body with the one before', (t) => {
	const reader = new RuntimeReader();
	t.is(reader.runtime, undefined);
	t.is(reader.accept(vllmBody([{ ...engine, generationTokens: 100 }]), 1000).decodeTokensPerSec, undefined);
	t.is(reader.runtime, 'vllm');
	t.is(reader.accept(vllmBody([{ ...engine, generationTokens: 200 }]), 2000).decodeTokensPerSec, 100);
	t.is(reader.accept(vllmBody([{ ...engine, generationTokens: 500 }]), 3000).decodeTokensPerSec, 300);
});

test('an error page in between is reported and skipped', (t) => {
	const reader = new RuntimeReader({ runtime: 'vllm' });
	reader.accept(vllmBody([{ ...engine, generationTokens: 100 }]), 1000);
	const broken = reader.accept('<html>\n<body>Service Unavailable', 2000);
	t.is(broken.queueDepth, undefined);
	t.is(broken.unread[0], 'body: no metric of vllm in 2 lines');
	const next = reader.accept(vllmBody([{ ...engine, generationTokens: 300 }]), 3000);
	t.is(next.intervalMs, 2000);
	t.is(next.decodeTokensPerSec, 100);
});

test('an unknown runtime is said to be one, until it is known', (t) => {
	const reader = new RuntimeReader();
	t.deepEqual(reader.accept('up 1\n', 7), {
		observedAtMs: 7,
		unread: [`body: no metric of ${Object.keys(runtimeAdapters).join(', ')} in 5 bytes`],
	});
	t.is(reader.accept(vllmBody([{ ...engine, waiting: 4 }]), 8).queueDepth, 4);
});

test('a reading without a metric of the runtime is none', (t) => {
	const known = new RuntimeReader({ runtime: 'vllm' });
	t.is(known.read('<html>', 1), undefined);
	t.is(known.read('process_start_time_seconds 5', 2), undefined);
	t.is(known.read(vllmBody([{ ...engine, waiting: 4 }]), 3)?.queueDepth, 4);
	t.is(known.read('', 4), undefined);
	t.is(new RuntimeReader().read('up 1', 1), undefined);
});

test('after a reset there is nothing to compare with', (t) => {
	const reader = new RuntimeReader();
	reader.accept(vllmBody([{ ...engine, generationTokens: 100 }]), 1000);
	reader.reset();
	t.is(reader.accept(vllmBody([{ ...engine, generationTokens: 200 }]), 2000).intervalMs, undefined);
	t.is(reader.runtime, 'vllm');
});

test('limits of the parser are passed on', (t) => {
	const reader = new RuntimeReader({ limits: { bodyBytesMax: 10 } });
	t.true(reader.accept(vllmBody([engine]), 0).unread.some((entry) => entry.includes('body_too_long')));
});

test('every adapter is listed under its own name', (t) => {
	for (const [name, adapter] of Object.entries(runtimeAdapters)) t.true(adapter.name === name, name);
});
