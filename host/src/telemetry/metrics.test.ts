import test from 'ava';
import * as fc from 'fast-check';
import { Registry } from 'prom-client';
import { openPolicy } from '../fleet/placement.js';
import type { ModelPool, UpstreamTarget } from '../router/ports.js';
import {
	blockLayout,
	clearGauges,
	createMetricsBuffer,
	LABEL_BYTES_MAX,
	MetricsBlock,
	OVERFLOW_LABEL,
	readSeries,
} from './block.js';
import { createDecisionMetrics } from './decision-metrics.js';
import { metricDefinitions } from './definitions.js';
import { distributionOf, renderMetrics, totalOf } from './exposition.js';
import { createMeshMetrics } from './mesh-metrics.js';
import type { MetricDefinition } from './metrics/define.js';
import { createProcessMetrics } from './process-metrics.js';
import { createRouterMetrics } from './router-metrics.js';

const target: UpstreamTarget = {
	id: 'engine-a',
	tableRow: 0,
	generation: 1,
	origin: 'http://127.0.0.1:1',
	pathPrefix: '',
	apiKey: undefined,
	runtime: 'vllm',
	upstreamModel: undefined,
};
const pool: ModelPool = { index: 0, model: 'llama', modelId: 1, revision: 'r1', policy: openPolicy, targets: [target] };

test('definitions are well formed: names, units, ascending buckets, no name twice', (t) => {
	const definitions: MetricDefinition[] = Object.values(metricDefinitions);
	t.is(new Set(definitions.map((definition) => definition.name)).size, definitions.length);
	for (const { name, kind, buckets, labels, help } of definitions) {
		t.regex(name, /^infermesh_[a-z0-9_]+$/);
		t.is(name.endsWith('_total'), kind === 'counter', name);
		t.is(buckets !== undefined, kind === 'histogram', name);
		t.true(
			(buckets ?? []).every((bound, i, all) => i === 0 || bound > (all[i - 1] as number)),
			name,
		);
		t.false(labels.includes('step') || labels.includes('request_id'), 'labels stay bounded');
		t.false(
			labels.includes('quantile') || labels.includes('le'),
			'labels of summaries and histograms are Prometheus’ own',
		);
		t.true(help.endsWith('.'), name);
	}
	t.true(blockLayout.bytes < 4 * 1024 * 1024, `a block has ${blockLayout.bytes} bytes`);
});

test('what a thread adds, a reader of the same memory sees, without a message', (t) => {
	const buffer = createMetricsBuffer();
	const block = new MetricsBlock(buffer);
	block.counter('retries', 'llama', 'connect').add(3);
	block.counter('retries', 'llama', 'connect').add(1);
	block.gauge('requestsInFlight').add(5);
	block.gauge('requestsInFlight').add(-2);
	const layout = blockLayout.metrics.get('retries');
	t.truthy(layout);
	if (layout === undefined) return;
	t.deepEqual(
		readSeries(buffer, layout).map(({ labels, cells }) => [labels, cells[0]]),
		[[['llama', 'connect'], 4]],
	);
	t.is(totalOf([buffer], 'requestsInFlight'), 3);
});

test('the thread that takes over a block goes on with its series, and with gauges at 0', (t) => {
	const buffer = createMetricsBuffer();
	const before = new MetricsBlock(buffer);
	before.counter('retries', 'llama', 'connect').add(3);
	before.gauge('requestsInFlight').add(5);
	clearGauges(buffer);
	const after = new MetricsBlock(buffer);
	after.counter('retries', 'llama', 'connect').add(1);
	after.counter('retries', 'llama', 'timeout').add(1);
	const layout = blockLayout.metrics.get('retries');
	t.deepEqual(layout === undefined ? [] : readSeries(buffer, layout).map(({ labels, cells }) => [labels, cells[0]]), [
		[['llama', 'connect'], 4],
		[['llama', 'timeout'], 1],
	]);
	t.is(totalOf([buffer], 'requestsInFlight'), 0);
});

test('blocks of several threads are added up', (t) => {
	const buffers = [createMetricsBuffer(), createMetricsBuffer()];
	const blocks = buffers.map((buffer) => new MetricsBlock(buffer));
	blocks[0]?.counter('scrapes', 'a', 'ok').add(1);
	blocks[1]?.counter('scrapes', 'b', 'ok').add(10);
	blocks[1]?.counter('scrapes', 'a', 'ok').add(100);
	t.regex(renderMetrics(buffers), /^infermesh_scrapes_total\{target="a",result="ok"\} 101$/m);
	t.is(totalOf(buffers, 'scrapes'), 111);
	t.is(
		totalOf(buffers, 'scrapes', ([name]) => name === 'b'),
		10,
	);
});

