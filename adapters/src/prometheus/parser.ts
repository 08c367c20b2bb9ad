// Owns reading Prometheus and OpenMetrics text: cuts a body, given in pieces of bytes, into lines and keeps the samples of the metrics asked
// for. Everything else is passed over as bytes after a look at its name, so a body costs little more than a search for its line ends; only
// wanted lines become text. Leaves names to wanted-names.ts, label blocks to label-scanner.ts and meaning to the runtimes.
//
// Bytes are looked at as a string of Latin-1, one character a byte: engines search such a string, and read its characters, faster than they do
// an array of bytes. A wanted line with a byte beyond ASCII is decoded as the UTF-8 it is.
//
// Never throws, whatever the input; every bound is in MetricsLimits and every line dropped is a problem by name.
// Timestamps and exemplars are passed over: the time of a sample is the time of the scrape.
import { isAscii } from 'node:buffer';
import { LabelScanner, skipBlanks } from './label-scanner.js';
import {
	type MetricSamples,
	type MetricsLimits,
	type MetricsProblem,
	metricsLimitDefaults,
	type ProblemKind,
	type Sample,
} from './samples.js';
import { parseValue, tokenEnd } from './value.js';
import { NO_NAME, OTHER_NAME, WantedNames } from './wanted-names.js';

const hash = 35;
const openBrace = 123;
const carriageReturn = 13;
/** U+FEFF in UTF-8. */
const byteOrderMark = '\u00ef\u00bb\u00bf';
const endMark = '# EOF';

interface Family {
	readonly name: string;
	readonly samples: Sample[];
	/** Index in `samples` by label block as written. */
	readonly places: Map<string, number>;
}

/** Labels by their block as written, shared by bodies: the series of a target, and of targets alike, come again with every scrape. */
export class LabelCache {
	readonly #blocksMax: number;
	readonly #blocks = new Map<string, readonly string[]>();

	constructor(blocksMax = 65_536) {
		this.#blocksMax = blocksMax;
	}

	get(block: string): readonly string[] | undefined {
		return this.#blocks.get(block);
	}

	/** Keeps copies: a part of a body would keep the whole body in memory. Returns the labels it keeps. */
	set(block: string, labels: readonly string[]): readonly string[] {
		if (this.#blocks.size >= this.#blocksMax) this.#blocks.clear();
		const kept = labels.map(copy);
		this.#blocks.set(copy(block), kept);
		return kept;
	}
}

function copy(text: string): string {
	return Buffer.from(text).toString();
}

/** Reads one body. Not to be used again after `end`. */
export class MetricsParser {
	readonly #limits: MetricsLimits;
	readonly #wanted: WantedNames;
	readonly #families: (Family | undefined)[];
	readonly #labels: LabelScanner;
	readonly #cache: LabelCache | undefined;
	readonly #problems: MetricsProblem[] = [];
	#problemCount = 0;
	#complete = true;
	#lines = 0;
	#bytes = 0;
	/** The beginning of a line whose end has not come yet. */
	#carry = '';
	/** The beginning by which the last line was known for one of another metric: the next ones are often of the same. */
	#other = '';
	/** No byte beyond ASCII has come. */
	#ascii = true;
	/** A line that passed the bound is dropped up to its end. */
	#skipping = false;
	#eof = false;
	#closed = false;

	/** `wanted` are full metric names, with `_bucket`, `_sum`, `_count` or `_total` where they carry them. */
	constructor(wanted: Iterable<string> | WantedNames, limits: Partial<MetricsLimits> = {}, cache?: LabelCache) {
		this.#limits = { ...metricsLimitDefaults, ...limits };
		this.#labels = new LabelScanner(this.#limits.labelsMax);
		this.#wanted = wanted instanceof WantedNames ? wanted : new WantedNames(wanted);
		this.#families = Array.from<Family | undefined>({ length: this.#wanted.names.length });
		this.#cache = cache;
	}

