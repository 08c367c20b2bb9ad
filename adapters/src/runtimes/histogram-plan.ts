// Owns comparing a histogram of two scrapes whose series are the same, in the same order: which sample is which bucket of which series is worked out once for a set of labels,
// and kept for every target that has it. From then on an increase is a walk over two arrays. What is not alike is increase.ts's.
import { labelOf, type Sample } from '../prometheus/samples.js';
import { parseValue } from '../prometheus/value.js';

/** The samples of one histogram in one scrape. */
export interface HistogramSamples {
	readonly buckets: readonly Sample[];
	readonly counts: readonly Sample[];
	readonly sums: readonly Sample[];
}

/** The increase of a histogram, all series together. */
export interface HistogramIncrease {
	readonly count: number;
	readonly sum: number;
	/** Upper bounds, ascending, the last one possibly infinite. */
	readonly bounds: readonly number[];
	/** Increase of the number of values at or below each bound. */
	readonly cumulative: readonly number[];
}

type Labels = readonly string[];

/** No bucket: its bound is no number. */
const NONE = -1;

export class HistogramPlan {
	readonly #labels: {
		readonly buckets: readonly Labels[];
		readonly counts: readonly Labels[];
		readonly sums: readonly Labels[];
	};
	readonly #series: { readonly buckets: Int32Array; readonly counts: Int32Array; readonly sums: Int32Array };
	/** Of each bucket its place in `#bounds`. */
	readonly #places: Int32Array;
	readonly #bounds: readonly number[];
	readonly #count: number;

	private constructor(samples: HistogramSamples, keyOf: (sample: Sample) => string) {
		const { buckets, counts, sums } = samples;
		const labels = (list: readonly Sample[]): Labels[] => list.map((sample) => sample.labels);
		this.#labels = { buckets: labels(buckets), counts: labels(counts), sums: labels(sums) };
		const known = new Map<string, number>();
		const series = (list: readonly Sample[]): Int32Array =>
			Int32Array.from(list, (sample) => {
				const key = keyOf(sample);
				const place = known.get(key) ?? known.size;
				known.set(key, place);
				return place;
			});
		this.#series = { buckets: series(buckets), counts: series(counts), sums: series(sums) };
		this.#count = known.size;
		const bounds = buckets.map(boundOf);
		const finite = bounds.filter((bound) => bound !== undefined);
		this.#bounds = [...new Set(finite)].sort((a, b) => a - b);
		this.#places = Int32Array.from(bounds, (bound) => (bound === undefined ? NONE : this.#bounds.indexOf(bound)));
	}

	/** Undefined where two samples are the same bucket, count or sum. */
	static of(samples: HistogramSamples, keyOf: (sample: Sample) => string): HistogramPlan | undefined {
		const plan = new HistogramPlan(samples, keyOf);
		const { buckets, counts, sums } = plan.#series;
		const cells = Array.from(
			buckets,
			(series, at) => `${series} ${plan.#places[at] === NONE ? `none ${at}` : plan.#places[at]}`,
		);
		const alone = [cells, [...counts], [...sums]].every((list) => new Set<unknown>(list).size === list.length);
		return alone ? plan : undefined;
	}

	/** Whether these are the series the plan was made for: labels that are alike are one array. */
	fits({ buckets, counts, sums }: HistogramSamples): boolean {
		const labels = this.#labels;
		return same(labels.buckets, buckets) && same(labels.counts, counts) && same(labels.sums, sums);
	}

	/** What has come since `was`, of samples that both fit; a series of which anything fell began anew. `fell` is told of it. */
	increase(now: HistogramSamples, was: HistogramSamples, fell: () => void): HistogramIncrease {
		const { buckets: bucketSeries, counts: countSeries, sums: sumSeries } = this.#series;
		const places = this.#places;
		const anew = new Uint8Array(this.#count);
		mark(anew, countSeries, undefined, now.counts, was.counts);
		mark(anew, bucketSeries, places, now.buckets, was.buckets);
		if (anew.includes(1)) fell();
		const cumulative = this.#bounds.map(() => 0);
		for (let i = 0; i < places.length; i++) {
			const place = places[i] as number;
			if (place === NONE) continue;
			const from = anew[bucketSeries[i] as number] === 1 ? 0 : (was.buckets[i] as Sample).value;
			cumulative[place] = (cumulative[place] as number) + (now.buckets[i] as Sample).value - from;
		}
		const count = total(anew, countSeries, now.counts, was.counts);
		return { count, sum: total(anew, sumSeries, now.sums, was.sums), bounds: this.#bounds, cumulative };
	}
}

/** The upper bound of a bucket. */
export function boundOf(sample: Sample): number | undefined {
	const le = labelOf(sample, 'le');
	return parseValue(le, 0, le.length);
}

/** Whether the samples have these labels, in this order. */
function same(labels: readonly Labels[], samples: readonly Sample[]): boolean {
	if (labels.length !== samples.length) return false;
	for (let i = 0; i < labels.length; i++) if (labels[i] !== (samples[i] as Sample).labels) return false;
	return true;
}

function mark(
	anew: Uint8Array,
	series: Int32Array,
	places: Int32Array | undefined,
	now: readonly Sample[],
	was: readonly Sample[],
): void {
	for (let i = 0; i < series.length; i++)
		if ((now[i] as Sample).value < (was[i] as Sample).value && places?.[i] !== NONE) anew[series[i] as number] = 1;
}

function total(anew: Uint8Array, series: Int32Array, now: readonly Sample[], was: readonly Sample[]): number {
	let sum = 0;
	for (let i = 0; i < series.length; i++)
		sum += (now[i] as Sample).value - (anew[series[i] as number] === 1 ? 0 : (was[i] as Sample).value);
	return sum;
}
