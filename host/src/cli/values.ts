// Owns the reading of option values: numbers with bounds, durations, NAME=VALUE pairs. A bad value is a usage error that says what fits.
import { InvalidArgumentError } from 'commander';

/** What names a strategy on the command line. */
export const STRATEGY_WHAT = 'project folder, .wasm or .so file, or shipped strategy';

/** A parser for whole numbers from `min` to `max`. */
export function whole(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
	return (text) => {
		const value = Number(text);
		if (/^\d+$/.test(text) && value >= min && value <= max) return value;
		const range =
			max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`;
		throw new InvalidArgumentError(`It must be ${range}.`);
	};
}

/** A parser for numbers from `min` to `max`. */
export function decimal(min: number, max = Number.POSITIVE_INFINITY): (text: string) => number {
	return (text) => {
		const value = Number(text);
		if (text.trim() !== '' && value >= min && value <= max) return value;
		throw new InvalidArgumentError(
			min === Number.NEGATIVE_INFINITY
				? 'It must be a number.'
				: `It must be a number ${max === Number.POSITIVE_INFINITY ? `from ${min}` : `from ${min} to ${max}`}.`,
		);
	};
}

/** A number of either sign. */
export function signed(text: string): number {
	return decimal(Number.NEGATIVE_INFINITY)(text);
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `30s`, `5m`, `1h`, `7d` → milliseconds. */
export function duration(text: string): number {
	const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
	const unit = unitMs[match?.[2] ?? ''];
	if (match === null || unit === undefined)
		throw new InvalidArgumentError('It must be a duration: 500ms, 30s, 5m, 1h or 7d.');
	return Number(match[1]) * unit;
}

/** Gathers a repeatable option. */
export function collect(text: string, before: readonly string[] | undefined): string[] {
	return [...(before ?? []), text];
}

/** Splits `NAME=VALUE`. */
export function pair(text: string): readonly [name: string, value: string] {
	const at = text.indexOf('=');
	if (at < 1) throw new InvalidArgumentError('It must be NAME=VALUE.');
	return [text.slice(0, at), text.slice(at + 1)];
}

/** Gathers `NAME=VALUE` pairs whose values are numbers, true or false. */
export function setting(
	text: string,
	before: Readonly<Record<string, number | boolean>> | undefined,
): Record<string, number | boolean> {
	const [name, raw] = pair(text);
	const value = raw === 'true' ? true : raw === 'false' ? false : raw.trim() === '' ? Number.NaN : Number(raw);
	if (typeof value === 'number' && !Number.isFinite(value))
		throw new InvalidArgumentError('The value must be a number, true or false.');
	return { ...before, [name]: value };
}

/** Comma-separated whole numbers. */
export function wholeList(text: string): number[] {
	const parse = whole(1);
	return text.split(',').map((part) => parse(part.trim()));
}

/** Comma-separated numbers above 0. */
export function decimalList(text: string): number[] {
	const parse = decimal(Number.MIN_VALUE);
	return text.split(',').map((part) => parse(part.trim()));
}

/** One of a few words. */
export function oneOf<const V extends readonly string[]>(...words: V): (text: string) => V[number] {
	return (text) => {
		if (words.includes(text)) return text;
		throw new InvalidArgumentError(`It must be one of ${words.join(', ')}.`);
	};
}
