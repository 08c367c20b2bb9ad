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
