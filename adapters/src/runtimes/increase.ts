// Owns what two scrapes of one target say together: increases of counters and histograms, with restarts recognised.
//
// A series counts by itself, so that an engine which joins or leaves does not look like traffic: a new series began at
// zero if the earlier body was complete, one that fell began anew, one that went away adds nothing.
import type { Sample } from '../prometheus/samples.js';
import { boundOf, type HistogramIncrease } from './histogram-plan.js';
import type { ScrapeView, Selector } from './view.js';

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
		const now = this.#current.select(selector);
		if (alike(now, base)) return this.#aligned(now, base);
		const before = new Map<string, number>();
		for (const sample of base) before.set(this.#previous.keyOf(sample, ''), sample.value);
		let total = 0;
		for (const sample of now) {
			const from = before.get(this.#current.keyOf(sample, '')) ?? 0;
			total += this.#step(sample.value, from);
		}
		return total;
	}

	/** Of series that stand where they stood. */
	#aligned(now: readonly Sample[], was: readonly Sample[]): number {
		let total = 0;
		for (let i = 0; i < now.length; i++) total += this.#step((now[i] as Sample).value, (was[i] as Sample).value);
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
		if (!this.#replaced) {
			const now = this.#current.histogram(name, not);
			const was = this.#previous.histogram(name, not);
			const plan = this.#current.planOf(now);
			if (plan?.fits(was) === true) return plan.increase(now, was, () => (this.#fell = true));
		}
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

/** Whether the series are the same, in the same order: labels that are alike are one array. */
function alike(a: readonly Sample[], b: readonly Sample[]): boolean {
	if (a.length !== b.length) return false;
	for (let i = 0; i < a.length; i++) if ((a[i] as Sample).labels !== (b[i] as Sample).labels) return false;
	return true;
}

/** The series of a histogram, by identity. */
function collect(
	view: ScrapeView,
	name: string,
	not: Readonly<Record<string, string>>,
): ReadonlyMap<string, HistogramSeries> {
	const found = new Map<string, HistogramSeries>();
	const { buckets, counts, sums } = view.histogram(name, not);
	for (const sample of buckets) {
		const bound = boundOf(sample);
		if (bound !== undefined) seriesOf(found, view.keyOf(sample, 'le')).buckets.set(bound, sample.value);
	}
	for (const sample of counts) seriesOf(found, view.keyOf(sample, 'le')).count = sample.value;
	for (const sample of sums) seriesOf(found, view.keyOf(sample, 'le')).sum = sample.value;
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
