// Measures the parser on a body of the size and shape of a busy engine's, against splitting every line with a regular
// expression, and a whole reading with its comparison. Run the compiled file with the pinned Node; prints a table.
import { bench, do_not_optimize as keep, run, summary } from 'mitata';
import { RuntimeReader } from '../runtimes/reader.js';
import { parseMetrics } from './parser.js';
import { labelOf } from './samples.js';

const histograms = [
	'time_to_first_token_seconds',
	'inter_token_latency_seconds',
	'e2e_request_latency_seconds',
	'request_queue_time_seconds',
	'request_prefill_time_seconds',
	'request_decode_time_seconds',
	'request_inference_time_seconds',
	'request_prompt_tokens',
	'request_generation_tokens',
	'request_params_max_tokens',
	'iteration_tokens_total',
];
const gauges = ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc', 'prompt_tokens_total'];

/** A body in vLLM's form with `engines` data-parallel engines. */
function sampleBody(engines: number): string {
	const lines: string[] = [];
	const model = 'an-organisation/a-model-with-a-long-name-70b-instruct';
	for (const name of gauges) {
		lines.push(`# HELP vllm:${name} What it is, in a sentence of common length.`, `# TYPE vllm:${name} gauge`);
		for (let e = 0; e < engines; e++) lines.push(`vllm:${name}{engine="${e}",model_name="${model}"} ${e * 3.5}`);
	}
	for (const name of histograms) {
		lines.push(`# HELP vllm:${name} Histogram of what it is.`, `# TYPE vllm:${name} histogram`);
		for (let e = 0; e < engines; e++) {
			for (let b = 0; b < 22; b++)
				lines.push(`vllm:${name}_bucket{engine="${e}",le="${b * 0.25}",model_name="${model}"} ${b * 1000}.0`);
			lines.push(`vllm:${name}_count{engine="${e}",model_name="${model}"} 22000.0`);
			lines.push(`vllm:${name}_sum{engine="${e}",model_name="${model}"} 1.7888602775343874e+04`);
		}
	}
	return `${lines.join('\n')}\n`;
}

const wanted = new Set(gauges.map((name) => `vllm:${name}`));
for (const name of histograms.slice(0, 2))
	for (const part of ['bucket', 'sum', 'count']) wanted.add(`vllm:${name}_${part}`);

/** What one would write without a parser: every line through one expression, labels into a Map. */
function parseBySplitting(body: string): number {
	let kept = 0;
	for (const line of body.split('\n')) {
		const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
		if (match === null || !wanted.has(match[1] ?? '')) continue;
		const labels = new Map<string, string>();
		for (const [, name, value] of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
			labels.set(name ?? '', value ?? '');
		if (labels.has('model_name') && !Number.isNaN(Number(match[3]))) kept++;
	}
	return kept;
}

const body = sampleBody(2);
const found = parseMetrics(body, wanted);
const buckets = found.byName.get('vllm:time_to_first_token_seconds_bucket') ?? [];
console.log(`body ${body.length} chars, ${found.lines} lines, ${wanted.size} names wanted`);
console.log(
	`first bucket le=${buckets[0] === undefined ? 'none' : labelOf(buckets[0], 'le')}, ${found.problemCount} problems`,
);
const reader = new RuntimeReader({ runtime: 'vllm' });
let atMs = 0;
summary(() => {
	bench('split and regular expression', () => keep(parseBySplitting(body))).baseline(true);
	bench('parseMetrics', () => keep(parseMetrics(body, wanted)));
	bench('parse and compare with the scrape before', () => keep(reader.accept(body, ++atMs)));
});
await run({ format: 'mitata' });
