// Owns the result of reading a metrics body: series by name, and the problems met on the way. Leaves the grammar to
// parser.ts. Nothing here judges what a metric means.

/** One series of one metric. */
export interface Sample {
	/** Label names and values by turns, in the order of the body: `['le', '0.5', 'model_name', 'm']`. */
	readonly labels: readonly string[];
	/** May be NaN or infinite. */
	readonly value: number;
}

/** Why a line, or the rest of a body, gave no sample. */
export type ProblemKind =
	| 'bad_line'
	| 'bad_labels'
	| 'bad_value'
	| 'too_many_labels'
	| 'too_many_series'
	| 'duplicate_series'
	| 'line_too_long'
	| 'body_too_long'
	| 'after_eof';

export interface MetricsProblem {
	readonly kind: ProblemKind;
	/** 1-based line of the body. */
	readonly line: number;
	/** The metric concerned, where it was known; empty otherwise. */
	readonly name: string;
}

/** The wanted series of one body. */
export interface MetricSamples {
	/** Series by metric name, in the order of the body. Names without a series are absent. */
	readonly byName: ReadonlyMap<string, readonly Sample[]>;
	/** The first problems, at most `problemsMax`. */
	readonly problems: readonly MetricsProblem[];
	/** How many problems there were in all. */
	readonly problemCount: number;
	/** Whether every wanted line was kept: a series absent from a complete body did not exist. */
	readonly complete: boolean;
	/** Lines seen; of groups that were passed over, as many as they had when they were last read. */
	readonly lines: number;
}

/** The bounds of one body. */
export interface MetricsLimits {
	/** Bytes read of a body; the rest is dropped. */
	readonly bodyBytesMax: number;
	/** Bytes of a line; a longer line is dropped. */
	readonly lineBytesMax: number;
	/** Labels of a series. */
	readonly labelsMax: number;
	/** Series kept of one metric name. */
	readonly seriesPerNameMax: number;
	/** Problems kept. */
	readonly problemsMax: number;
}

/** Sixteen data-parallel engines with forty buckets each use 640 series of a name; the largest body seen in the field is under 1 MiB. */
export const metricsLimitDefaults: MetricsLimits = Object.freeze({
	bodyBytesMax: 8 * 1024 * 1024,
	lineBytesMax: 16 * 1024,
	labelsMax: 64,
	seriesPerNameMax: 2048,
	problemsMax: 16,
});

/** The value of a label; an absent label equals an empty one, as everywhere in Prometheus. */
export function labelOf(sample: Sample, name: string): string {
	const { labels } = sample;
	for (let i = 0; i + 1 < labels.length; i += 2) if (labels[i] === name) return labels[i + 1] ?? '';
	return '';
}
