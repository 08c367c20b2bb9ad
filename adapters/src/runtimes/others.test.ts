// What the mesh learns from the runtimes beside vLLM and SGLang, on samples written for the tests (samples.fixture.ts says which), from their
// metrics and from their other endpoints.
import test from 'ava';
import * as fc from 'fast-check';
import { parseMetrics } from '../prometheus/parser.js';
import { runtimeNames } from './adapter.js';
import { detectEndpoint, detectRuntime, endpointHintPaths, runtimeAdapters } from './detect.js';
import { RuntimeReader } from './reader.js';
import {
	llamacppSample,
	slotsSample,
	tfservingSample,
	tgiSample,
	tritonTrtllmSample,
	trtllmSample,
} from './samples.fixture.js';

const seed = Number(process.env['INFERMESH_TEST_SEED'] ?? Date.now() % 0x7fff_ffff);

/** Numbers to nine digits: sums of floats differ in the last ones. */
function rounded<T extends object>(delta: T): T {
	const entries = Object.entries(delta).map(([key, value]) => [
		key,
		typeof value === 'number' ? Number(value.toPrecision(9)) : (value as unknown),
	]);
	return Object.fromEntries(entries) as T;
}

/** What two bodies of one target, a second apart, say. */
function compared(before: string, after: string) {
	const reader = new RuntimeReader();
	reader.accept(before, 0);
	return rounded(reader.accept(after, 1000));
}

test('TGI', (t) => {
	t.deepEqual(compared(tgiSample(100, 0, 1), tgiSample(200, 6, 4)), {
		observedAtMs: 1000,
		runtime: 'tgi',
		intervalMs: 1000,
		restarted: false,
		queueDepth: 6,
		running: 4,
		promptTokensTotal: 20_000,
		generationTokensTotal: 4000,
		prefillTokensPerSec: 10_000,
		decodeTokensPerSec: 2000,
		requestsPerSec: 100,
		errorRatio: 0.1,
		ttftMsMean: 80,
		requestMsMean: 500,
		requestMsP95: 950,
		queueMsMean: 40,
		tpotMsMean: 20,
		tpotMsP95: 19,
		unread: [],
	});
});

test('Triton with TensorRT-LLM', (t) => {
	t.deepEqual(compared(tritonTrtllmSample(100), tritonTrtllmSample(140)), {
		observedAtMs: 1000,
		runtime: 'triton',
		intervalMs: 1000,
		restarted: false,
		queueDepth: 5,
		running: 9,
		maxSequences: 64,
		kvUsage: 0.25,
		kvBlocksTotal: 100,
		kvBlocksFree: 75,
		kvBlockTokens: 64,
		utilization: 0.5,
		requestsPerSec: 50,
		errorRatio: 0.2,
		requestMsMean: 250,
		queueMsMean: 1,
		models: ['tensorrt_llm'],
		unread: [],
	});
});

test('an older Triton whose pending count is missing says so, and the queue of its backend stands', (t) => {
	const body = tritonTrtllmSample(1).replace(/nv_inference_pending.*\n/, '');
	const delta = new RuntimeReader().accept(body, 0);
	t.is(delta.queueDepth, 3);
	t.deepEqual(delta.unread, ['queueDepth: none of inference_pending_request_count']);
});

test('trtllm-serve', (t) => {
	t.deepEqual(new RuntimeReader().accept(trtllmSample, 5), {
		observedAtMs: 5,
		runtime: 'trtllm',
		queueDepth: 4,
		running: 7,
		kvUsage: 0.4,
		kvBlocksTotal: 1000,
		kvBlocksFree: 600,
		kvBlockTokens: 32,
		prefixHitRatio: 0.75,
		models: ['llama'],
		unread: [],
	});
});

test('TensorFlow Serving', (t) => {
	t.deepEqual(compared(tfservingSample(100), tfservingSample(200)), {
		observedAtMs: 1000,
		runtime: 'tfserving',
		intervalMs: 1000,
		restarted: false,
		requestsPerSec: 100,
		errorRatio: 0.1,
		requestMsMean: 8,
		requestMsP95: 9.5,
		queueMsMean: 2,
		models: ['resnet'],
		unread: [],
	});
});

test('llama.cpp, its metrics and its slots', (t) => {
	const reader = new RuntimeReader();
	reader.accept(llamacppSample(1000), 0);
	t.deepEqual(reader.due(0), ['/slots']);
	reader.answer({ path: '/slots', status: 200, body: slotsSample }, 1000);
	t.deepEqual(rounded(reader.accept(llamacppSample(1100), 1000)), {
		observedAtMs: 1000,
		runtime: 'llamacpp',
		intervalMs: 1000,
		restarted: false,
		queueDepth: 5,
		running: 2,
		maxSequences: 4,
		kvUsage: 0.125,
		promptTokensTotal: 4400,
		generationTokensTotal: 1100,
		prefillTokensPerSec: 400,
		decodeTokensPerSec: 100,
		tpotMsMean: 20,
		prefixHitRatio: 0.5,
		unread: [],
	});
});

test('llama.cpp without metrics is read by its slots alone, and forgotten when they are silent', (t) => {
	const reader = new RuntimeReader({ runtime: 'llamacpp' });
	t.is(reader.read('not found', 0), undefined);
	t.is(reader.readCompanions(0), undefined);
	reader.answer({ path: '/slots', status: 200, body: slotsSample }, 10);
	t.deepEqual(reader.readCompanions(10), {
		observedAtMs: 10,
		runtime: 'llamacpp',
		maxSequences: 4,
		running: 2,
		kvUsage: 0.125,
		unread: [],
	});
	t.is(reader.readCompanions(10_000), undefined);
});

