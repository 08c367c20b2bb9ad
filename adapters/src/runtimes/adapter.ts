// Owns the interface by which the mesh reads an inference runtime. Sans-I/O: the host fetches bodies and knows the time; an adapter turns one
// look, and the one before it, into a delta.
import type { ModelStateDelta } from '@infermesh/proto';
import type { MetricSamples } from '../prometheus/samples.js';
import type { WantedNames } from '../prometheus/wanted-names.js';
import type { Draft } from './draft.js';
import type { ScrapeView } from './view.js';

/** The runtimes that are read by adapters of their own. */
export const runtimeNames = [
	'vllm',
	'sglang',
	'tgi',
	'triton',
	'trtllm',
	'torchserve',
	'tfserving',
	'ovms',
	'llamacpp',
	'kserve',
] as const;

export type RuntimeName = (typeof runtimeNames)[number];

/** The wanted samples of one fetch of a runtime's metrics. */
export interface Scrape {
	readonly samples: MetricSamples;
	/** When the body arrived, in the reader's monotonic clock, ms. */
	readonly atMs: number;
	/** What its adapter has made of it, for when it is the scrape before; the adapter's own. */
	view?: ScrapeView;
}

/** What a target answered at one of its endpoints. */
export interface Answer {
	readonly path: string;
	readonly status: number;
	readonly body: string;
}

/** Endpoints beside the metrics which a runtime is asked for as well. */
export interface Companion {
	/** Paths to ask at a target that serves `models`, at most `companionPathsMax` are. */
	paths(models: readonly string[]): readonly string[];
	/** Time between two looks, ms; 0 = with every scrape. */
	readonly periodMs: number;
	/** What it tells says nothing of how the runtime stands: without metrics it is no look at it. */
	readonly aside?: boolean;
	/** Puts what the answer tells into `draft`; anything is taken for an answer. Never throws. */
	read(answer: Answer, draft: Draft): void;
}

/** Reads one kind of runtime. Stateless: one instance serves any number of targets. */
export interface RuntimeAdapter {
	readonly name: RuntimeName;
	/** The metric names to parse for, old and new ones, full as they stand in a body. */
	readonly wanted: WantedNames;
	readonly companions: readonly Companion[];
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
