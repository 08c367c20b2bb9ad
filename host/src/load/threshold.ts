// Owns the grammar of threshold expressions and their evaluation against any table of metrics; used wherever a command takes --threshold.
// Leaves what is measured to the caller, who passes a table of metric kinds and a lookup. Values inside are milliseconds and fractions.
//
//   list       = threshold { "," threshold }
//   threshold  = metric [ "@" size ] operator number [ unit ]
//   metric     = word { "." word }            e.g. ttft.p99, e2e.p99.9, fail.rate, p99
//   size       = whole number                 e.g. the 1024 of p99@1024 (targets)
//   operator   = "<" | "<=" | ">" | ">="
//   unit       = "us" | "ms" | "s" | "%"
import { MeshError } from '@infermesh/proto';
import { loadErrors } from './errors.js';

export type ThresholdOperator = '<' | '<=' | '>' | '>=';

/** What a metric is measured in: times (held in ms), shares of a whole (held as a fraction), counts and rates (plain). */
export type MetricKind = 'time' | 'share' | 'plain';

export interface Threshold {
	/** The expression as written. */
	readonly source: string;
	readonly metric: string;
	readonly size?: number;
	readonly operator: ThresholdOperator;
	/** In milliseconds when `unit` is a time, a fraction when it is %, else as written. */
	readonly limit: number;
	readonly unit: 'us' | 'ms' | 's' | '%' | 'none';
}

export interface ThresholdVerdict {
	readonly source: string;
	readonly passed: boolean;
	/** The measured value (ms, fraction or plain); null when nothing was measured, which fails. */
	readonly actual: number | null;
}

