// Owns the grammar of a label block: `{name="value",…}` with escapes, blanks, a trailing comma, and the quoted names of
// Prometheus 3. Works on one line inside a larger text without copying it. Leaves what surrounds the block to parser.ts.
//
// Series of one metric follow each other and differ in one label, so each position remembers the name and value it last
// saw: when the text shows the same again, the old string is used and nothing is allocated.

const tab = 9;
const space = 32;
const quote = 34;
const comma = 44;
const equals = 61;
const backslash = 92;
const closeBrace = 125;

export type LabelFault = 'bad_labels' | 'too_many_labels';

/** Whether `code` may stand in a label name, or (with `colon`) in a metric name. */
export function isNameCode(code: number, colon: boolean): boolean {
	return (
		(code >= 97 && code <= 122) ||
		code === 95 ||
		(code >= 65 && code <= 90) ||
		(code >= 48 && code <= 57) ||
		(colon && code === 58)
	);
}

/** The first position from `at` on that is no blank, at most `end`. */
export function skipBlanks(text: string, at: number, end: number): number {
	let position = at;
	while (position < end) {
		const code = text.charCodeAt(position);
		if (code !== space && code !== tab) break;
		position++;
	}
	return position;
}

export class LabelScanner {
	/** Names and values by turns, after a successful `scan`. */
	labels: string[] = [];
	/** A quoted metric name found in the block, after a successful `scan`; empty when there was none. */
	metricName = '';
	/** Why the last `scan` failed. */
	fault: LabelFault = 'bad_labels';

	readonly #labelsMax: number;
	readonly #names: string[] = [];
	readonly #values: string[] = [];
	/** The string last read by `#quoted`, and whether it held an escape. */
	#string = '';
	#escaped = false;

	constructor(labelsMax: number) {
		this.#labelsMax = labelsMax;
	}

	/**
	 * Reads the block that begins after the `{` at `start − 1`, inside `[start, end)` of `text`.
	 * Returns the position after its `}`, or −1 with `fault` set.
	 */
	scan(text: string, start: number, end: number): number {
		this.labels = [];
		this.metricName = '';
		this.fault = 'bad_labels';
		let at = skipBlanks(text, start, end);
		for (;;) {
			if (at >= end) return -1;
			if (text.charCodeAt(at) === closeBrace) return at + 1;
			at = this.#pair(text, at, end);
			if (at < 0) return -1;
			at = skipBlanks(text, at, end);
			if (at >= end) return -1;
			const code = text.charCodeAt(at);
			if (code === closeBrace) return at + 1;
			if (code !== comma) return -1;
			at = skipBlanks(text, at + 1, end);
		}
	}

	/** Reads `name="value"`, or a lone quoted metric name. Returns the position after it, or −1. */
	#pair(text: string, start: number, end: number): number {
		const index = this.labels.length >> 1;
		let at = this.#name(text, start, end, index);
		if (at < 0) return -1;
		const name = this.#string;
		at = skipBlanks(text, at, end);
		if (at >= end || text.charCodeAt(at) !== equals) return this.#lone(text, start, at, name);
		at = skipBlanks(text, at + 1, end);
		if (at >= end || text.charCodeAt(at) !== quote) return -1;
		if (index >= this.#labelsMax) {
			this.fault = 'too_many_labels';
			return -1;
		}
		at = this.#value(text, at + 1, end, index);
		if (at >= 0) this.labels.push(name, this.#string);
		return at;
	}

	/** Takes a string without `=` as the metric name when it is quoted and the first one. */
	#lone(text: string, start: number, at: number, name: string): number {
		if (text.charCodeAt(start) !== quote || this.metricName !== '' || name === '') return -1;
		this.metricName = name;
		return at;
	}

	#name(text: string, start: number, end: number, index: number): number {
		if (text.charCodeAt(start) === quote) return this.#quoted(text, start + 1, end);
		const last = this.#names[index];
		if (last !== undefined && text.startsWith(last, start)) {
			const after = start + last.length;
			if (after < end && text.charCodeAt(after) === equals) {
				this.#string = last;
				return after;
			}
		}
		const first = text.charCodeAt(start);
		if (first >= 48 && first <= 57) return -1;
		let at = start;
		while (at < end && isNameCode(text.charCodeAt(at), false)) at++;
		if (at === start) return -1;
		this.#string = text.slice(start, at);
		this.#names[index] = this.#string;
		return at;
	}

	#value(text: string, start: number, end: number, index: number): number {
		const last = this.#values[index];
		if (last !== undefined && text.startsWith(last, start)) {
			const after = start + last.length;
			if (after < end && text.charCodeAt(after) === quote) {
				this.#string = last;
				return after + 1;
			}
		}
		const at = this.#quoted(text, start, end);
		// A value with an escape reads otherwise than it is written, so it cannot be compared with the text.
		if (at >= 0 && !this.#escaped) this.#values[index] = this.#string;
		return at;
	}

	/** Reads a quoted string whose opening quote is before `start`. Returns the position after the closing quote, or −1. */
	#quoted(text: string, start: number, end: number): number {
		this.#escaped = false;
		for (let at = start; at < end; at++) {
			const code = text.charCodeAt(at);
			if (code === quote) {
				const raw = text.slice(start, at);
				this.#string = this.#escaped ? unescape(raw) : raw;
				return at + 1;
			}
			if (code === backslash) {
				this.#escaped = true;
				at++;
			}
		}
		return -1;
	}
}

/** `\\`, `\"` and `\n`; any other escape stands for itself, backslash included, as the Prometheus parsers do. */
function unescape(raw: string): string {
	return raw.replace(/\\([\\"n])/g, (_, code: string) => (code === 'n' ? '\n' : code));
}
