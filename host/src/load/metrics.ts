// Owns the names under which the results of a load run can be put in a threshold, and how each is read from the result.
import type { Distribution, LoadResult } from './result.js';
import {
	checkThresholds,
	evaluateThresholds,
	type MetricKind,
	type Threshold,
	type ThresholdVerdict,
} from './threshold.js';

const STATISTICS = ['p50', 'p90', 'p95', 'p99', 'p99.9', 'max', 'min', 'mean'] as const;

const DISTRIBUTIONS: Readonly<Record<string, (result: LoadMeasurements) => Distribution | null>> = {
	ttft: (result) => result.latency.ttftMs,
	tpot: (result) => result.latency.tpotMs,
	itl: (result) => result.latency.itlMs,
	e2e: (result) => result.latency.e2eMs,
	lag: (result) => result.sendLagMs,
};

/** A result before its thresholds are judged. */
export type LoadMeasurements = Omit<LoadResult, 'thresholds' | 'passed'>;

interface Metric {
	readonly kind: MetricKind;
	readonly read: (result: LoadMeasurements) => number | undefined;
}

const METRICS: ReadonlyMap<string, Metric> = new Map([...distributionMetrics(), ...scalarMetrics()]);

/** Every metric a threshold of `bench` may name, with what it is measured in. */
export const LOAD_METRICS: ReadonlyMap<string, MetricKind> = new Map(
	[...METRICS].map(([name, metric]) => [name, metric.kind]),
);

/** Refuses thresholds that this run could not judge: unknown metrics, misfit units, goodput without an objective. */
export function checkLoadThresholds(thresholds: readonly Threshold[], hasSlo: boolean): void {
	const known = [...LOAD_METRICS].filter(([name]) => hasSlo || !name.startsWith('goodput'));
	// A size (p99@1024) belongs to other commands; as part of the name it is reported as an unknown metric.
	const named = thresholds.map((it) => (it.size === undefined ? it : { ...it, metric: `${it.metric}@${it.size}` }));
	checkThresholds(named, new Map(known));
}

export function evaluateLoadThresholds(thresholds: readonly Threshold[], result: LoadMeasurements): ThresholdVerdict[] {
	return evaluateThresholds(thresholds, (name) => METRICS.get(name)?.read(result));
}

function* distributionMetrics(): Generator<[string, Metric]> {
	for (const [name, distribution] of Object.entries(DISTRIBUTIONS)) {
		for (const statistic of STATISTICS)
			yield [`${name}.${statistic}`, { kind: 'time', read: (result) => distribution(result)?.[statistic] }];
	}
}

function scalarMetrics(): [string, Metric][] {
	// A share of nothing says nothing: without offered requests these fail rather than pass.
	const ifOffered = (read: (result: LoadMeasurements) => number | undefined) => (result: LoadMeasurements) =>
		result.requests.offered === 0 ? undefined : read(result);
	return [
		['fail.rate', { kind: 'share', read: ifOffered((result) => result.failRate) }],
		['fail.count', { kind: 'plain', read: (result) => result.requests.failed + result.requests.dropped }],
		['drop.rate', { kind: 'share', read: ifOffered((result) => result.requests.dropped / result.requests.offered) }],
		['drop.count', { kind: 'plain', read: (result) => result.requests.dropped }],
		['goodput', { kind: 'share', read: ifOffered((result) => result.goodput?.share) }],
		['goodput.rps', { kind: 'plain', read: (result) => result.goodput?.requestsPerSecond }],
		['requests', { kind: 'plain', read: (result) => result.requests.completed }],
		['rps', { kind: 'plain', read: (result) => result.requestsPerSecond }],
		['output.rate', { kind: 'plain', read: (result) => result.outputTokensPerSecond }],
	];
}