const LIST_MAX = 64;
const METRIC = /[a-z][a-z0-9]*(?:[._][a-z0-9]+)*/y;
const SIZE = /@(\d{1,9})(?![\d.])/y;
const OPERATOR = /<=|>=|<|>/y;
const NUMBER = /(?:\d+(?:_\d+)*(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?/y;
const UNIT = /us|µs|ms|s|%/y;
const TO_INTERNAL = { us: 0.001, ms: 1, s: 1000, '%': 0.01, none: 1 } as const;

/** Parses a comma-separated list. Throws IM_THRESHOLD_SYNTAX with the column; whether a metric exists is for `checkThresholds`. */
export function parseThresholds(text: string): Threshold[] {
	const thresholds: Threshold[] = [];
	const scanner = new Scanner(text);
	for (;;) {
		if (thresholds.length === LIST_MAX) throw scanner.error(`at most ${LIST_MAX} thresholds`);
		thresholds.push(parseOne(scanner));
		if (scanner.atEnd()) return thresholds;
		if (scanner.take(/,/y) === undefined) throw scanner.error('expected "," or the end');
	}
}

function parseOne(scanner: Scanner): Threshold {
	scanner.skipSpace();
	const from = scanner.position;
	const metric = scanner.take(METRIC);
	if (metric === undefined) throw scanner.error('expected a metric such as ttft.p99');
	const size = scanner.take(SIZE);
	if (size === undefined && scanner.peek() === '@') throw scanner.error('expected a whole number after "@"');
	const operator = scanner.take(OPERATOR);
	if (operator === undefined) throw scanner.error('expected one of < <= > >=');
	const number = scanner.take(NUMBER);
	if (number === undefined) throw scanner.error('expected a number');
	const written = scanner.take(UNIT) ?? 'none';
	if (/[a-z]/i.test(scanner.peek())) throw scanner.error('unknown unit; use us, ms, s, % or none');
	const unit = (written === 'µs' ? 'us' : written) as Threshold['unit'];
	return {
		source: scanner.text.slice(from, scanner.position).trim(),
		metric,
		...(size === undefined ? {} : { size: Number(size.slice(1)) }),
		operator: operator as ThresholdOperator,
		limit: Number(number.replaceAll('_', '')) * TO_INTERNAL[unit],
		unit,
	};
}

/**
 * Checks that every threshold names a measured metric in a fitting unit, before anything is run.
 * Throws IM_THRESHOLD_METRIC (with the nearest name) or IM_THRESHOLD_UNIT.
 */
export function checkThresholds(thresholds: readonly Threshold[], kinds: ReadonlyMap<string, MetricKind>): void {
	for (const threshold of thresholds) {
		const kind = kinds.get(threshold.metric);
		if (kind === undefined) {
			const near = nearest(threshold.metric, [...kinds.keys()]);
			const hint = `${near === undefined ? '' : `Did you mean ${near}? `}Known: ${[...kinds.keys()].join(', ')}.`;
			const message = `unknown metric ${threshold.metric}`;
			throw new MeshError(loadErrors, 'IM_THRESHOLD_METRIC', message, { where: threshold.source, hint });
		}
		const isTime = threshold.unit === 'us' || threshold.unit === 'ms' || threshold.unit === 's';
		const fits = kind === 'time' ? isTime : !isTime && (threshold.unit === 'none' || kind === 'share');
		if (fits) continue;
		const written = threshold.unit === 'none' ? 'no unit' : threshold.unit;
		const takes = { time: 'us, ms or s', share: '% or a fraction', plain: 'a plain number' }[kind];
		const message = `${threshold.metric} takes ${takes}; found ${written}`;
		throw new MeshError(loadErrors, 'IM_THRESHOLD_UNIT', message, { where: threshold.source });
	}
}

/** Compares each threshold with what `lookup` measured (ms, fraction or plain; undefined when nothing was). */
export function evaluateThresholds(
	thresholds: readonly Threshold[],
	lookup: (metric: string, size: number | undefined) => number | undefined,
): ThresholdVerdict[] {
	return thresholds.map((threshold) => {
		const actual = lookup(threshold.metric, threshold.size);
		const passed = actual !== undefined && holds(actual, threshold.operator, threshold.limit);
		return { source: threshold.source, passed, actual: actual ?? null };
	});
}

/** Whether `actual operator limit`. NaN never holds. */
export function holds(actual: number, operator: ThresholdOperator, limit: number): boolean {
	return COMPARE[operator](actual, limit);
}

const COMPARE: Readonly<Record<ThresholdOperator, (actual: number, limit: number) => boolean>> = {
	'<': (actual, limit) => actual < limit,
	'<=': (actual, limit) => actual <= limit,
	'>': (actual, limit) => actual > limit,
	'>=': (actual, limit) => actual >= limit,
};

class Scanner {
	readonly text: string;
	position = 0;

	constructor(text: string) {
		this.text = text;
	}

	/** Takes what the sticky `pattern` matches here, after spaces. */
	take(pattern: RegExp): string | undefined {
		this.skipSpace();
		pattern.lastIndex = this.position;
		const found = pattern.exec(this.text)?.[0];
		if (found !== undefined) this.position += found.length;
		return found;
	}

	peek(): string {
		return this.text.charAt(this.position);
	}

	skipSpace(): void {
		while (/\s/.test(this.peek())) this.position++;
	}

	atEnd(): boolean {
		this.skipSpace();
		return this.position === this.text.length;
	}

	error(expected: string): MeshError {
		const found =
			this.position >= this.text.length
				? 'the end'
				: JSON.stringify(this.text.slice(this.position, this.position + 12));
		const where = `threshold:1:${this.position + 1}`;
		return new MeshError(
			loadErrors,
			'IM_THRESHOLD_SYNTAX',
			`${expected}; found ${found} in ${JSON.stringify(this.text)}`,
			{ where },
		);
	}
}

/** The name within edit distance 3 that is nearest, if any. */
function nearest(name: string, known: readonly string[]): string | undefined {
	let best: string | undefined;
	let bestDistance = 4;
	for (const candidate of known) {
		const distance = editDistance(name, candidate);
		if (distance >= bestDistance) continue;
		best = candidate;
		bestDistance = distance;
	}
	return best;
}

function editDistance(left: string, right: string): number {
	let row = Array.from({ length: right.length + 1 }, (_, index) => index);
	for (let i = 1; i <= left.length; i++) {
		const next = [i];
		for (let j = 1; j <= right.length; j++) {
			const substitute = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
			next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
		}
		row = next;
	}
	return row[right.length] ?? 0;
}
