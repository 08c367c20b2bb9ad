// Owns the text at /metrics: blocks of all threads added up, gauges read from the mesh's state, in the Prometheus text format 0.0.4.
// Leaves process and Node metrics to prom-client (process-metrics.ts).
import { blockLayout, readSeries } from './block.js';
import { type MetricKey, metricDefinitions } from './definitions.js';
import type { MetricDefinition } from './metrics/define.js';

/** A value read from the mesh's state. */
export interface CollectedSample {
	readonly metric: MetricKey;
	/** In the order of the definition. */
	readonly labels: readonly string[];
	readonly value: number;
}

interface Summed {
	readonly labels: readonly string[];
	readonly cells: Float64Array;
}

function sumBlocks(key: MetricKey, buffers: readonly SharedArrayBuffer[]): Summed[] {
	const layout = blockLayout.metrics.get(key);
	if (layout === undefined) return [];
	const sums = new Map<string, Summed>();
	for (const buffer of buffers)
		for (const { labels, cells } of readSeries(buffer, layout)) {
			const text = labels.join('\u001f');
			const known = sums.get(text);
			if (known === undefined) sums.set(text, { labels, cells });
			else for (const [i, cell] of cells.entries()) known.cells[i] = (known.cells[i] as number) + cell;
		}
	return [...sums.values()];
}

function escapeLabel(value: string): string {
	return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

function labelText(names: readonly string[], values: readonly string[], extra = ''): string {
	const parts = names.map((name, i) => `${name}="${escapeLabel(values[i] ?? '')}"`);
	if (extra !== '') parts.push(extra);
	return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function numberText(value: number): string {
	if (value === Infinity) return '+Inf';
	if (value === -Infinity) return '-Inf';
	return String(value);
}

function histogramLines(definition: MetricDefinition, { labels, cells }: Summed, lines: string[]): void {
	const bounds = definition.buckets ?? [];
	let count = 0;
	for (let i = 0; i <= bounds.length; i++) {
		count += cells[i] as number;
		const le = `le="${numberText(bounds[i] ?? Infinity)}"`;
		lines.push(`${definition.name}_bucket${labelText(definition.labels, labels, le)} ${count}`);
	}
	const text = labelText(definition.labels, labels);
	lines.push(`${definition.name}_sum${text} ${numberText(cells[bounds.length + 1] as number)}`);
	lines.push(`${definition.name}_count${text} ${count}`);
}

/** The whole text. `buffers` are the blocks of all threads; metrics without a series are left out. */
export function renderMetrics(
	buffers: readonly SharedArrayBuffer[],
	collected: Iterable<CollectedSample> = [],
): string {
	const byMetric = Map.groupBy(collected, (sample) => sample.metric);
	const lines: string[] = [];
	for (const [key, definition] of Object.entries(metricDefinitions) as [MetricKey, MetricDefinition][]) {
		const sums = sumBlocks(key, buffers);
		const samples = (byMetric.get(key) ?? []).slice(0, definition.seriesMax);
		if (sums.length + samples.length === 0) continue;
		lines.push(`# HELP ${definition.name} ${definition.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`);
		lines.push(`# TYPE ${definition.name} ${definition.kind}`);
		for (const sum of sums)
			if (definition.kind === 'histogram') histogramLines(definition, sum, lines);
			else
				lines.push(
					`${definition.name}${labelText(definition.labels, sum.labels)} ${numberText(sum.cells[0] as number)}`,
				);
		for (const { labels, value } of samples)
			lines.push(`${definition.name}${labelText(definition.labels, labels)} ${numberText(value)}`);
	}
	return `${lines.join('\n')}\n`;
}

/** Sum of a counter or gauge over all threads and label sets that `keep` accepts. For the status page and `infermesh status`. */
export function totalOf(
	buffers: readonly SharedArrayBuffer[],
	key: MetricKey,
	keep: (labels: readonly string[]) => boolean = () => true,
): number {
	let total = 0;
	for (const { labels, cells } of sumBlocks(key, buffers)) if (keep(labels)) total += cells[0] as number;
	return total;
}

/** Bucket counts of a histogram over all threads and label sets that `keep` accepts: upper bounds (+Inf last), counts, sum. */
export function distributionOf(
	buffers: readonly SharedArrayBuffer[],
	key: MetricKey,
	keep: (labels: readonly string[]) => boolean = () => true,
): { bounds: number[]; counts: number[]; sum: number } {
	const bounds = [...(metricDefinitions[key].buckets ?? []), Infinity];
	const counts = bounds.map(() => 0);
	let sum = 0;
	for (const { labels, cells } of sumBlocks(key, buffers)) {
		if (!keep(labels)) continue;
		for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] as number) + (cells[i] as number);
		sum += cells[counts.length] as number;
	}
	return { bounds, counts, sum };
}
