// Owns the shared-memory block in which one thread keeps its metrics. The owner thread adds to plain Float64 cells; any thread may
// read (read.ts) without a message or a lock. A label set gets a series on first use: its text is written, then the count is
// raised with an atomic store, so a reader never sees a series without its labels.
// Invariants: one writer per block; a series never moves; series 0 of a labelled metric is its overflow (`other`).
// Aligned 64-bit stores are single instructions on x64 and arm64, so a reader sees whole numbers.
import { type MetricKey, metricDefinitions } from './definitions.js';
import type { MetricDefinition } from './metrics/define.js';

/** UTF-8 bytes kept of one label value. */
export const LABEL_BYTES_MAX = 96;
/** What the labels of an overflow series read. */
export const OVERFLOW_LABEL = 'other';
const SEPARATOR = '\u001f';

export interface MetricLayout {
	readonly key: MetricKey;
	readonly definition: MetricDefinition;
	/** Index of the series count in 32-bit words. */
	readonly countWord: number;
	/** Byte offset of the label texts: per series a u16 length and the joined values. */
	readonly textOffset: number;
	readonly textBytes: number;
	/** Index of the first value in 64-bit cells. */
	readonly valueCell: number;
	/** Cells a series: 1, or the buckets with +Inf and then the sum. */
	readonly cells: number;
	readonly seriesMax: number;
}

export interface BlockLayout {
	readonly bytes: number;
	readonly metrics: ReadonlyMap<MetricKey, MetricLayout>;
}

function buildLayout(): BlockLayout {
	const inBlock = (Object.entries(metricDefinitions) as [MetricKey, MetricDefinition][]).filter(
		([, definition]) => definition.source === 'block',
	);
	const metrics = new Map<MetricKey, MetricLayout>();
	let cell = Math.ceil(inBlock.length / 2);
	const sized = inBlock.map(([key, definition], index) => {
		const cells = definition.kind === 'histogram' ? (definition.buckets?.length ?? 0) + 2 : 1;
		const seriesMax = definition.labels.length === 0 ? 1 : definition.seriesMax + 1;
		const valueCell = cell;
		cell += cells * seriesMax;
		return { key, definition, countWord: index, valueCell, cells, seriesMax };
	});
	let offset = cell * 8;
	for (const part of sized) {
		const textBytes = 2 + part.definition.labels.length * (LABEL_BYTES_MAX + 1);
		metrics.set(part.key, { ...part, textOffset: offset, textBytes });
		offset += textBytes * part.seriesMax;
	}
	return { bytes: Math.ceil(offset / 64) * 64, metrics };
}

export const blockLayout: BlockLayout = buildLayout();

/** An empty block, to be handed to the thread that will write it. */
export function createMetricsBuffer(): SharedArrayBuffer {
	return new SharedArrayBuffer(blockLayout.bytes);
}

/** One number that only its owner thread changes. */
export class Series {
	readonly #values: Float64Array;
	readonly #cell: number;

	constructor(values: Float64Array, cell: number) {
		this.#values = values;
		this.#cell = cell;
	}

	add(amount: number): void {
		this.#values[this.#cell] = (this.#values[this.#cell] as number) + amount;
	}

	set(value: number): void {
		this.#values[this.#cell] = value;
	}
}

/** One distribution that only its owner thread changes. */
export class HistogramSeries {
	readonly #values: Float64Array;
	readonly #cell: number;
	readonly #bounds: readonly number[];

	constructor(values: Float64Array, cell: number, bounds: readonly number[]) {
		this.#values = values;
		this.#cell = cell;
		this.#bounds = bounds;
	}

	/** A value equal to a bound belongs to its bucket (`le`). NaN is not counted. */
	observe(value: number): void {
		if (Number.isNaN(value)) return;
		const bounds = this.#bounds;
		let low = 0;
		let high = bounds.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (value <= (bounds[middle] as number)) high = middle;
			else low = middle + 1;
		}
		const bucket = this.#cell + low;
		const sum = this.#cell + bounds.length + 1;
		this.#values[bucket] = (this.#values[bucket] as number) + 1;
		this.#values[sum] = (this.#values[sum] as number) + value;
	}
}

/** Cuts a label to its bound at a character's edge and takes out the separator. */
function boundLabel(value: string): string {
	const plain = value.replaceAll(SEPARATOR, ' ');
	if (Buffer.byteLength(plain) <= LABEL_BYTES_MAX) return plain;
	const room = Buffer.alloc(LABEL_BYTES_MAX);
	return room.toString('utf8', 0, room.write(plain));
}

/** The writer's side. `counter`, `gauge` and `histogram` look a series up by its labels: keep what they return on hot paths. */
export class MetricsBlock {
	readonly #values: Float64Array;
	readonly #words: Int32Array;
	readonly #bytes: Buffer;
	readonly #cells = new Map<MetricKey, Map<string, number>>();

