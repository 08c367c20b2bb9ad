// Owns reading Prometheus and OpenMetrics text: cuts a body, given in pieces of bytes, into lines and keeps the samples of the metrics asked
// for. Everything else is passed over as bytes after a look at its name, so a body costs little more than a search for its line ends; only
// wanted lines become text. Leaves names to wanted-names.ts, label blocks to label-scanner.ts and meaning to the runtimes.
//
// Bytes are looked at as a string of Latin-1, one character a byte: engines search such a string, and read its characters, faster than they do
// an array of bytes. A wanted line with a byte beyond ASCII is decoded as the UTF-8 it is.
//
// With a memory of the body before, a wanted line is compared with the one that stood there, in one piece up to its value, and what stood between the
// comments of metrics nobody asks for is passed over unread.
//
// Never throws, whatever the input; every bound is in MetricsLimits and every line dropped is a problem by name.
// Timestamps and exemplars are passed over: the time of a sample is the time of the scrape.
import { isAscii } from 'node:buffer';
import { BodyLayout } from './body-layout.js';
import { LabelScanner, skipBlanks } from './label-scanner.js';
import {
	type MetricSamples,
	type MetricsLimits,
	type MetricsProblem,
	metricsLimitDefaults,
	type ProblemKind,
	type Sample,
} from './samples.js';
import type { KnownBlock, SeriesMemory } from './series-memory.js';
import { PlainNumber, parseValue, tokenEnd } from './value.js';
import { NO_NAME, OTHER_NAME, WantedNames } from './wanted-names.js';

const hash = 35;
const openBrace = 123;
const carriageReturn = 13;
const newline = 10;
const space = 32;
/** U+FEFF in UTF-8. */
const byteOrderMark = '\u00ef\u00bb\u00bf';
const endMark = '# EOF';
/** Of a series without labels. */
const bare: KnownBlock = Object.freeze({ block: '', labels: [] });

/** The series of one metric. */
interface Family {
	readonly name: string;
	readonly id: number;
	readonly samples: Sample[];
	/** Index in `samples` by label block as written; made when there is a series that was not expected: till then no two can be the same. */
	places: Map<string, number> | undefined;
}

/** Reads one body. Not to be used again after `end`. */
export class MetricsParser {
	readonly #limits: MetricsLimits;
	readonly #wanted: WantedNames;
	readonly #families: (Family | undefined)[];
	readonly #labels: LabelScanner;
	readonly #memory: SeriesMemory | undefined;
	/** How the body goes along with the one before, where there is a memory of it. */
	readonly #layout: BodyLayout | undefined;
	readonly #number = new PlainNumber();
	/** Labels of the sample that was added last. */
	#kept: KnownBlock | undefined;
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

