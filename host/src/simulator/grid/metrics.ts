// Owns the names under which what a simulation answers can be put in an expression (`--threshold`, `--until`), and how each is read.
import { MeshError } from '@infermesh/proto';
import { checkThresholds, holds, type MetricKind, parseThresholds, type Threshold } from '../../load/threshold.js';
import type { Distribution, SimulationSummary, StrategyCosts } from '../result.js';
import { gridErrors } from './errors.js';

/** What a metric is read from: one simulation, or the mean over several. */
export interface Measured {
	readonly summary: SimulationSummary;
	readonly costs: StrategyCosts;
}

interface Metric {
	readonly kind: MetricKind;
	/** Null of what is not measured: the fuel of a native library. */
	readonly read: (measured: Measured) => number | null;
	/** Whether more load can only make it worse, and in which direction: what a search for capacity needs. */
	readonly worsens?: 'up' | 'down';
}

const STATISTICS = ['mean', 'p50', 'p90', 'p95', 'p99', 'max'] as const;
const DISTRIBUTIONS = ['ttft', 'tpot', 'e2e'] as const;

const METRICS: ReadonlyMap<string, Metric> = new Map<string, Metric>([
	...DISTRIBUTIONS.flatMap((name) =>
		STATISTICS.map((statistic): [string, Metric] => [
			`${name}.${statistic}`,
			{ kind: 'time', read: ({ summary }) => statisticOf(summary[name], statistic), worsens: 'up' },
		]),
	),
	['goodput', { kind: 'share', read: ({ summary }) => summary.goodput, worsens: 'down' }],
	[
		'fail.rate',
		{ kind: 'share', read: ({ summary }) => failed(summary) / Math.max(1, summary.requests), worsens: 'up' },
	],
	['hit', { kind: 'share', read: ({ summary }) => summary.hitRatio }],
	['imbalance', { kind: 'plain', read: ({ summary }) => summary.imbalance }],
	['preemptions', { kind: 'plain', read: ({ summary }) => summary.preemptions }],
	['hedge.waste', { kind: 'share', read: ({ summary }) => summary.hedgeWaste }],
	['regret', { kind: 'time', read: ({ summary }) => summary.regretMs }],
	['fuel.mean', { kind: 'plain', read: ({ costs }) => costs.fuelMean }],
	['fuel.max', { kind: 'plain', read: ({ costs }) => costs.fuelMax }],
	['fallbacks', { kind: 'plain', read: ({ costs }) => fallbacksOf(costs) }],
]);

/** Every metric with what it is measured in. */
export const SIMULATION_METRICS: ReadonlyMap<string, MetricKind> = new Map(
	[...METRICS].map(([name, metric]) => [name, metric.kind]),
);

/** Parses thresholds over simulations. Throws IM_THRESHOLD_*. */
export function parseSimulationThresholds(text: string): Threshold[] {
	const thresholds = parseThresholds(text);
	// A size (p99@1024) belongs to other commands; as part of the name it is reported as an unknown metric.
	const named = thresholds.map((it) => (it.size === undefined ? it : { ...it, metric: `${it.metric}@${it.size}` }));
	checkThresholds(named, SIMULATION_METRICS);
	return thresholds;
}

/** Parses what must hold up to the capacity. Throws IM_THRESHOLD_* and IM_SIMULATE_UNTIL. */
export function parseUntil(text: string): Threshold[] {
	const thresholds = parseSimulationThresholds(text);
	for (const { metric, operator, source } of thresholds) {
		const worsens = METRICS.get(metric)?.worsens;
		const right = operator.startsWith('<') ? 'up' : 'down';
		if (worsens === right) continue;
		const message =
			worsens === undefined
				? `${metric} does not get steadily worse with load`
				: `more load moves ${metric} ${worsens}: write ${worsens === 'up' ? '<' : '>'} or ${worsens === 'up' ? '<=' : '>='}`;
		throw new MeshError(gridErrors, 'IM_SIMULATE_UNTIL', message, { where: source });
	}
	return thresholds;
}

/** Value of a metric that `parseSimulationThresholds` let through; null of what is not measured. */
export function metricOf(name: string, measured: Measured): number | null {
	return METRICS.get(name)?.read(measured) ?? null;
}

/** Whether every threshold holds for the mean over all of `measured`. */
export function allHold(thresholds: readonly Threshold[], measured: readonly Measured[]): boolean {
	return thresholds.every(({ metric, operator, limit }) => {
		const actual = meanOf(metric, measured);
		return actual !== null && holds(actual, operator, limit);
	});
}

/** Null for none, and of what is not measured in one of them. */
export function meanOf(metric: string, measured: readonly Measured[]): number | null {
	const values = measured.map((one) => metricOf(metric, one)).filter((value) => value !== null);
	if (measured.length === 0 || values.length < measured.length) return null;
	return values.reduce((sum, value) => sum + value, 0) / measured.length;
}

export function fallbacksOf(costs: StrategyCosts): number {
	return Object.values(costs.fallbacks).reduce((sum, count) => sum + count, 0);
}

function failed(summary: SimulationSummary): number {
	return summary.requests - summary.finished;
}

function statisticOf(distribution: Distribution, statistic: (typeof STATISTICS)[number]): number {
	return distribution[statistic];
}
