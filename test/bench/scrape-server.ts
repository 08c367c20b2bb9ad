// Owns the metrics bodies of the scrape bench, and the process that serves them: many ports, any path, one of a few bodies by turns, so that counters
// rise from scrape to scrape.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const METRICS_VARIANTS = 8;

const wantedHistograms = ['time_to_first_token_seconds', 'inter_token_latency_seconds', 'e2e_request_latency_seconds'];
const otherHistograms = [
	'request_prefill_time_seconds',
	'request_decode_time_seconds',
	'request_inference_time_seconds',
	'request_prompt_tokens',
	'request_generation_tokens',
	'request_params_max_tokens',
	'iteration_tokens_total',
];
const gauges = ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc'];
const counters = [
	'prompt_tokens_total',
	'generation_tokens_total',
	'num_preemptions_total',
	'prefix_cache_queries_total',
	'prefix_cache_hits_total',
];

/** About 60 KB in the form of a vLLM with two engines; each variant has counted more than the one before. */
export function metricsBody(variant: number): string {
	const lines: string[] = [];
	const labels = (engine: number): string =>
		`engine="${engine}",model_name="an-organisation/a-model-with-a-long-name-70b-instruct"`;
	const family = (name: string, kind: string): number =>
		lines.push(`# HELP vllm:${name} What it is, in a sentence of common length.`, `# TYPE vllm:${name} ${kind}`);
	for (const name of gauges) {
		family(name, 'gauge');
		for (let e = 0; e < 2; e++)
			lines.push(`vllm:${name}{${labels(e)}} ${name.endsWith('perc') ? 0.25 : variant + e}.0`);
	}
	for (const name of counters) {
		family(name, 'counter');
		for (let e = 0; e < 2; e++) lines.push(`vllm:${name}{${labels(e)}} ${1000 * (variant + 1) + e}.0`);
	}
	for (const name of [...wantedHistograms, ...otherHistograms]) {
		family(name, 'histogram');
		for (let e = 0; e < 2; e++) {
			for (let b = 1; b <= 19; b++)
				lines.push(`vllm:${name}_bucket{${labels(e).replace(',', `,le="${b * 0.25}",`)}} ${b * 100 * (variant + 1)}.0`);
			lines.push(`vllm:${name}_bucket{${labels(e).replace(',', ',le="+Inf",')}} ${2000 * (variant + 1)}.0`);
			lines.push(`vllm:${name}_count{${labels(e)}} ${2000 * (variant + 1)}.0`);
			lines.push(`vllm:${name}_sum{${labels(e)}} ${17_888.602775 * (variant + 1)}`);
		}
	}
	return `${lines.join('\n')}\n`;
}

async function serve(ports: number): Promise<void> {
	const bodies = Array.from({ length: METRICS_VARIANTS }, (_, variant) => Buffer.from(metricsBody(variant)));
	const turns = new Map<string, number>();
	const listening: number[] = [];
	for (let i = 0; i < ports; i++) {
		const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
			const turn = turns.get(req.url ?? '') ?? 0;
			turns.set(req.url ?? '', turn + 1);
			const body = bodies[turn % bodies.length] as Buffer;
			res.setHeader('content-length', body.length);
			res.end(body);
		});
		await new Promise<void>((resolve) => {
			server.listen(0, '127.0.0.1', resolve);
		});
		listening.push((server.address() as AddressInfo).port);
	}
	process.send?.(listening);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(Number(process.argv[2]));
