// Owns numbers of the text format: what Go's ParseFloat takes without hexadecimal floats and digit separators, which no
// exporter writes, and which JavaScript's Number reads otherwise.

const plus = 43;
const minus = 45;
const dot = 46;
const space = 32;
const tab = 9;

/** The end of the blank-delimited token at `start`. */
export function tokenEnd(text: string, start: number, end: number): number {
	let at = start;
	while (at < end) {
		const code = text.charCodeAt(at);
		if (code === space || code === tab) break;
		at++;
	}
	return at;
}

/** The number in `[start, end)` of `text`, possibly NaN or infinite; `undefined` when there is none. */
export function parseValue(text: string, start: number, end: number): number | undefined {
	if (start >= end) return undefined;
	const first = text.charCodeAt(start);
	const signed = first === plus || first === minus;
	const digit = text.charCodeAt(signed ? start + 1 : start);
	if (!(digit >= 48 && digit <= 57) && digit !== dot) return special(text.slice(start, end), signed);
	// Number also takes 0x, 0o and 0b, and passes over exotic blanks at the end.
	if (isRadixPrefix(text, signed ? start + 1 : start, end)) return undefined;
	const last = text.charCodeAt(end - 1);
	if (!(last >= 48 && last <= 57) && last !== dot) return undefined;
	const value = Number(text.slice(start, end));
	return Number.isNaN(value) ? undefined : value;
}

/** Digits whose number a double holds exactly, and so does the power of ten that places their point: their quotient is rounded once, as ParseFloat's is. */
const PLAIN_DIGITS_MAX = 15;
const powers = Array.from({ length: PLAIN_DIGITS_MAX + 1 }, (_, digits) => 10 ** digits);

/** The plain decimal number read last, and where it ended. */
export class PlainNumber {
	value = 0;
	end = 0;

	/** Reads digits with or without a point at `start`. False, with nothing set, when they are too many or none. */
	read(text: string, start: number): boolean {
		let at = start;
		let value = 0;
		let point = -1;
		for (;;) {
			const code = text.charCodeAt(at);
			if (code >= 48 && code <= 57) value = value * 10 + code - 48;
			else if (code === dot && point < 0) point = at;
			else break;
			at++;
		}
		const digits = at - start - (point < 0 ? 0 : 1);
		if (digits === 0 || digits > PLAIN_DIGITS_MAX) return false;
		this.value = point < 0 ? value : value / (powers[at - point - 1] as number);
		this.end = at;
		return true;
	}
}

function isRadixPrefix(text: string, at: number, end: number): boolean {
	if (text.charCodeAt(at) !== 48 || at + 1 >= end) return false;
	const letter = text.charCodeAt(at + 1) | 32;
	return letter === 120 || letter === 111 || letter === 98;
}

function special(token: string, signed: boolean): number | undefined {
	const word = (signed ? token.slice(1) : token).toLowerCase();
	if (word === 'nan') return signed ? undefined : Number.NaN;
	if (word !== 'inf' && word !== 'infinity') return undefined;
	return token.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}