test('label sets beyond the bound are counted in one series named other', (t) => {
	const buffer = createMetricsBuffer();
	const block = new MetricsBlock(buffer);
	const bound = metricDefinitions.ejections.seriesMax;
	for (let i = 0; i < bound + 500; i++) block.counter('ejections', `target-${i}`).add(1);
	const layout = blockLayout.metrics.get('ejections');
	const series = layout === undefined ? [] : readSeries(buffer, layout);
	t.is(series.length, bound + 1);
	t.deepEqual([series[0]?.labels, series[0]?.cells[0]], [[OVERFLOW_LABEL], 500]);
	t.is(totalOf([buffer], 'ejections'), bound + 500);
});

test('a client cannot make series by inventing paths', (t) => {
	const buffer = createMetricsBuffer();
	const metrics = createRouterMetrics(new MetricsBlock(buffer), { tenantName: () => 'default', stages: [] });
	for (let i = 0; i < 1000; i++) {
		metrics.requestStarted();
		metrics.requestEnded(undefined, `/v1/x${i}`, 404, 'IM_ROUTE_UNKNOWN_PATH', 1);
	}
	const text = renderMetrics([buffer]);
	t.regex(
		text,
		/infermesh_requests_total\{model="",revision="",path="other",status="404",code="IM_ROUTE_UNKNOWN_PATH"\} 1000/,
	);
	t.is(text.match(/^infermesh_requests_total\{/gm)?.length, 2, 'one for 200, one for 404');
});

test('long and odd labels are bounded and escaped', (t) => {
	const buffer = createMetricsBuffer();
	const block = new MetricsBlock(buffer);
	block.counter('retries', 'é'.repeat(500), 'a"b\\c\nd\u001fe').add(1);
	const text = renderMetrics([buffer]);
	const match = /model="(é+)",reason="(.*)"\}/.exec(text);
	t.is(Buffer.byteLength(match?.[1] ?? ''), LABEL_BYTES_MAX);
	t.is(match?.[2], 'a\\"b\\\\c\\nd e');
});

test('histograms: every value falls in the first bucket that holds it, sum and count agree', (t) => {
	const seed = Date.now() | 0;
	t.log(`seed ${seed}`);
	const bounds = metricDefinitions.scrapeDuration.buckets ?? [];
	fc.assert(
		fc.property(fc.array(fc.double({ min: 0, max: 20, noNaN: true }), { maxLength: 50 }), (values) => {
			const buffer = createMetricsBuffer();
			const series = new MetricsBlock(buffer).histogram('scrapeDuration');
			for (const value of values) series.observe(value);
			const { counts, sum } = distributionOf([buffer], 'scrapeDuration');
			const expected = [...bounds, Infinity].map(
				(bound, i) => values.filter((v) => v <= bound && (i === 0 || v > (bounds[i - 1] as number))).length,
			);
			return (
				JSON.stringify(counts) === JSON.stringify(expected) &&
				Math.abs(sum - values.reduce((a, b) => a + b, 0)) <= 1e-9 * Math.max(1, sum)
			);
		}),
		{ seed, numRuns: 50 },
	);
	t.pass();
});

test('the router metrics count a request from start to end', (t) => {
	const buffer = createMetricsBuffer();
	const metrics = createRouterMetrics(new MetricsBlock(buffer), {
		tenantName: (id) => (id === 7 ? 'acme' : 'default'),
		stages: ['parse', 'decide'],
	});
	metrics.requestStarted();
	metrics.requestStarted();
	metrics.attempt(pool, target, 'upstream_error', 0, 0);
	metrics.retry(pool, 'upstream_error');
	metrics.attempt(pool, target, 'ok', 120, 9);
	metrics.tokens(pool, 7, 512, 64, 256);
	metrics.streamChunks(65);
	metrics.stage(1, 900);
	metrics.stage(99, 900);
	metrics.requestEnded(pool, '/v1/chat/completions', 200, undefined, 700);
	metrics.requestEnded(pool, '/v1/chat/completions', 503, 'IM_ROUTE_NO_TARGET', 3);
	const text = renderMetrics([buffer]);
	const labels = 'model="llama",revision="r1"';
	for (const line of [
		`infermesh_requests_total{${labels},path="/v1/chat/completions",status="200",code=""} 1`,
		`infermesh_requests_total{${labels},path="/v1/chat/completions",status="503",code="IM_ROUTE_NO_TARGET"} 1`,
		`infermesh_attempts_total{target="engine-a",${labels},runtime="vllm",outcome="upstream_error"} 1`,
		`infermesh_attempts_total{target="engine-a",${labels},runtime="vllm",outcome="ok"} 1`,
		`infermesh_retries_total{model="llama",reason="upstream_error"} 1`,
		`infermesh_tokens_total{${labels},tenant="acme",kind="input"} 512`,
		`infermesh_tokens_total{${labels},tenant="acme",kind="cached"} 256`,
		`infermesh_time_to_first_token_seconds_bucket{${labels},le="0.128"} 1`,
		`infermesh_time_to_first_token_seconds_bucket{${labels},le="0.064"} 0`,
		`infermesh_time_per_output_token_seconds_count{${labels}} 1`,
		`infermesh_stage_duration_seconds_count{stage="decide"} 1`,
		'infermesh_stream_chunks_total 65',
		'infermesh_requests_in_flight 0',
	])
		t.true(text.split('\n').includes(line), `${line}\nin\n${text}`);
});

