// Owns the sample bodies of the adapters' tests, written for them in the form of the runtimes: what an engine counted
// comes in, its metrics text goes out.

export type Labels = Readonly<Record<string, string | number>>;

/** One line of metrics text. */
export function series(name: string, labels: Labels, value: number | string): string {
	const pairs = Object.entries(labels).map(([key, text]) => `${key}="${text}"`);
	return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
}

/** A histogram from values in seconds. */
export function histogram(name: string, labels: Labels, bounds: readonly number[], values: readonly number[]): string {
	const lines = [`# HELP ${name} Histogram of what it is.`, `# TYPE ${name} histogram`];
	for (const bound of [...bounds, Number.POSITIVE_INFINITY]) {
		const le = Number.isFinite(bound) ? bound.toFixed(3) : '+Inf';
		lines.push(series(`${name}_bucket`, { ...labels, le }, values.filter((value) => value <= bound).length));
	}
	lines.push(series(`${name}_count`, labels, values.length));
	lines.push(
		series(
			`${name}_sum`,
			labels,
			values.reduce((sum, value) => sum + value, 0),
		),
	);
	lines.push(series(`${name}_created`, labels, 1_788_860_277.5));
	return lines.join('\n');
}

export interface VllmEngine {
	readonly waiting: number;
	readonly running: number;
	readonly usage: number | string;
	readonly blocks?: number | string;
	readonly promptTokens?: number;
	readonly cachedTokens?: number;
	readonly generationTokens?: number;
	readonly preemptions?: number;
	readonly finished?: Readonly<Record<string, number>>;
	readonly ttftSeconds?: readonly number[];
	readonly tpotSeconds?: readonly number[];
}

export const ttftBounds = [0.001, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 1, 2.5, 10];
export const tpotBounds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.5, 1];

/** `/metrics` of vLLM V1 with one or more data-parallel engines. */
export function vllmBody(engines: readonly VllmEngine[], extra: readonly string[] = [], startSeconds = 1000): string {
	const lines = [
		'# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.',
		'# TYPE process_start_time_seconds gauge',
		series('process_start_time_seconds', {}, startSeconds),
		'python_info{implementation="CPython",major="3",minor="12"} 1.0',
	];
	for (const [index, engine] of engines.entries()) {
		const labels = { engine: index, model_name: 'org/model' };
		lines.push(
			'# HELP vllm:num_requests_running Number of requests in model execution batches.',
			'# TYPE vllm:num_requests_running gauge',
			series('vllm:num_requests_running', labels, engine.running.toFixed(1)),
			series('vllm:num_requests_waiting', labels, engine.waiting.toFixed(1)),
			series('vllm:num_requests_waiting_by_reason', { ...labels, reason: 'capacity' }, engine.waiting),
			series('vllm:kv_cache_usage_perc', labels, engine.usage),
			series(
				'vllm:cache_config_info',
				{ block_size: 16, cache_dtype: 'auto', engine: index, num_gpu_blocks: engine.blocks ?? 1000 },
				1,
			),
			series('vllm:prompt_tokens_total', labels, engine.promptTokens ?? 0),
			series('vllm:prompt_tokens_created', labels, 1_788_860_277.5),
			series('vllm:generation_tokens_total', labels, engine.generationTokens ?? 0),
			series('vllm:num_preemptions_total', labels, engine.preemptions ?? 0),
			series('vllm:prefix_cache_queries_total', labels, engine.promptTokens ?? 0),
			series('vllm:prefix_cache_hits_total', labels, engine.cachedTokens ?? 0),
			histogram('vllm:time_to_first_token_seconds', labels, ttftBounds, engine.ttftSeconds ?? []),
			histogram('vllm:inter_token_latency_seconds', labels, tpotBounds, engine.tpotSeconds ?? []),
		);
		for (const [reason, count] of Object.entries(engine.finished ?? {}))
			lines.push(series('vllm:request_success_total', { ...labels, finished_reason: reason }, count));
	}
	return `${[...lines, ...extra].join('\n')}\n`;
}
