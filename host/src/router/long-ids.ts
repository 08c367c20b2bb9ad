// Owns token ids as JSON text: telling whether an array is nothing but ids, and reading them where they lie, so that a prompt of a hundred thousand ids becomes no
// JavaScript array on its way to being hashed. An id is an integer of 0 to 2^32 − 1, written without sign, fraction or exponent; anything else is for JSON.parse.

const COMMA = 0x2c;
const CLOSE_BRACKET = 0x5d;
const ZERO = 0x30;
const ID_MAX = 0xffff_ffff;

export interface IdsText {
	/** Just past the closing bracket. */
	readonly end: number;
	readonly count: number;
}

/** 10^9, the largest power of ten whose digits behind it may still make an id. */
const BEFORE_LAST_DIGIT = 1e9;

/**
 * The array of ids that opens at `open`, checked as JSON.parse would; undefined when it is none, is empty, or does not end. The ids go to `into` from `at` on, as many
 * as it has room for. One pass, and no further than it is an array of ids.
 */
export function readIds(body: Uint8Array, open: number, into: Uint32Array, at: number): IdsText | undefined {
	let to = at;
	for (let from = open + 1; ; from++) {
		from = skipSpace(body, from);
		let digit = (body[from] as number) - ZERO;
		if (!(digit >= 0 && digit <= 9)) return undefined;
		let id = digit;
		digit = (body[++from] as number) - ZERO;
		// JSON has no leading zeros: after one no digit may stand.
		if (id > 0) {
			while (digit >= 0 && digit <= 9 && id < BEFORE_LAST_DIGIT) {
				id = id * 10 + digit;
				digit = (body[++from] as number) - ZERO;
			}
			if (id > ID_MAX) return undefined;
		}
		if (to < into.length) into[to] = id;
		to++;
		from = skipSpace(body, from);
		const next = body[from];
		if (next === CLOSE_BRACKET) return { end: from + 1, count: to - at };
		if (next !== COMMA) return undefined;
	}
}

export function isId(value: unknown): value is number {
	return typeof value === 'number' && value >= 0 && value <= ID_MAX && Number.isInteger(value);
}

function skipSpace(body: Uint8Array, from: number): number {
	let at = from;
	while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at++;
	return at;
}
