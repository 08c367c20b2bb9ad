export { orcaBounds, parseOrcaHeader } from './orca.js';
export { LabelCache, MetricsParser, parseMetrics } from './prometheus/parser.js';
export {
	labelOf,
	type MetricSamples,
	type MetricsLimits,
	type MetricsProblem,
	metricsLimitDefaults,
	type ProblemKind,
	type Sample,
} from './prometheus/samples.js';
export { WantedNames } from './prometheus/wanted-names.js';
export {
	type Answer,
	type Companion,
	type RuntimeAdapter,
	type RuntimeName,
	runtimeNames,
	type Scrape,
} from './runtimes/adapter.js';
export {
	detectEndpoint,
	detectRuntime,
	endpointHintPaths,
	isRuntimeName,
	runtimeAdapters,
} from './runtimes/detect.js';
export { RuntimeReader, type RuntimeReaderOptions } from './runtimes/reader.js';
export { sglangAdapter } from './runtimes/sglang.js';
export { vllmAdapter } from './runtimes/vllm.js';
