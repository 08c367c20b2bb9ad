// Owns the interface by which the mesh reads an inference runtime's metrics. Sans-I/O: the host fetches the body and
// knows the time; an adapter turns one look, and the one before it, into a delta.
import type { ModelStateDelta } from '@infermesh/proto';
import type { MetricSamples } from '../prometheus/samples.js';

export type RuntimeName = 'vllm' | 'sglang';

/** The wanted samples of one fetch of a runtime's metrics. */
export interface Scrape {
	readonly samples: MetricSamples;
	/** When the body arrived, in the reader's monotonic clock, ms. */
	readonly atMs: number;
}

/** Reads one kind of runtime. Stateless: one instance serves any number of targets. */
export interface RuntimeAdapter {
	readonly name: RuntimeName;
	/** The metric names to parse for, old and new ones, full as they stand in a body. */
	readonly wantedNames: readonly string[];
	/** Whether `body` is the metrics text of this runtime. */
	detect(body: string): boolean;
	/** Whether there is any series of this runtime among `samples`; if not, they say nothing about where counters stood. */
	recognises(samples: MetricSamples): boolean;
	/**
	 * What `current` tells, and what it tells against `previous` of the same target. Without a `previous`, or with one that
	 * is not older, there are no rates, ratios of increases or percentiles. Never throws; what is missing is in `unread`.
	 */
	read(current: Scrape, previous?: Scrape): ModelStateDelta;
}
