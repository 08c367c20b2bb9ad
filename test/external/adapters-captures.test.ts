// Checks the runtime adapters on bodies that real servers wrote. INFERMESH_TEST_DATA names a folder that holds them under
// `captures/`; they are not part of this tree.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { detectRuntime, parseMetrics, RuntimeReader, sglangAdapter, vllmAdapter } from '@infermesh/adapters';
import test, { type ExecutionContext } from 'ava';

function capture(name: string): string {
	const folder = process.env['INFERMESH_TEST_DATA'];
	if (folder === undefined || folder === '')
		throw new Error(
			'INFERMESH_TEST_DATA is not set: it must name the folder whose captures/ holds real metrics bodies',
		);
	return readFileSync(path.join(folder, 'captures', name), 'utf8');
}

const vllm = 'vllm/vllm_v1_2026-09_capture_part1.prom';
const sglang = 'sglang/docs_production_metrics.prom';

function near(t: ExecutionContext, value: number | undefined, expected: number): void {
	t.true(value !== undefined && Math.abs(value - expected) <= 1e-9 * Math.abs(expected), `${value} is not ${expected}`);
}

/** The body without the lines of counters and histograms, as it was before the first request. */
function beforeAnyRequest(body: string): string {
	return body
		.split('\n')
		.filter((line) => !/_(total|bucket|sum|count)[{ ]/.test(line))
		.join('\n');
}

test('reads a live vLLM V1 body', (t) => {
	const body = capture(vllm);
	t.is(detectRuntime(body)?.name, 'vllm');
	const found = parseMetrics(body, vllmAdapter.wanted);
	t.deepEqual(found.problems, []);
	t.true(found.complete);
	const reader = new RuntimeReader();
	const delta = reader.accept(body, 1000);
	t.is(delta.queueDepth, 0);
	t.is(delta.running, 0);
	t.is(delta.kvUsage, 0);
	t.is(delta.promptTokensTotal, 3_675_428);
	t.is(delta.sleeping, false);
	t.deepEqual(delta.models, ['deepseek-v4-flash-vision-exp-ablit-dual']);
	t.deepEqual(delta.unread, []);
	t.is(delta.prefillTokensPerSec, undefined);
});

test('compares a live vLLM body with an earlier one', (t) => {
	const body = capture(vllm);
	const reader = new RuntimeReader();
	reader.accept(beforeAnyRequest(body), 0);
	const delta = reader.accept(body, 10_000);
	near(t, delta.prefillTokensPerSec, 43_421.2);
	near(t, delta.prefixHitRatio, 3_241_216 / 3_675_428);
	t.is(delta.errorRatio, 0);
	t.is(delta.preemptionsPerSec, 0);
	t.false(delta.restarted);
	const still = reader.accept(body, 20_000);
	t.is(still.prefillTokensPerSec, 0);
	t.is(still.prefixHitRatio, undefined);
});

test('reads the body of a loaded SGLang server', (t) => {
	const body = capture(sglang);
	t.is(detectRuntime(body)?.name, 'sglang');
	t.deepEqual(parseMetrics(body, sglangAdapter.wanted).problems, []);
	const delta = new RuntimeReader().accept(body, 1000);
	t.is(delta.running, 162);
	t.is(delta.queueDepth, 2826);
	t.is(delta.kvUsage, 0.28);
	t.is(delta.promptTokensTotal, 8_128_902);
	t.is(delta.generationTokensTotal, 7_557_572);
	near(t, delta.prefixHitRatio, 0.007507552643049313);
	t.deepEqual(delta.models, ['meta-llama/Llama-3.1-8B-Instruct']);
	t.deepEqual(delta.unread, []);
});

test('takes latencies from the histograms of a loaded SGLang server', (t) => {
	const body = capture(sglang);
	const reader = new RuntimeReader();
	reader.accept(beforeAnyRequest(body), 0);
	const delta = reader.accept(body, 3_600_000);
	near(t, delta.ttftMsMean, (2.3518979474117756e6 / 11_008) * 1000);
	// Most requests waited for longer than the last finite bound.
	t.is(delta.ttftMsP95, 30_000);
	near(t, delta.tpotMsMean, (866_964.5791549598 / 7_400_757) * 1000);
	const rank = 0.95 * 7_400_757;
	near(t, delta.tpotMsP95, 100 + (50 * (rank - 4_950_195)) / (7_039_435 - 4_950_195));
	near(t, delta.decodeTokensPerSec, 7_557_572 / 3600);
});

/** A body of the same server as it was when its counters stood at 0. */
function atTheStart(body: string, counters: RegExp): string {
	return body.replace(counters, (line) => line.replace(/ [^ ]+$/, ' 0'));
}

test('reads the body of a Triton with eight models', (t) => {
	const body = capture('triton/metrics.prom');
	t.is(detectRuntime(body)?.name, 'triton');
	const reader = new RuntimeReader();
	reader.accept(atTheStart(body, /^nv_inference_(request|queue|count).*$/gm), 0);
	const delta = reader.accept(body, 1000);
	t.is(delta.queueDepth, 0);
	t.is(delta.models?.length, 8);
	t.true((delta.requestsPerSec ?? 0) > 0);
	t.true((delta.requestMsMean ?? 0) > 0);
	t.true((delta.errorRatio ?? -1) >= 0);
	t.deepEqual(delta.unread, []);
});

test('reads the body of a TorchServe with five models, trailing commas and all', (t) => {
	const body = capture('torchserve/metrics.prom');
	t.is(detectRuntime(body)?.name, 'torchserve');
	const reader = new RuntimeReader();
	reader.accept(atTheStart(body, /^(ts_|Requests).*$/gm), 0);
	const delta = reader.accept(body, 1000);
	t.is(delta.requestsPerSec, 55);
	t.is(delta.maxSequences, 5);
	near(t, delta.utilization, 0.933);
	near(t, delta.errorRatio, 60 / (58 + 59 + 60));
	near(t, delta.queueMsMean, (9043769.588 + 4246.417 + 600973.085 + 2638.626 + 3052.874) / 55 / 1000);
	t.is(delta.models?.length, 5);
	t.deepEqual(delta.unread, []);
});

test('reads the body of an OpenVINO Model Server, which counts by API and by interface', (t) => {
	const body = capture('ovms/metrics_output.out');
	t.is(detectRuntime(body)?.name, 'ovms');
	const reader = new RuntimeReader();
	reader.accept(atTheStart(body, /^ovms_(requests|request_time|wait).*$/gm), 0);
	const delta = reader.accept(body, 1000);
	t.true((delta.requestsPerSec ?? 0) >= 8);
	t.true((delta.requestMsMean ?? 0) > 0);
	t.true((delta.requestMsP95 ?? 0) > 0);
	t.true((delta.maxSequences ?? 0) > 0);
	t.is(delta.queueDepth, 0);
	t.true((delta.models ?? []).includes('resnet'));
	t.deepEqual(delta.unread, []);
});
