// Owns reading Prometheus and OpenMetrics text: cuts a body, given in pieces, into lines and keeps the samples of the
// metrics asked for. Everything else is passed over after a look at its name, so a body costs little more than a search
// for its line ends. Leaves label blocks to label-scanner.ts and meaning to the runtimes.
//
// Never throws, whatever the input; every bound is in MetricsLimits and every line dropped is a problem by name.
// Timestamps and exemplars are passed over: the time of a sample is the time of the scrape.
import { isNameCode, LabelScanner, skipBlanks } from './label-scanner.js';
import {
	type MetricSamples,
	type MetricsLimits,
	type MetricsProblem,
	metricsLimitDefaults,
	type ProblemKind,
	type Sample,
} from './samples.js';
import { parseValue, tokenEnd } from './value.js';

const hash = 35;
const openBrace = 123;
const carriageReturn = 13;
const byteOrderMark = 0xfeff;

interface Family {
	readonly name: string;
	readonly samples: Sample[];
	/** Index in `samples` by label block as written. */
	readonly places: Map<string, number>;
}

/** Reads one body. Not to be used again after `end`. */
export class MetricsParser {
	readonly #limits: MetricsLimits;
	readonly #families = new Map<string, Family>();
	readonly #labels: LabelScanner;
	readonly #decoder = new TextDecoder();
	readonly #problems: MetricsProblem[] = [];
	#problemCount = 0;
	#complete = true;
	#lines = 0;
	#chars = 0;
	/** The beginning of a line whose end has not come yet. */
	#carry = '';
	/** A line that passed the bound is dropped up to its end. */
	#skipping = false;
	#eof = false;
	#closed = false;
	/** The name last seen and its family: series of one metric follow each other. */
	#lastName = '';
	#lastFamily: Family | undefined;

	/** `wanted` are full metric names, with `_bucket`, `_sum`, `_count` or `_total` where they carry them. */
	constructor(wanted: Iterable<string>, limits: Partial<MetricsLimits> = {}) {
		this.#limits = { ...metricsLimitDefaults, ...limits };
		this.#labels = new LabelScanner(this.#limits.labelsMax);
		for (const name of wanted) this.#families.set(name, { name, samples: [], places: new Map() });
	}

	/** Takes the next piece of the body, cut anywhere; bytes are UTF-8. */
	push(piece: string | Uint8Array): void {
		this.#accept(typeof piece === 'string' ? piece : this.#decoder.decode(piece, { stream: true }));
	}

	/** Ends the body: reads a last line without a line end and returns what was found. */
	end(): MetricSamples {
		this.#accept(this.#decoder.decode());
		if (this.#carry !== '') this.#line(this.#carry, 0, this.#carry.length);
		this.#carry = '';
		this.#closed = true;
		const byName = new Map<string, readonly Sample[]>();
		for (const family of this.#families.values())
			if (family.samples.length > 0) byName.set(family.name, family.samples);
		return {
			byName,
			problems: this.#problems,
			problemCount: this.#problemCount,
			complete: this.#complete,
			lines: this.#lines,
		};
	}

	#accept(piece: string): void {
		if (this.#closed || piece === '') return;
		const room = this.#limits.bodyCharsMax - this.#chars;
		const fits = piece.length <= room;
		const from = this.#chars === 0 && piece.charCodeAt(0) === byteOrderMark ? 1 : 0;
		this.#chars += piece.length;
		this.#split(this.#carry + (fits ? piece.slice(from) : piece.slice(from, room)));
		if (fits) return;
		this.#carry = '';
		this.#closed = true;
		this.#problem('body_too_long', '');
	}

	/** Cuts `text` into lines and keeps the rest for the next piece. */
	#split(text: string): void {
		let start = 0;
		for (let end = text.indexOf('\n', start); end >= 0; end = text.indexOf('\n', start)) {
			if (this.#skipping) this.#skipping = false;
			else this.#line(text, start, end);
			start = end + 1;
		}
		const rest = text.length - start;
		if (rest > this.#limits.lineCharsMax) {
			if (!this.#skipping) this.#tooLong();
			this.#skipping = true;
		}
		this.#carry = this.#skipping ? '' : text.slice(start);
	}

	#tooLong(): void {
		this.#lines++;
		this.#problem('line_too_long', '');
	}

	#line(text: string, start: number, lineEnd: number): void {
		if (lineEnd - start > this.#limits.lineCharsMax) {
			this.#tooLong();
			return;
		}
		this.#lines++;
		const end = lineEnd > start && text.charCodeAt(lineEnd - 1) === carriageReturn ? lineEnd - 1 : lineEnd;
		const at = skipBlanks(text, start, end);
		if (at === end) return;
		if (this.#eof) {
			this.#problem('after_eof', '');
			return;
		}
		const code = text.charCodeAt(at);
		if (code === hash) this.#eof = end - at === 5 && text.startsWith('# EOF', at);
		else if (code === openBrace) this.#labelled(text, at, end, undefined);
		else this.#named(text, at, end);
	}

	/** A line that begins with a metric name. */
	#named(text: string, start: number, end: number): void {
		const nameEnd = this.#nameEnd(text, start, end);
		if (nameEnd === start) this.#problem('bad_line', '');
		else if (this.#lastFamily !== undefined) this.#series(text, nameEnd, end, this.#lastFamily);
	}

	/** Where the name at `start` ends; sets `#lastName` and `#lastFamily`. */
	#nameEnd(text: string, start: number, end: number): number {
		const repeated = start + this.#lastName.length;
		if (repeated > start && text.startsWith(this.#lastName, start)) {
			if (repeated >= end || !isNameCode(text.charCodeAt(repeated), true)) return repeated;
		}
		const first = text.charCodeAt(start);
		if (first >= 48 && first <= 57) return start;
		let at = start;
		while (at < end && isNameCode(text.charCodeAt(at), true)) at++;
		this.#lastName = text.slice(start, at);
		this.#lastFamily = this.#families.get(this.#lastName);
		return at;
	}

	/** What follows a wanted name: labels or none, then the value. */
	#series(text: string, nameEnd: number, end: number, family: Family): void {
		const at = skipBlanks(text, nameEnd, end);
		if (at < end && text.charCodeAt(at) === openBrace) this.#labelled(text, at, end, family);
		else if (at === nameEnd) this.#problem('bad_line', family.name);
		else this.#value(text, at, at, end, [], family);
	}

