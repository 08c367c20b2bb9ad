// Owns the counters of decisions, kept by the thread that decides: who answered, how long it took, how much fuel it burned, why the
// fallback stepped in, and strikes. Whether strikes lead to quarantine is the strategy host's.
import type { Decision, FallbackCause } from '../strategy/runtime/decision.js';
import { strikeCauses } from '../strategy/runtime/decision.js';
import type { HistogramSeries, MetricsBlock, Series } from './block.js';

export interface DecisionMetrics {
	/**
	 * Counts one decision of `model`. `intended` is the strategy that should have answered (`name@version`), undefined when none is
	 * active; a strike is held against it.
	 */
	decided(model: string, intended: string | undefined, decision: Decision): void;
}

interface StrategySeries {
	readonly duration: HistogramSeries;
	readonly fuel: HistogramSeries;
	/** By model, then verdict. */
	readonly decisions: Map<string, Map<string, Series>>;
}

/** Strategies, models and causes whose series are kept; beyond it they are looked up each time. */
const KEPT_MAX = 1024;

function keep<K, V>(map: Map<K, V>, key: K, make: () => V): V {
	let value = map.get(key);
	if (value !== undefined) return value;
	value = make();
	if (map.size < KEPT_MAX) map.set(key, value);
	return value;
}

export function createDecisionMetrics(block: MetricsBlock): DecisionMetrics {
	const strategies = new Map<string, StrategySeries>();
	const fallbacks = new Map<string, Map<FallbackCause, Series>>();
	const strikes = new Map<string, Map<FallbackCause, Series>>();
	const open = (strategy: string): StrategySeries => ({
		duration: block.histogram('decisionDuration', strategy),
		fuel: block.histogram('decisionFuel', strategy),
		decisions: new Map(),
	});
	return {
		decided(model, intended, decision) {
			const { strategy, verdict, cause } = decision;
			const series = keep(strategies, strategy, () => open(strategy));
			const verdicts = keep(series.decisions, model, () => new Map<string, Series>());
			keep(verdicts, verdict, () => block.counter('decisions', strategy, model, verdict)).add(1);
			series.duration.observe(decision.durationNs / 1e9);
			if (decision.fuel > 0) series.fuel.observe(decision.fuel);
			if (cause === 'none') return;
			const causes = keep(fallbacks, model, () => new Map<FallbackCause, Series>());
			keep(causes, cause, () => block.counter('fallbacks', model, cause)).add(1);
			if (intended === undefined || !strikeCauses.has(cause)) return;
			const held = keep(strikes, intended, () => new Map<FallbackCause, Series>());
			keep(held, cause, () => block.counter('strikes', intended, cause)).add(1);
		},
	};
}
