export { orcaBounds, parseOrcaHeader } from './orca.js';
export { MetricsParser, parseMetrics } from './prometheus/parser.js';
export {
	labelOf,
	type MetricSamples,
	type MetricsLimits,
	type MetricsProblem,
	metricsLimitDefaults,
	type ProblemKind,
	type Sample,
} from './prometheus/samples.js';
export type { RuntimeAdapter, RuntimeName, Scrape } from './runtimes/adapter.js';
export { detectRuntime, runtimeAdapters } from './runtimes/detect.js';
export { RuntimeReader, type RuntimeReaderOptions } from './runtimes/reader.js';
export { sglangAdapter } from './runtimes/sglang.js';
export { vllmAdapter } from './runtimes/vllm.js';
