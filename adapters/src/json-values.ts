// Owns reading values out of parsed JSON of unknown shape: what is not of the wanted kind is absent, never coerced.

export type JsonRecord = Readonly<Record<string, unknown>>;

/** The value of a JSON text; undefined for text that is none. */
export function parseJson(text: string): unknown {
	try {
		return JSON.parse(text) as unknown;
	} catch {
		return undefined;
	}
}

export function recordOf(value: unknown): JsonRecord | undefined {
	return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRecord) : undefined;
}

export function listOf(value: unknown): readonly unknown[] {
	return Array.isArray(value) ? value : [];
}

/** A finite number that is not negative. */
export function countOf(value: unknown): number | undefined {
	return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** A whole number that is not negative, as number or as decimal text. */
export function wholeOf(value: unknown): number | undefined {
	const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
	return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

export function textOf(value: unknown, charsMax: number): string | undefined {
	return typeof value === 'string' && value !== '' ? printable(value, charsMax) : undefined;
}

export function flagOf(value: unknown): boolean | undefined {
	return typeof value === 'boolean' ? value : undefined;
}

/** Text as it may stand in a report: no control characters, no length beyond a bound. */
export function printable(text: string, charsMax: number): string {
	const cut = text.length > charsMax ? text.slice(0, charsMax) : text;
	return cut.replace(/\p{Cc}/gu, ' ');
}

/** `{ [name]: value }`, or nothing where there is no value: for fields that may be absent. */
export function given<K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } {
	return (value === undefined ? {} : { [name]: value }) as { readonly [P in K]?: V };
}