test('slots that are switched off are reported', (t) => {
	const reader = new RuntimeReader({ runtime: 'llamacpp' });
	reader.due(0);
	reader.answer({ path: '/slots', status: 501, body: '{"error":{}}' }, 0);
	t.deepEqual(reader.accept(llamacppSample(1), 0).unread, ['maxSequences: /slots answered 501']);
});

test('a server of the Open Inference Protocol tells its version, models and readiness', (t) => {
	const reader = new RuntimeReader({ runtime: 'kserve', models: ['a b', 'gone'] });
	t.deepEqual(reader.due(0), ['/v2/health/ready', '/v2', '/v2/models/a%20b', '/v2/models/gone']);
	reader.answer({ path: '/v2/health/ready', status: 200, body: '{"ready":true}' }, 1);
	reader.answer({ path: '/v2', status: 200, body: '{"name":"mlserver","version":"1.6","extensions":[]}' }, 1);
	reader.answer({ path: '/v2/models/a%20b', status: 200, body: '{"name":"a b","versions":["3"],"platform":"x"}' }, 1);
	t.deepEqual(reader.readCompanions(1), {
		observedAtMs: 1,
		runtime: 'kserve',
		runtimeVersion: '1.6',
		ready: true,
		models: ['a b'],
		unread: [],
	});
	reader.answer({ path: '/v2/models/gone', status: 404, body: '' }, 2);
	t.is(reader.readCompanions(2)?.ready, false);
	t.deepEqual(reader.readCompanions(2)?.unread, ['models: gone answered 404 and is not there']);
	t.deepEqual(reader.due(5000), [], 'asked every ten seconds');
	t.is(reader.due(10_000).length, 4);
});

test('a runtime is known by an endpoint when its metrics cannot be had', (t) => {
	for (const [path, body, runtime] of [
		['/v1/models', '{"data":[{"id":"m","owned_by":"vllm"}]}', 'vllm'],
		['/v1/models', '{"data":[{"id":"m","owned_by":"someone"}]}', undefined],
		['/v2', '{"name":"triton","version":"2.60.0","extensions":[]}', 'triton'],
		['/v2', '{"name":"OpenVINO Model Server","version":"2026.1"}', 'ovms'],
		['/v2', '{"name":"mlserver","version":"1.6","extensions":[]}', 'kserve'],
		['/info', '{"model_id":"m","max_concurrent_requests":128}', 'tgi'],
		['/props', '{"default_generation_settings":{},"total_slots":4}', 'llamacpp'],
		['/get_model_info', '{"model_path":"m","is_generation":true}', 'sglang'],
		['/props', '[]', undefined],
		['/props', '<html>', undefined],
	] as const) {
		t.is(detectEndpoint({ path, status: 200, body }), runtime, body);
		t.is(detectEndpoint({ path, status: 404, body }), undefined);
	}
	const reader = new RuntimeReader({ hints: true });
	t.deepEqual(reader.due(0), endpointHintPaths);
	t.deepEqual(reader.due(1000), [], 'a stranger is not asked all the time');
	reader.answer({ path: '/props', status: 200, body: '{"default_generation_settings":{},"total_slots":4}' }, 1000);
	t.is(reader.runtime, 'llamacpp');
	reader.accept(tgiSample(1, 2, 3), 2000);
	t.is(reader.runtime, 'tgi', 'metrics are believed before a hint');
	t.deepEqual(new RuntimeReader().due(0), [], 'and not at all unless that is wanted');
});

test('each sample is taken for its runtime and for no other', (t) => {
	const samples = {
		tgi: tgiSample(1, 0, 0),
		triton: tritonTrtllmSample(1),
		trtllm: trtllmSample,
		tfserving: tfservingSample(1),
		llamacpp: llamacppSample(1),
	};
	for (const [name, body] of Object.entries(samples)) {
		t.is(detectRuntime(body)?.name, name as keyof typeof samples);
		t.is(Object.values(runtimeAdapters).filter((adapter) => adapter.detect(body)).length, 1, name);
	}
});

test('no adapter throws on garbage, whichever endpoint it comes from', (t) => {
	t.log(`seed ${seed}`);
	const body = fc.oneof(
		fc.json(),
		fc.string(),
		fc
			.constantFrom(slotsSample, tgiSample(3, 1, 1), tritonTrtllmSample(2))
			.chain((text) => fc.nat(text.length).map((cut) => text.slice(cut))),
	);
	fc.assert(
		fc.property(fc.constantFrom(...runtimeNames), body, fc.integer({ min: 0, max: 599 }), (runtime, text, status) => {
			const reader = new RuntimeReader({ runtime, models: ['m'] });
			for (const path of reader.due(0)) reader.answer({ path, status, body: text }, 0);
			return reader.accept(text, 0).unread.length <= 32 && reader.accept(text, 1).unread.length <= 32;
		}),
		{ seed, numRuns: 1500 },
	);
	t.pass();
});

test('every metric an adapter wants is found in a body by its own name', (t) => {
	for (const adapter of Object.values(runtimeAdapters)) {
		const body = adapter.wanted.names.map((name) => `${name}{x="1"} 1`).join('\n');
		const found = parseMetrics(body, adapter.wanted);
		t.deepEqual([...found.byName.keys()].sort(), [...adapter.wanted.names].sort(), adapter.name);
	}
});