	constructor(buffer: SharedArrayBuffer) {
		if (buffer.byteLength !== blockLayout.bytes)
			throw new RangeError(`a metrics block has ${blockLayout.bytes} bytes, not ${buffer.byteLength}`);
		this.#values = new Float64Array(buffer, 0, buffer.byteLength >> 3);
		this.#words = new Int32Array(buffer);
		this.#bytes = Buffer.from(buffer);
		for (const layout of blockLayout.metrics.values()) {
			const overflow = layout.definition.labels.map(() => OVERFLOW_LABEL);
			if (Atomics.load(this.#words, layout.countWord) === 0) this.#append(layout, overflow.join(SEPARATOR));
			else this.#remember(layout);
		}
	}

	/** Finds the series again that a thread before this one has made: counters go on, and no label set gets a second series. */
	#remember(layout: MetricLayout): void {
		const known = new Map<string, number>();
		const count = Atomics.load(this.#words, layout.countWord);
		for (let index = 1; index < count; index++)
			known.set(seriesText(this.#bytes, layout, index), layout.valueCell + index * layout.cells);
		if (known.size > 0) this.#cells.set(layout.key, known);
	}

	counter(key: MetricKey, ...labels: readonly string[]): Series {
		return new Series(this.#values, this.#find(key, 'counter', labels));
	}

	gauge(key: MetricKey, ...labels: readonly string[]): Series {
		return new Series(this.#values, this.#find(key, 'gauge', labels));
	}

	histogram(key: MetricKey, ...labels: readonly string[]): HistogramSeries {
		const cell = this.#find(key, 'histogram', labels);
		return new HistogramSeries(this.#values, cell, metricDefinitions[key].buckets ?? []);
	}

	#find(key: MetricKey, kind: MetricDefinition['kind'], labels: readonly string[]): number {
		const layout = blockLayout.metrics.get(key);
		if (layout === undefined || layout.definition.kind !== kind)
			throw new TypeError(`${key} is not a ${kind} of a block`);
		if (labels.length !== layout.definition.labels.length)
			throw new TypeError(`${key} has labels ${layout.definition.labels.join(', ')}; ${labels.length} were given`);
		if (labels.length === 0) return layout.valueCell;
		const text = labels.map(boundLabel).join(SEPARATOR);
		let known = this.#cells.get(key);
		if (known === undefined) this.#cells.set(key, (known = new Map()));
		const found = known.get(text);
		if (found !== undefined) return found;
		if (Atomics.load(this.#words, layout.countWord) >= layout.seriesMax) return layout.valueCell;
		const cell = this.#append(layout, text);
		known.set(text, cell);
		return cell;
	}

	/** Writes the labels of the next series, then makes it visible. Returns its first cell. */
	#append(layout: MetricLayout, text: string): number {
		const index = Atomics.load(this.#words, layout.countWord);
		const at = layout.textOffset + index * layout.textBytes;
		this.#bytes.writeUInt16LE(this.#bytes.write(text, at + 2, layout.textBytes - 2), at);
		Atomics.store(this.#words, layout.countWord, index + 1);
		return layout.valueCell + index * layout.cells;
	}
}

/** Puts the gauges of a block to 0 once the thread that wrote it has ended: what it said of the present holds no longer. Counters stay. */
export function clearGauges(buffer: SharedArrayBuffer): void {
	const values = new Float64Array(buffer, 0, buffer.byteLength >> 3);
	for (const { definition, valueCell, seriesMax } of blockLayout.metrics.values())
		if (definition.kind === 'gauge') values.fill(0, valueCell, valueCell + seriesMax);
}

function seriesText(bytes: Buffer, layout: MetricLayout, index: number): string {
	const at = layout.textOffset + index * layout.textBytes;
	return bytes.toString('utf8', at + 2, at + 2 + bytes.readUInt16LE(at));
}

/** One series as read from a block. */
export interface BlockSeries {
	readonly labels: readonly string[];
	/** The value, or a histogram's bucket counts (not cumulative, +Inf last) and its sum. */
	readonly cells: Float64Array;
}

/** Reads the series of one metric from a block that another thread may be writing. */
export function readSeries(buffer: SharedArrayBuffer, layout: MetricLayout): BlockSeries[] {
	const count = Atomics.load(new Int32Array(buffer), layout.countWord);
	const bytes = Buffer.from(buffer);
	const series: BlockSeries[] = [];
	for (let index = 0; index < count; index++) {
		const text = seriesText(bytes, layout, index);
		const from = (layout.valueCell + index * layout.cells) * 8;
		const cells = new Float64Array(new Float64Array(buffer, from, layout.cells));
		const overflow = index === 0 && layout.definition.labels.length > 0;
		if (overflow && cells.every((cell) => cell === 0)) continue;
		series.push({ labels: layout.definition.labels.length === 0 ? [] : text.split(SEPARATOR), cells });
	}
	return series;
}
