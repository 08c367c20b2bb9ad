// Owns the form in which a runtime is described: which of its metrics, under which names of which version and in which unit, make which
// signal. The descriptions are in a file for each runtime, their interpreter in mapped-adapter.ts.
// Metric names stand without the runtime's prefix. Where there are alternatives, the first one present in the body counts.
import type { RuntimeName } from './adapter.js';
import type { Draft, NumericSignal } from './draft.js';
import type { ScrapeView, Selector, ViewRules } from './view.js';

/** A metric name, or the series of one that have certain labels. */
export type Metric = string | Selector;

/** A signal that is a metric's present value. */
export interface GaugeRule {
	readonly signal: NumericSignal;
	readonly anyOf: readonly Metric[];
	/** Further metrics added to it where present; each entry is a list of alternatives. */
	readonly plus?: readonly (readonly Metric[])[];
	/** Metrics taken off it where present, down to 0; each entry is a list of alternatives. */
	readonly minus?: readonly (readonly Metric[])[];
	/** `sum` over data-parallel engines and models, or the `max` over every series. */
	readonly fold: 'sum' | 'max';
	/** `ratio` values lie between 0 and 1; all are at least 0. */
	readonly range: 'count' | 'ratio';
	/** Makes the metric's unit the signal's: 0.001 for µs to ms, 0.01 for per cent to a ratio. */
	readonly scale?: number;
	/** `always`: absence is reported. `optional`: it is not. `fallback`: taken only where nothing else set the signal; no complaint. */
	readonly use: 'always' | 'optional' | 'fallback';
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

/** A signal that is the increase of `part` over the increase of `whole`. */
export interface RatioRule {
	readonly signal: NumericSignal;
	readonly anyOf: readonly { readonly part: readonly Selector[]; readonly whole: readonly Selector[] }[];
	/** Of a mean of something else than shares: makes the unit of part over whole the signal's. Absent: a ratio, 0 to 1. */
	readonly scale?: number;
}

/** Two signals from the increase of a histogram. */
export interface HistogramRule {
	readonly meanMs: NumericSignal;
	/** Absent: the mean alone is wanted, and the buckets are not read. */
	readonly p95Ms?: NumericSignal;
	/** Names without `_bucket`, `_sum` and `_count`. */
	readonly anyOf: readonly string[];
	readonly not?: Readonly<Record<string, string>>;
	/** Milliseconds in the unit of its bounds: 1,000 of seconds, 0.001 of µs. */
	readonly unitMs: number;
}

export interface RuntimeMapping extends ViewRules {
	readonly runtime: RuntimeName;
	/** Beginnings of names by which a body is known; by default the prefixes. */
	readonly knownBy?: readonly string[];
	/** The metrics whose labels name the served models. */
	readonly modelsFrom: readonly string[];
	readonly gauges: readonly GaugeRule[];
	readonly totals: readonly TotalRule[];
	readonly rates: readonly RateRule[];
	readonly ratios: readonly RatioRule[];
	readonly histograms: readonly HistogramRule[];
	/** Names that `derive` reads. */
	readonly derivedFrom?: readonly string[];
	/** What no rule can say: capacities, adapters, sleep. Runs after the gauges. */
	derive?(view: ScrapeView, draft: Draft): void;
}

/** What most descriptions do not need to say. */
export const plainRules = Object.freeze({
	rankLabels: [],
	totalsWhere: {},
	modelLabel: 'model_name',
	rankLabel: '',
	totals: [],
	rates: [],
	ratios: [],
	histograms: [],
});

/** A metric as a selector. */
export function selectorOf(metric: Metric): Selector {
	return typeof metric === 'string' ? { name: metric } : metric;
}
