// Owns the Prometheus text format as Python's client writes it (integers as `3.0`, `_created` beside counters and
// histograms), and the fixed-bucket histogram behind it.

export type Labels = Readonly<Record<string, string>>;

/** A histogram with fixed upper bounds; recording is a search and three additions. */
export class Histogram {
	readonly bounds: readonly number[];
	readonly counts: Float64Array;
	sum = 0;
	count = 0;

	constructor(bounds: readonly number[]) {
		this.bounds = bounds;
		this.counts = new Float64Array(bounds.length + 1);
	}

	observe(value: number): void {
		let at = 0;
		while (at < this.bounds.length && value > (this.bounds[at] as number)) at++;
		this.counts[at] = (this.counts[at] as number) + 1;
		this.sum += value;
		this.count++;
	}
}

export interface PrometheusTextOptions {
	/** Prefix of every name, for example `vllm:`. */
	readonly prefix: string;
	/** Labels of every series. */
	readonly labels: Labels;
	/** When given, counters and histograms get a `_created` gauge with this Unix time in seconds. */
	readonly createdSeconds?: number;
}

/** Builds one exposition. Names are given without prefix; counters without `_total`. */
export class PrometheusText {
	readonly #prefix: string;
	/** Escaped once: an engine is scraped several times a second, and has them on every line. */
	readonly #labels: string;
	readonly #createdSeconds: number | undefined;
	readonly #lines: string[] = [];

	constructor(options: PrometheusTextOptions) {
		this.#prefix = options.prefix;
		this.#labels = labelPairs(options.labels);
		this.#createdSeconds = options.createdSeconds;
	}

	gauge(name: string, help: string, value: number, labels: Labels = {}): void {
		this.#head(name, help, 'gauge');
		this.#sample(name, labels, value);
	}

	/** A gauge of exactly these labels, without the common ones. */
	info(name: string, help: string, labels: Labels): void {
		this.#head(name, help, 'gauge');
		this.#lines.push(`${this.#prefix}${name}${braced(labelPairs(labels))} 1.0`);
	}

	counter(name: string, help: string, value: number): void {
		this.counters(name, help, [[{}, value]]);
	}

	counters(name: string, help: string, series: readonly (readonly [Labels, number])[]): void {
		this.#head(`${name}_total`, help, 'counter');
		for (const [labels, value] of series) this.#sample(`${name}_total`, labels, value);
		if (this.#createdSeconds === undefined) return;
		this.#head(`${name}_created`, help, 'gauge');
		for (const [labels] of series) this.#sample(`${name}_created`, labels, this.#createdSeconds);
	}

	histogram(name: string, help: string, histogram: Histogram): void {
		this.#head(name, help, 'histogram');
		let cumulative = 0;
		for (const [i, bound] of histogram.bounds.entries()) {
			cumulative += histogram.counts[i] as number;
			this.#sample(`${name}_bucket`, { le: number(bound) }, cumulative);
		}
		this.#sample(`${name}_bucket`, { le: '+Inf' }, histogram.count);
		this.#sample(`${name}_count`, {}, histogram.count);
		this.#sample(`${name}_sum`, {}, histogram.sum);
		if (this.#createdSeconds === undefined) return;
		this.#head(`${name}_created`, help, 'gauge');
		this.#sample(`${name}_created`, {}, this.#createdSeconds);
	}

	toString(): string {
		return `${this.#lines.join('\n')}\n`;
	}

	#head(name: string, help: string, type: string): void {
		this.#lines.push(`# HELP ${this.#prefix}${name} ${help}`, `# TYPE ${this.#prefix}${name} ${type}`);
	}

	#sample(name: string, labels: Labels, value: number): void {
		const own = labelPairs(labels);
		const all = this.#labels !== '' && own !== '' ? `${this.#labels},${own}` : this.#labels + own;
		this.#lines.push(`${this.#prefix}${name}${braced(all)} ${number(value)}`);
	}
}

function labelPairs(labels: Labels): string {
	let pairs = '';
	for (const name in labels) pairs += `${pairs === '' ? '' : ','}${name}="${escapeLabel(labels[name] as string)}"`;
	return pairs;
}

function braced(pairs: string): string {
	return pairs === '' ? '' : `{${pairs}}`;
}

function escapeLabel(value: string): string {
	if (!/[\\"\n]/.test(value)) return value;
	return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function number(value: number): string {
	return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
