// Owns what a metric is, and the words its table is written in: kinds, buckets, and how many label sets are kept of what. Labels follow the mesh’s label schema; nothing
// per request is a label.

export type MetricKind = 'counter' | 'gauge' | 'histogram';

export interface MetricDefinition {
	/** As exported; counters end in `_total`, units come last. */
	readonly name: string;
	readonly kind: MetricKind;
	readonly help: string;
	readonly labels: readonly string[];
	/** Label sets kept per thread; the rest is added up in one series whose labels all read `other`. */
	readonly seriesMax: number;
	/** Upper bounds of a histogram's buckets, ascending, without +Inf. */
	readonly buckets?: readonly number[];
	/** `collected` metrics are read from the mesh's state when `/metrics` is asked for; they take no room in blocks. */
	readonly source: 'block' | 'collected';
}

/** Powers of `factor` from `first`, `count` of them, to three significant digits. */
export function geometric(first: number, factor: number, count: number): readonly number[] {
	return Array.from({ length: count }, (_, i) => Number((first * factor ** i).toPrecision(3)));
}

/** 125 ns to 8.2 ms, by √2: the cost of one decision. */
export const decisionSeconds = geometric(1.25e-7, Math.SQRT2, 33);

export const MODELS = 128;

export const TARGETS = 1024;

export function counter(name: string, labels: readonly string[], seriesMax: number, help: string): MetricDefinition {
	return { name: `infermesh_${name}_total`, kind: 'counter', help, labels, seriesMax, source: 'block' };
}

export function gauge(name: string, labels: readonly string[], seriesMax: number, help: string): MetricDefinition {
	return { name: `infermesh_${name}`, kind: 'gauge', help, labels, seriesMax, source: 'block' };
}

export function collected(name: string, labels: readonly string[], seriesMax: number, help: string): MetricDefinition {
	return { name: `infermesh_${name}`, kind: 'gauge', help, labels, seriesMax, source: 'collected' };
}

export function collectedCounter(
	name: string,
	labels: readonly string[],
	seriesMax: number,
	help: string,
): MetricDefinition {
	return { name: `infermesh_${name}_total`, kind: 'counter', help, labels, seriesMax, source: 'collected' };
}

export function histogram(
	name: string,
	labels: readonly string[],
	seriesMax: number,
	buckets: readonly number[],
	help: string,
): MetricDefinition {
	return { name: `infermesh_${name}`, kind: 'histogram', help, labels, seriesMax, buckets, source: 'block' };
}

export const perTarget = ['target', 'model', 'node', 'zone'] as const;