	/** Takes the next piece of the body, UTF-8, cut anywhere. The bytes are not kept. */
	push(piece: Uint8Array): void {
		if (this.#closed || piece.length === 0) return;
		const room = this.#limits.bodyBytesMax - this.#bytes;
		this.#bytes += piece.length;
		const bytes = Buffer.from(piece.buffer, piece.byteOffset, Math.min(piece.length, room));
		this.#ascii &&= isAscii(bytes);
		this.#split(bytes.toString('latin1'));
		if (piece.length <= room) return;
		this.#carry = '';
		this.#closed = true;
		this.#problem('body_too_long', '');
	}

	/** Ends the body: reads a last line without a line end and returns what was found. */
	end(): MetricSamples {
		if (this.#carry !== '') this.#line(this.#carry, 0, this.#carry.length);
		this.#carry = '';
		this.#closed = true;
		const byName = new Map<string, readonly Sample[]>();
		for (const family of this.#families)
			if (family !== undefined && family.samples.length > 0) byName.set(family.name, family.samples);
		return {
			byName,
			problems: this.#problems,
			problemCount: this.#problemCount,
			complete: this.#complete,
			lines: this.#lines,
		};
	}

	/** Cuts `text` into lines and keeps the rest for the next piece. */
	#split(text: string): void {
		let start = 0;
		let end = text.indexOf('\n');
		if (end >= 0 && (this.#skipping || this.#carry !== '')) {
			if (this.#skipping) this.#skipping = false;
			else this.#joined(text.slice(0, end));
			start = end + 1;
			end = text.indexOf('\n', start);
		}
		while (end >= 0) {
			this.#line(text, start, end);
			start = end + 1;
			end = text.indexOf('\n', start);
		}
		if (!this.#skipping) this.#keepRest(text.slice(start));
	}

	/** A line that began in an earlier piece. */
	#joined(rest: string): void {
		const line = this.#carry + rest;
		this.#carry = '';
		this.#line(line, 0, line.length);
	}

	#keepRest(rest: string): void {
		this.#carry += rest;
		if (this.#carry.length <= this.#limits.lineBytesMax) return;
		this.#carry = '';
		this.#skipping = true;
		this.#tooLong();
	}

	#tooLong(): void {
		this.#lines++;
		this.#problem('line_too_long', '');
	}

	#line(text: string, start: number, lineEnd: number): void {
		if (lineEnd - start > this.#limits.lineBytesMax) {
			this.#tooLong();
			return;
		}
		const begin = this.#lines++ === 0 && text.startsWith(byteOrderMark, start) ? start + byteOrderMark.length : start;
		const end = lineEnd > begin && text.charCodeAt(lineEnd - 1) === carriageReturn ? lineEnd - 1 : lineEnd;
		const at = skipBlanks(text, begin, end);
		if (at >= end) return;
		if (this.#eof) {
			this.#problem('after_eof', '');
			return;
		}
		const first = text.charCodeAt(at);
		if (first === hash) this.#eof = end - at === endMark.length && text.startsWith(endMark, at);
		else if (first === openBrace) this.#labelled(this.#decoded(text.slice(at, end)), 0, undefined);
		else this.#named(text, at, end);
	}

	/** A line that begins with a metric name. */
	#named(body: string, start: number, end: number): void {
		if (this.#other !== '' && body.startsWith(this.#other, start)) return;
		const wanted = this.#wanted;
		const id = wanted.match(body, start, end);
		if (id === OTHER_NAME) {
			if (wanted.end < end) this.#other = body.slice(start, wanted.end + 1);
			return;
		}
		if (id === NO_NAME) {
			this.#problem('bad_line', '');
			return;
		}
		const family = this.#family(id);
		const text = this.#decoded(body.slice(wanted.end, end));
		const at = skipBlanks(text, 0, text.length);
		if (at < text.length && text.charCodeAt(at) === openBrace) this.#labelled(text, at, family);
		else if (at === 0) this.#problem('bad_line', family.name);
		else this.#value(text, at, at, [], family);
	}

	/** The text that bytes, one a character, are in UTF-8. */
	#decoded(bytes: string): string {
		return this.#ascii ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
	}

	#family(id: number): Family {
		let family = this.#families[id];
		if (family === undefined) {
			family = { name: this.#wanted.names[id] as string, samples: [], places: new Map() };
			this.#families[id] = family;
		}
		return family;
	}

	/** The label block at `open`; without a `family` it must hold the quoted metric name. */
	#labelled(text: string, open: number, family: Family | undefined): void {
		if (family !== undefined && this.#knownBlock(text, open, family)) return;
		const scanner = this.#labels;
		const close = scanner.scan(text, open + 1, text.length);
		if (close < 0) this.#problem(scanner.fault, family?.name ?? '');
		else if ((family === undefined) === (scanner.metricName === '')) this.#problem('bad_line', family?.name ?? '');
		else {
			const id = family === undefined ? this.#wanted.idOf(scanner.metricName) : OTHER_NAME;
			const found = family ?? (id === OTHER_NAME ? undefined : this.#family(id));
			if (found === undefined) return;
			const kept = family === undefined ? undefined : this.#cache?.set(text.slice(open, close), scanner.labels);
			this.#value(text, open, close, kept ?? scanner.labels, found);
		}
	}

	/** Reads a line whose label block has been seen before. Where the last brace ends something else, the block is not known. */
	#knownBlock(text: string, open: number, family: Family): boolean {
		if (this.#cache === undefined) return false;
		const close = text.lastIndexOf('}') + 1;
		const labels = close === 0 ? undefined : this.#cache.get(text.slice(open, close));
		if (labels === undefined) return false;
		this.#value(text, open, close, labels, family);
		return true;
	}

	/** The value after the label block `[open, close)`, with nothing, a timestamp or an exemplar behind it. */
	#value(text: string, open: number, close: number, labels: readonly string[], family: Family): void {
		const end = text.length;
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
	wanted: Iterable<string> | WantedNames,
	limits: Partial<MetricsLimits> = {},
	cache?: LabelCache,
): MetricSamples {
	const parser = new MetricsParser(wanted, limits, cache);
	parser.push(typeof body === 'string' ? Buffer.from(body) : body);
	return parser.end();
}
