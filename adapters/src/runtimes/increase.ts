// Owns what two scrapes of one target say together: increases of counters and histograms, with restarts recognised.
//
// A series counts by itself, so that an engine which joins or leaves does not look like traffic: a new series began at
// zero if the earlier body was complete, one that fell began anew, one that went away adds nothing.
import { labelOf, type Sample } from '../prometheus/samples.js';
import { parseValue } from '../prometheus/value.js';
import type { ScrapeView, Selector } from './view.js';

/** The increase of a histogram, all series together. */
export interface HistogramIncrease {
	readonly count: number;
	readonly sum: number;
	/** Upper bounds, ascending, the last one possibly infinite. */
	readonly bounds: readonly number[];
	/** Increase of the number of values at or below each bound. */
	readonly cumulative: readonly number[];
}

interface HistogramSeries {
	readonly buckets: Map<number, number>;
	count: number;
	sum: number;
}

export class Increase {
	readonly #current: ScrapeView;
	readonly #previous: ScrapeView;
	/** The process is another one: all counters began at zero, also those that have overtaken their old value. */
	readonly #replaced: boolean;
	#fell = false;

	constructor(current: ScrapeView, previous: ScrapeView) {
		this.#current = current;
		this.#previous = previous;
		const began = previous.processStartSeconds();
		this.#replaced = began !== undefined && began !== (current.processStartSeconds() ?? began);
	}

	/** Whether the runtime began anew between the scrapes, as far as the reads up to now have shown. */
	get restarted(): boolean {
		return this.#replaced || this.#fell;
	}

	/** Increase of the counters of a selector; `undefined` when the earlier scrape cannot tell. */
	counter(selector: Selector): number | undefined {
		const base = this.#base(selector);
		if (base === undefined) return undefined;
		const before = new Map<string, number>();
		for (const sample of base) before.set(this.#previous.keyOf(sample, ''), sample.value);
		let total = 0;
		for (const sample of this.#current.select(selector)) {
			const from = before.get(this.#current.keyOf(sample, '')) ?? 0;
			total += this.#step(sample.value, from);
		}
		return total;
	}

	/** Increase of the sum of several selectors. */
	counters(selectors: readonly Selector[]): number | undefined {
		let total = 0;
		for (const selector of selectors) {
			const increase = this.counter(selector);
			if (increase === undefined) return undefined;
			total += increase;
		}
		return total;
	}

	/** Increase of the histogram called `name`; `undefined` when the earlier scrape cannot tell. */
	histogram(name: string, not: Readonly<Record<string, string>>): HistogramIncrease | undefined {
		if (this.#base({ name: `${name}_bucket` }) === undefined) return undefined;
		const before = this.#replaced ? new Map<string, HistogramSeries>() : collect(this.#previous, name, not);
		const buckets = new Map<number, number>();
		let count = 0;
		let sum = 0;
		for (const [key, now] of collect(this.#current, name, not)) {
			const was = this.#sound(now, before.get(key));
			count += now.count - (was?.count ?? 0);
			sum += now.sum - (was?.sum ?? 0);
			for (const [bound, value] of now.buckets)
				buckets.set(bound, (buckets.get(bound) ?? 0) + value - (was?.buckets.get(bound) ?? 0));
		}
		const bounds = [...buckets.keys()].sort((a, b) => a - b);
		return { count, sum, bounds, cumulative: bounds.map((bound) => buckets.get(bound) ?? 0) };
	}

	/** The earlier series to count from; `undefined` when they may have been lost with a cut body. */
	#base(selector: Selector): readonly Sample[] | undefined {
		if (this.#replaced) return [];
		const found = this.#previous.select(selector);
		return found.length > 0 || this.#previous.samples.complete ? found : undefined;
	}

	#step(now: number, was: number): number {
		if (now >= was) return now - was;
		this.#fell = true;
		return now;
	}

	/** The earlier state of a histogram series, unless it began anew since. */
	#sound(now: HistogramSeries, was: HistogramSeries | undefined): HistogramSeries | undefined {
		if (was === undefined) return undefined;
		let fell = now.count < was.count;
		for (const [bound, value] of now.buckets) fell ||= value < (was.buckets.get(bound) ?? 0);
		if (fell) this.#fell = true;
		return fell ? undefined : was;
	}
}

/** The series of a histogram, by identity. */
function collect(
	view: ScrapeView,
	name: string,
	not: Readonly<Record<string, string>>,
): ReadonlyMap<string, HistogramSeries> {
	const found = new Map<string, HistogramSeries>();
	for (const sample of view.select({ name: `${name}_bucket`, not })) {
		const le = labelOf(sample, 'le');
		const bound = parseValue(le, 0, le.length);
		if (bound !== undefined) seriesOf(found, view.keyOf(sample, 'le')).buckets.set(bound, sample.value);
	}
	for (const sample of view.select({ name: `${name}_count`, not }))
		seriesOf(found, view.keyOf(sample, 'le')).count = sample.value;
	for (const sample of view.select({ name: `${name}_sum`, not }))
		seriesOf(found, view.keyOf(sample, 'le')).sum = sample.value;
	return found;
}

function seriesOf(found: Map<string, HistogramSeries>, key: string): HistogramSeries {
	let series = found.get(key);
	if (series === undefined) {
		series = { buckets: new Map(), count: 0, sum: 0 };
		found.set(key, series);
	}
	return series;
}

/**
 * The `q`-quantile (0 to 1) of a histogram's increase, in the unit of its bounds: linear inside a bucket, the lowest
 * bucket beginning at 0, and the last finite bound for values beyond it (as PromQL's histogram_quantile).
 * `undefined` when nothing was counted or there is no finite bound.
 */
export function quantileOf(histogram: HistogramIncrease, q: number): number | undefined {
	const { bounds, cumulative } = histogram;
	const total = Math.max(histogram.count, cumulative.at(-1) ?? 0);
	if (!(total > 0)) return undefined;
	const rank = q * total;
	let lower = 0;
	let below = 0;
	for (let i = 0; i < bounds.length; i++) {
		const upper = bounds[i] ?? Number.POSITIVE_INFINITY;
		// Scraped while it was being written, a bucket may lag behind the one before it.
		const reached = Math.max(below, cumulative[i] ?? 0);
		if (upper === Number.POSITIVE_INFINITY) break;
		if (reached >= rank && reached > below) {
			return upper <= 0 ? upper : lower + ((upper - lower) * (rank - below)) / (reached - below);
		}
		lower = upper;
		below = reached;
	}
	return bounds.some(Number.isFinite) ? lower : undefined;
}
