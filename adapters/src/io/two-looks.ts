// Owns following a Prometheus body whose counters are to be compared with those of the look before.
import { parseMetrics } from '../prometheus/parser.js';
import type { MetricSamples, Sample } from '../prometheus/samples.js';
import { Increase } from '../runtimes/increase.js';
import { ScrapeView, type Selector } from '../runtimes/view.js';

/** One look, and what it says against the one before. */
export interface Compared {
	readonly samples: MetricSamples;
	readonly intervalMs: number | undefined;
	readonly restarted: () => boolean;
	/** Increase of counters; undefined on a first look, and where the body has none of that name. */
	readonly increase: (selector: Selector) => number | undefined;
	readonly gauges: (name: string) => readonly Sample[];
}

const plain = { prefixes: [''], rankLabels: [], totalsWhere: {}, modelLabel: '', rankLabel: '' } as const;

export class TwoLooks {
	readonly #wanted: readonly string[];
	#before: { readonly view: ScrapeView; readonly atMs: number } | undefined;

	constructor(wanted: readonly string[]) {
		this.#wanted = wanted;
	}

	take(body: string, atMs: number): Compared {
		const samples = parseMetrics(body, this.#wanted);
		const view = new ScrapeView(samples, plain);
		const before = this.#before;
		// A body that holds nothing says nothing about where counters stood.
		if (samples.byName.size > 0) this.#before = { view, atMs };
		const intervalMs = before === undefined || atMs <= before.atMs ? undefined : atMs - before.atMs;
		const increase = before === undefined || intervalMs === undefined ? undefined : new Increase(view, before.view);
		return {
			samples,
			intervalMs,
			restarted: () => increase?.restarted ?? false,
			increase: (selector) => {
				const by = view.select(selector).length === 0 ? undefined : increase?.counter(selector);
				// A counter below zero is none.
				return by !== undefined && by >= 0 ? by : undefined;
			},
			gauges: (name) => view.series(name).filter(({ value }) => value >= 0),
		};
	}
}