test('decisions count who answered; a fault counts as fallback and as strike against who was asked', (t) => {
	const buffer = createMetricsBuffer();
	const metrics = createDecisionMetrics(new MetricsBlock(buffer), {
		label: (versionId) => `mine@1.0.${versionId}`,
		fallbackLabel: 'least_queue@builtin',
		fallbackVersion: 0,
	});
	metrics.decided(1, 'none', 700, 900);
	metrics.decided(1, 'trap', 9000, 0);
	metrics.decided(0, 'no_strategy', 300, 0);
	metrics.shadowed(2, true, 'none', 1000, 10);
	metrics.shadowed(2, false, 'fuel', 1000, 10);
	metrics.witnessed(1, false);
	const counted = (key: 'decisions' | 'fallbacks' | 'strikes' | 'shadows' | 'witnesses', ...labels: string[]) =>
		totalOf([buffer], key, (found) => labels.every((label, i) => found[i] === label));
	t.is(counted('decisions', 'mine@1.0.1'), 1);
	t.is(counted('decisions', 'least_queue@builtin'), 2);
	t.is(counted('fallbacks', 'mine@1.0.1', 'trap'), 1);
	t.is(counted('fallbacks', 'least_queue@builtin', 'no_strategy'), 1);
	t.is(counted('strikes'), 1, 'having no strategy is no strike');
	t.is(counted('strikes', 'mine@1.0.1', 'trap'), 1);
	t.deepEqual([counted('shadows', 'mine@1.0.2', 'agreed'), counted('shadows', 'mine@1.0.2', 'fault')], [1, 1]);
	t.is(counted('witnesses', 'mine@1.0.1', 'differed'), 1);
	const { counts, sum } = distributionOf([buffer], 'decisionFuel');
	t.is(
		counts.reduce((a, b) => a + b, 0),
		1,
		'the fallback burns no fuel',
	);
	t.is(sum, 900);
});

test('the text is what Prometheus expects: HELP and TYPE once, cumulative buckets, every metric of the table', async (t) => {
	const buffer = createMetricsBuffer();
	const block = new MetricsBlock(buffer);
	const mesh = createMeshMetrics(block);
	mesh.swapped('a@1', 'stage');
	mesh.quarantined('a@1');
	mesh.admitted('admitted', 120);
	mesh.scraped('e', 'timeout', 2000);
	mesh.healthChecked('e', false);
	mesh.ejected('e');
	mesh.workerRestarted();
	const text = renderMetrics([buffer], [{ metric: 'targetState', labels: ['e', 'draining'], value: 1 }]);
	t.regex(text, /^infermesh_target_state\{target="e",state="draining"\} 1$/m);
	const types = text.match(/^# TYPE \S+/gm) ?? [];
	t.is(new Set(types).size, types.length);
	const cumulative = [...text.matchAll(/^infermesh_scrape_duration_seconds_bucket\{le="[^"]+"\} (\d+)$/gm)].map((m) =>
		Number(m[1]),
	);
	t.deepEqual(
		cumulative,
		[...cumulative].sort((a, b) => a - b),
	);
	t.is(cumulative.at(-1), 1);
	t.is(Registry.PROMETHEUS_CONTENT_TYPE, 'text/plain; version=0.0.4; charset=utf-8');
	const own = await createProcessMetrics().text();
	t.regex(own, /^process_resident_memory_bytes \d+$/m);
	for (const [, name = ''] of own.matchAll(/^# TYPE (\S+) gauge$/gm)) t.false(name.endsWith('_total'), name);
});