	/** The label block at `open`; without a `family` it must hold the quoted metric name. */
	#labelled(text: string, open: number, end: number, family: Family | undefined): void {
		const scanner = this.#labels;
		const close = scanner.scan(text, open + 1, end);
		if (close < 0) this.#problem(scanner.fault, family?.name ?? '');
		else if ((family === undefined) === (scanner.metricName === '')) this.#problem('bad_line', family?.name ?? '');
		else {
			const found = family ?? this.#families.get(scanner.metricName);
			if (found !== undefined) this.#value(text, open, close, end, scanner.labels, found);
		}
	}

	/** The value after the label block `[open, close)`, with nothing, a timestamp or an exemplar behind it. */
	#value(text: string, open: number, close: number, end: number, labels: readonly string[], family: Family): void {
		const start = skipBlanks(text, close, end);
		const stop = tokenEnd(text, start, end);
		const value = parseValue(text, start, stop);
		let at = skipBlanks(text, stop, end);
		if (at < end && text.charCodeAt(at) !== hash) {
			const timestampEnd = tokenEnd(text, at, end);
			const isTimestamp = parseValue(text, at, timestampEnd) !== undefined;
			at = isTimestamp ? skipBlanks(text, timestampEnd, end) : at;
		}
		if (value === undefined || (at < end && text.charCodeAt(at) !== hash)) this.#problem('bad_value', family.name);
		else this.#keep(family, text.slice(open, close), { labels, value });
	}

	/** Adds a sample; of two with the same labels the later one stands. */
	#keep(family: Family, block: string, sample: Sample): void {
		const { samples, places } = family;
		const place = places.get(block);
		if (place !== undefined) {
			samples[place] = sample;
			this.#problem('duplicate_series', family.name);
		} else if (samples.length >= this.#limits.seriesPerNameMax) {
			this.#problem('too_many_series', family.name);
		} else {
			places.set(block, samples.length);
			samples.push(sample);
		}
	}

	#problem(kind: ProblemKind, name: string): void {
		this.#problemCount++;
		if (kind !== 'duplicate_series') this.#complete = false;
		if (this.#problems.length < this.#limits.problemsMax) this.#problems.push({ kind, line: this.#lines, name });
	}
}

/** Reads a whole body: the samples of the `wanted` metric names. */
export function parseMetrics(
	body: string | Uint8Array,
	wanted: Iterable<string>,
	limits: Partial<MetricsLimits> = {},
): MetricSamples {
	const parser = new MetricsParser(wanted, limits);
	parser.push(body);
	return parser.end();
}