	/**
	 * `wanted` are full metric names, with `_bucket`, `_sum`, `_count` or `_total` where they carry them. A `memory` is of one target, and always used
	 * with the same names and limits.
	 */
	constructor(wanted: Iterable<string> | WantedNames, limits: Partial<MetricsLimits> = {}, memory?: SeriesMemory) {
		this.#limits = { ...metricsLimitDefaults, ...limits };
		this.#labels = new LabelScanner(this.#limits.labelsMax);
		this.#wanted = wanted instanceof WantedNames ? wanted : new WantedNames(wanted);
		this.#families = Array.from<Family | undefined>({ length: this.#wanted.names.length });
		this.#memory = memory;
		this.#layout = memory === undefined ? undefined : new BodyLayout(memory);
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
		this.#families.forEach((family) => {
			if (family === undefined || family.samples.length === 0) return;
			byName.set(family.name, family.samples);
		});
		this.#layout?.end(this.#lines);
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
			const known = this.#asBefore(text, start);
			if (known > start) start = known;
			else {
				this.#line(text, start, end);
				start = end + 1;
			}
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
		if (first === hash) {
			this.#eof = end - at === endMark.length && text.startsWith(endMark, at);
			if (at === start) this.#layout?.comment(text, start, lineEnd, this.#lines);
		} else if (first === openBrace) {
			this.#layout?.busy();
			this.#labelled(this.#decoded(text.slice(at, end)), 0, undefined);
		} else this.#named(text, at, end);
	}

	/** Reads lines that stand as they stood in the body before, and passes over groups that were idle. Returns where the first other line begins. */
	#asBefore(text: string, start: number): number {
		const layout = this.#layout;
		if (layout === undefined || this.#eof) return start;
		let at = start;
		for (;;) {
			let next: number;
			if (text.charCodeAt(at) === hash) {
				next = layout.pass(text, at);
				if (next > at) this.#lines += layout.passedLines;
			} else next = this.#expectedLine(layout, text, at);
			if (next === at) return at;
			at = next;
		}
	}

	/** Returns where the next line begins, and `at` when this is not the one that was expected, or nothing plain. */
	#expectedLine(layout: BodyLayout, text: string, at: number): number {
		const line = layout.expected;
		if (line === undefined) return at;
		const { head, id, known } = line;
		const headEnd = at + head.length;
		// Comparing a part is several times as fast as `startsWith`, which goes character by character.
		if (text.substring(at, headEnd) !== head || text.charCodeAt(headEnd) !== space) return at;
		const number = this.#number;
		if (!number.read(text, headEnd + 1) || text.charCodeAt(number.end) !== newline) return at;
		const { value, end } = number;
		const family = this.#family(id);
		const { samples } = family;
		if (end - at > this.#limits.lineBytesMax || samples.length >= this.#limits.seriesPerNameMax) return at;
		this.#lines++;
		const sample = { labels: known.labels, value };
		let kept = true;
		if (family.places === undefined) samples.push(sample);
		else kept = this.#keep(family, known, sample);
		layout.came(kept);
		return end + 1;
	}

	/** A line that begins with a metric name. */
	#named(body: string, start: number, end: number): void {
		const other = this.#other;
		if (other !== '' && body.substring(start, start + other.length) === other) return;
		const wanted = this.#wanted;
		const id = wanted.match(body, start, end);
		if (id === OTHER_NAME) {
			if (wanted.end < end) this.#other = body.slice(start, wanted.end + 1);
			return;
		}
		this.#layout?.busy();
		if (id === NO_NAME) {
			this.#problem('bad_line', '');
			return;
		}
		const family = this.#family(id);
		this.#kept = undefined;
		const nameEnd = wanted.end;
		const text = this.#decoded(body.slice(nameEnd, end));
		const at = skipBlanks(text, 0, text.length);
		if (at < text.length && text.charCodeAt(at) === openBrace) this.#labelled(text, at, family);
		else if (at === 0) this.#problem('bad_line', family.name);
		else this.#value(text, at, text.length, bare, family);
		if (this.#kept !== undefined) this.#recorded(body, start, nameEnd, nameEnd + at, id, this.#kept);
	}

	/** A series that was not expected where it stands, its name and labels `[start, nameEnd)` and from `blockAt`. */
	#recorded(body: string, start: number, nameEnd: number, blockAt: number, id: number, known: KnownBlock): void {
		const [memory, layout] = [this.#memory, this.#layout];
		if (memory === undefined || layout === undefined) return;
		const { block } = known;
		const headEnd = block === '' ? nameEnd : blockAt + (this.#ascii ? block.length : Buffer.byteLength(block));
		// What is no UTF-8 is not the same bytes when it has been decoded.
		const same = this.#ascii || block === '' || this.#decoded(body.slice(blockAt, headEnd)) === block;
		layout.unexpected(same ? memory.cache.line(this.#wanted, body.slice(start, headEnd), id, known) : undefined);
	}

	/** The text that bytes, one a character, are in UTF-8. */
	#decoded(bytes: string): string {
		return this.#ascii ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
	}

	#family(id: number): Family {
		let family = this.#families[id];
		if (family === undefined) {
			family = {
				name: this.#wanted.names[id] as string,
				id,
				samples: [],
				places: undefined,
			};
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
			const block = text.slice(open, close);
			const { labels } = scanner;
			const known = family === undefined ? undefined : this.#memory?.cache.set(block, labels);
			this.#value(text, close, text.length, known ?? { block, labels }, found);
		}
	}

	/** Reads a line whose label block has been seen before. Where the last brace ends something else, the block is not known. */
	#knownBlock(text: string, open: number, family: Family): boolean {
		if (this.#memory === undefined) return false;
		const close = text.lastIndexOf('}') + 1;
		const known = close === 0 ? undefined : this.#memory.cache.get(text.slice(open, close));
		if (known === undefined) return false;
		this.#value(text, close, text.length, known, family);
		return true;
	}

	/** The value after the label block `[open, close)`, with nothing, a timestamp or an exemplar behind it. */
	#value(text: string, close: number, end: number, known: KnownBlock, family: Family): void {
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
		else this.#keep(family, known, { labels: known.labels, value });
	}

	/** Adds a sample; of two with the same labels the later one stands. False when it was not added. */
	#keep(family: Family, known: KnownBlock, sample: Sample): boolean {
		const { samples } = family;
		const places = (family.places ??= this.#layout?.placesOf(family.id) ?? new Map<string, number>());
		const place = places.get(known.block);
		if (place === undefined && samples.length < this.#limits.seriesPerNameMax) {
			places.set(known.block, samples.length);
			samples.push(sample);
			this.#kept = known;
			return true;
		}
		if (place === undefined) this.#problem('too_many_series', family.name);
		else {
			samples[place] = sample;
			this.#problem('duplicate_series', family.name);
		}
		return false;
	}

	#problem(kind: ProblemKind, name: string): void {
		this.#problemCount++;
		this.#layout?.busy();
		if (kind !== 'duplicate_series') this.#complete = false;
		if (this.#problems.length < this.#limits.problemsMax) this.#problems.push({ kind, line: this.#lines, name });
	}
}

/** Reads a whole body: the samples of the `wanted` metric names. */
export function parseMetrics(
	body: string | Uint8Array,
	wanted: Iterable<string> | WantedNames,
	limits: Partial<MetricsLimits> = {},
	memory?: SeriesMemory,
): MetricSamples {
	const parser = new MetricsParser(wanted, limits, memory);
	parser.push(typeof body === 'string' ? Buffer.from(body) : body);
	return parser.end();
}
