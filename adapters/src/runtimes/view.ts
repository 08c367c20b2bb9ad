// Owns looking series up in a scrape by a mapping's rules: prefix, breakdowns dropped, one rank speaking for its engine.
import { labelOf, type MetricSamples, type Sample } from '../prometheus/samples.js';
import { HistogramPlan, type HistogramSamples } from './histogram-plan.js';

/** The metric of client libraries that tells one life of a process from the next. */
export const processStartName = 'process_start_time_seconds';

/** Series of a metric by label; an absent label equals an empty one. */
export interface Selector {
	readonly name: string;
	/** Keep only series with these label values. */
	readonly where?: Readonly<Record<string, string>>;
	/** Drop series with any of these label values. */
	readonly not?: Readonly<Record<string, string>>;
}

/** How a runtime's series are to be looked at. */
export interface ViewRules {
	/** The beginnings of the runtime's metric names, preferred first. */
	readonly prefixes: readonly string[];
	/** Labels that tell apart workers of one engine which all report the same: of those series the lowest rank speaks. */
	readonly rankLabels: readonly string[];
	/** Series that break a total down, to be dropped everywhere: kept are only those with these label values. */
	readonly totalsWhere: Readonly<Record<string, string>>;
	/** The label that names the model of a series. */
	readonly modelLabel: string;
	/** The label that numbers data-parallel engines of one process; empty = they are not told apart. */
	readonly rankLabel: string;
}

export class ScrapeView {
	readonly samples: MetricSamples;
	readonly #rules: ViewRules;
	readonly #spoken = new Map<string, readonly Sample[]>();

	constructor(samples: MetricSamples, rules: ViewRules) {
		this.samples = samples;
		this.#rules = rules;
	}

	/** Whether the body has a series of `name` (without prefix). */
	has(name: string): boolean {
		return this.every(name).length > 0;
	}

	/** The first of `names` the body has. */
	firstOf(names: readonly string[]): string | undefined {
		return names.find((name) => this.has(name));
	}

	/** Every series a selector meets, of all ranks; values may be anything. */
	all({ name, where, not }: Selector): readonly Sample[] {
		const series = this.every(name);
		if (where === undefined && not === undefined) return series;
		return series.filter((sample) => meets(sample, where, not));
	}

