// Owns the form in which a runtime is described: which of its metrics, under which names of which version, make which
// signal. The descriptions are in vllm.ts and sglang.ts, their interpreter in mapped-adapter.ts.
// Metric names stand without the runtime's prefix. Where there are alternatives, the first one present in the body counts.
import type { RuntimeName } from './adapter.js';
import type { Draft, NumericSignal } from './draft.js';
import type { ScrapeView, Selector, ViewRules } from './view.js';

/** A signal that is a metric's present value. */
export interface GaugeRule {
	readonly signal: NumericSignal;
	readonly anyOf: readonly string[];
	/** Further metrics added to it where present; each entry is a list of alternatives. */
	readonly plus?: readonly (readonly string[])[];
	/** `sum` over data-parallel engines, or the `max` over every series. */
	readonly fold: 'sum' | 'max';
	/** `ratio` values lie between 0 and 1; all are at least 0. */
	readonly range: 'count' | 'ratio';
	/** `always`: absence is reported. `fallback`: taken only where nothing else set the signal; no complaint. */
	readonly use: 'always' | 'fallback';
}

/** A signal that is a counter's value since the runtime started. */
export interface TotalRule {
	readonly signal: NumericSignal;
	readonly anyOf: readonly string[];
}

/** A difference of sums of counters. */
export interface CounterTerm {
	readonly plus: readonly Selector[];
	readonly minus?: readonly Selector[];
}

/** A signal that is an increase a second. */
export interface RateRule {
	readonly signal: NumericSignal;
	readonly anyOf: readonly CounterTerm[];
}

/** A signal that is the increase of `part` over the increase of `whole`, 0 to 1. */
export interface RatioRule {
	readonly signal: NumericSignal;
	readonly anyOf: readonly { readonly part: readonly Selector[]; readonly whole: readonly Selector[] }[];
}

/** Two signals from the increase of a histogram of seconds. */
export interface HistogramRule {
	readonly meanMs: NumericSignal;
	readonly p95Ms: NumericSignal;
	/** Names without `_bucket`, `_sum` and `_count`. */
	readonly anyOf: readonly string[];
	readonly not?: Readonly<Record<string, string>>;
}

export interface RuntimeMapping extends ViewRules {
	readonly runtime: RuntimeName;
	/** The metric whose `model_name` labels name the served models. */
	readonly modelsFrom: readonly string[];
	readonly gauges: readonly GaugeRule[];
	readonly totals: readonly TotalRule[];
	readonly rates: readonly RateRule[];
	readonly ratios: readonly RatioRule[];
	readonly histograms: readonly HistogramRule[];
	/** Names that `derive` reads. */
	readonly derivedFrom: readonly string[];
	/** What no rule can say: capacities, adapters, sleep. Runs after the gauges. */
	derive(view: ScrapeView, draft: Draft): void;
}