	/** Every series of `name`, of all ranks; values may be anything. */
	every(name: string): readonly Sample[] {
		for (const full of fullNames(this.#rules.prefixes, name)) {
			const found = this.samples.byName.get(full);
			if (found !== undefined) return found;
		}
		return NO_SAMPLES;
	}

	/** Series of `name` with one rank speaking for each engine, and no breakdown of a total; all finite. */
	series(name: string): readonly Sample[] {
		const known = this.#spoken.get(name);
		if (known !== undefined) return known;
		const { rankLabels, totalsWhere } = this.#rules;
		const all = this.every(name);
		const isKept = (s: Sample): boolean => Number.isFinite(s.value) && matches(s, totalsWhere);
		const kept = all.every(isKept) ? all : all.filter(isKept);
		const spoken = rankLabels.length === 0 ? kept : speakers(kept, rankLabels);
		this.#spoken.set(name, spoken);
		return spoken;
	}

	/** As `series`, narrowed by a selector. */
	select(selector: Selector): readonly Sample[] {
		const { where, not } = selector;
		const series = this.series(selector.name);
		if (where === undefined && not === undefined) return series;
		return series.filter((sample) => meets(sample, where, not));
	}

	/** The samples of the histogram called `name`, narrowed as by a selector. */
	histogram(name: string, not: Readonly<Record<string, string>>): HistogramSamples {
		const [buckets, counts, sums] = histogramNames(name);
		const select = (part: string): readonly Sample[] => {
			const series = this.series(part);
			return series.some((sample) => matchesAny(sample, not)) ? this.select({ name: part, not }) : series;
		};
		return { buckets: select(buckets), counts: select(counts), sums: select(sums) };
	}

	/** The plan by which a histogram of these series is compared; undefined where there can be none. */
	planOf(samples: HistogramSamples): HistogramPlan | undefined {
		const [first] = samples.buckets;
		if (first === undefined) return undefined;
		let byLabels = plans.get(this.#rules);
		if (byLabels === undefined) plans.set(this.#rules, (byLabels = new WeakMap()));
		const known = byLabels.get(first.labels) ?? [];
		const fitting = known.find((plan) => plan.fits(samples));
		if (fitting !== undefined) return fitting;
		const made = HistogramPlan.of(samples, (sample) => this.keyOf(sample, 'le'));
		if (made !== undefined) byLabels.set(first.labels, [made, ...known].slice(0, PLANS_MAX));
		return made;
	}

	/** The identity of a series of this runtime, without its rank and the labels in `dropped`. */
	keyOf(sample: Sample, dropped: string): string {
		return seriesKey(sample, this.#rules.rankLabels, dropped);
	}

	/** Start of the process, s since the epoch, where the runtime exports it. */
	processStartSeconds(): number | undefined {
		return this.samples.byName.get(processStartName)?.[0]?.value;
	}
}

const NO_SAMPLES: readonly Sample[] = [];

/** Plans that begin with the same labels: histograms of one runtime, and targets with more or fewer engines. */
const PLANS_MAX = 8;
const plans = new WeakMap<ViewRules, WeakMap<readonly string[], readonly HistogramPlan[]>>();

/** Names are put together once: a string that is new has to be hashed for every look-up. */
const names = new WeakMap<readonly string[], Map<string, readonly string[]>>();
const parts = new Map<string, readonly [buckets: string, counts: string, sums: string]>();

function fullNames(prefixes: readonly string[], name: string): readonly string[] {
	let known = names.get(prefixes);
	if (known === undefined) names.set(prefixes, (known = new Map()));
	let full = known.get(name);
	if (full === undefined) known.set(name, (full = prefixes.map((prefix) => prefix + name)));
	return full;
}

function histogramNames(name: string): readonly [buckets: string, counts: string, sums: string] {
	let known = parts.get(name);
	if (known === undefined) parts.set(name, (known = [`${name}_bucket`, `${name}_count`, `${name}_sum`]));
	return known;
}

function meets(sample: Sample, where: Selector['where'], not: Selector['not']): boolean {
	return (where === undefined || matches(sample, where)) && (not === undefined || !matchesAny(sample, not));
}

function matches(sample: Sample, where: Readonly<Record<string, string>>): boolean {
	for (const name in where) if (labelOf(sample, name) !== where[name]) return false;
	return true;
}

function matchesAny(sample: Sample, not: Readonly<Record<string, string>>): boolean {
	for (const name in not) if (labelOf(sample, name) === not[name]) return true;
	return false;
}

/** Keys by labels, then by what they leave out: labels of a series are one array from scrape to scrape. */
const keys = new WeakMap<readonly string[], Map<string, string>>();

function seriesKey({ labels }: Sample, ranks: readonly string[], dropped: string): string {
	let known = keys.get(labels);
	if (known === undefined) {
		known = new Map();
		keys.set(labels, known);
	}
	const left = ranks.length === 0 ? dropped : `${ranks.join()},${dropped}`;
	let key = known.get(left);
	if (key === undefined) {
		key = writeKey(labels, ranks, dropped);
		known.set(left, key);
	}
	return key;
}

function writeKey(labels: readonly string[], ranks: readonly string[], dropped: string): string {
	let key = '';
	for (let i = 0; i + 1 < labels.length; i += 2) {
		const name = labels[i] ?? '';
		if (name !== dropped && !ranks.includes(name)) key += `${name}\u0000${labels[i + 1]}\u0000`;
	}
	return key;
}

/** Of the series that differ in rank only, the one of the lowest rank. */
function speakers(series: readonly Sample[], ranks: readonly string[]): readonly Sample[] {
	const lowest = new Map<string, Sample>();
	for (const sample of series) {
		const key = seriesKey(sample, ranks, '');
		const other = lowest.get(key);
		if (other === undefined || rankOf(sample, ranks) < rankOf(other, ranks)) lowest.set(key, sample);
	}
	return [...lowest.values()];
}

/** Ranks of up to 4,096 workers a dimension, the first label weighing most. */
function rankOf(sample: Sample, ranks: readonly string[]): number {
	let order = 0;
	for (const rank of ranks) order = order * 4096 + (Number(labelOf(sample, rank)) || 0);
	return order;
}
