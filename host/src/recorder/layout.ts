// Owns the words of every record of a recording, in the workers' rings and on disk alike: little-endian 32-bit words, a record's first word its kind
// and length. docs/recordings.md describes the same. Append only: a word never moves within a format version.
import { REQUEST_BYTES } from '@infermesh/sdk';

export const FORMAT_VERSION = 1;

/** Kinds of records. */
export const Kind = {
	/** JSON: what is recorded, and how. First in every file. */
	meta: 1,
	/** JSON: a strategy version. */
	strategy: 2,
	/** JSON: one pool as one worker sees it; what follows names it by number. */
	stream: 3,
	/** The module of a strategy version as it was loaded. */
	module: 4,
	/** All rows of a stream, all columns. */
	keyframe: 5,
	/** Rows that changed: for each a mask of the columns that did, and those. */
	rows: 6,
	/** In rings only: rows that changed, all columns. */
	rowsFull: 7,
	/** Pages of a state block that changed. */
	state: 8,
	/** In rings only: a whole state block. */
	stateFull: 9,
	decision: 10,
	outcome: 11,
	/** Decisions that were dropped because a ring was full. */
	gap: 12,
	/** The file ends here by intent. */
	end: 13,
	/** Outcomes that were lost because a ring was full. */
	outcomeGap: 14,
	/** In rings only: many rows that changed, all columns of the rows between them and a list of those that did; see `ColumnsTap`. */
	columnsFull: 15,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export const LENGTH_WORDS_MAX = 0xffffff;

/** First word of a record whose payload has `words` words. */
export function recordHead(kind: Kind, words: number): number {
	return ((kind << 24) | words) >>> 0;
}

export const REQUEST_WORDS = REQUEST_BYTES / 4;

/** Set in a changed row's word when the row was eligible. */
export const ELIGIBLE_BIT = 0x8000_0000;
/** 32-bit words of a page of a state block. */
export const STATE_PAGE_WORDS = 64;

/** Words of a decision's payload. Variable parts follow in this order: request, rows, scores, factors, excluded, hits, blocks. */
export const D = {
	stream: 0,
	sequence: 1,
	/** Version id; 0 = the fallback alone. */
	version: 2,
	/** cause | verdict << 8 | count << 16 | chosen << 24. */
	answer: 3,
	flags: 4,
	/** Decision id, 16 bytes as four big-endian words; all 0 = none was given. */
	id: 5,
	durationUs: 9,
	/** 64-bit float. */
	fuel: 10,
	stateEpoch: 12,
	tableEpoch: 13,
	eligible: 14,
	propensity: 15,
	/** 64-bit float: the uniform draw behind `chosen`. */
	draw: 16,
	temperature: 18,
	prefillRow: 19,
	fetchFromRow: 20,
	hedgeDelayMs: 21,
	hedgeCopies: 22,
	holdKey: 23,
	rejectReason: 24,
	retryAfterMs: 25,
	predictedTtftMs: 26,
	cachedTokens: 27,
	/** Index into `prefixSources`. */
	cachedSource: 28,
	/** excluded | hits << 16. */
	inputs: 29,
	/** factors a row | blocks << 8. */
	extras: 30,
	drawRatio: 31,
	/** Wall clock, 64-bit float milliseconds. */
	wallMs: 32,
	words: 34,
} as const;

export const Flag = {
	/** The caller, or what the request asks for, named the target. */
	forced: 1,
	/** The target chosen by the draw had no room, and another ranked one was taken: `propensity` is not that of the choice. */
	moved: 2,
	/** Softmax over the scores. */
	explored: 4,
	/** Even draw among near-equal rows. */
	spread: 8,
	/** Session, prompt hash and blocks are salted or dropped. */
	redacted: 16,
	/** The inputs stood under another table epoch when they were copied. */
	moving: 32,
	/** A share of decisions drawn evenly from the ranked rows. */
	even: 64,
} as const;

/** Words of an outcome's payload. */
export const O = {
	id: 0,
	poolIndex: 4,
	row: 5,
	/** status | hedge << 8 | leg << 16 | flags << 24. */
	kind: 6,
	httpStatus: 7,
	tokensIn: 8,
	tokensOut: 9,
	tokensCached: 10,
	ttftMs: 11,
	tpotMs: 12,
	e2eMs: 13,
	predictedTtftMs: 14,
	wastedTokens: 15,
	/** Wall clock, 64-bit float milliseconds. */
	wallMs: 16,
	words: 18,
} as const;

export const OutcomeFlag = { fallback: 1, retried: 2, lost: 4, unreachable: 8 } as const;
export const hedgeNames = ['none', 'first', 'copy'] as const;
export const legNames = ['whole', 'prefill', 'decode'] as const;

const f32 = new Float32Array(1);
const f64 = new Float64Array(1);
const u32OfF32 = new Uint32Array(f32.buffer);
const u32OfF64 = new Uint32Array(f64.buffer);

/** Writes a 32-bit float's bits. */
export function putF32(words: Uint32Array, at: number, value: number): void {
	f32[0] = value;
	words[at] = u32OfF32[0] as number;
}

/** Writes a 64-bit float's bits, low word first. */
export function putF64(words: Uint32Array, at: number, value: number): void {
	f64[0] = value;
	words[at] = u32OfF64[0] as number;
	words[at + 1] = u32OfF64[1] as number;
}

export function getF32(words: Uint32Array, at: number): number {
	u32OfF32[0] = words[at] as number;
	return f32[0] as number;
}

export function getF64(words: Uint32Array, at: number): number {
	u32OfF64[0] = words[at] as number;
	u32OfF64[1] = words[at + 1] as number;
	return f64[0] as number;
}

/** Writes a UUID's 16 bytes as four big-endian words; anything else, and '', as zeros. */
export function putId(words: Uint32Array, at: number, id: string): void {
	let nibbles = 0;
	let word = 0;
	for (let i = 0; i < id.length && nibbles < 32; i++) {
		const unit = id.charCodeAt(i);
		if (unit === 0x2d) continue;
		const digit = unit < 0x3a ? unit - 0x30 : (unit | 0x20) - 0x57;
		word = (word << 4) | (digit & 15);
		if ((++nibbles & 7) === 0) {
			words[at + (nibbles >> 3) - 1] = word >>> 0;
			word = 0;
		}
	}
	if (nibbles !== 32) words.fill(0, at, at + 4);
}

/** The UUID at `at`, or '' when all its words are 0. */
export function getId(words: Uint32Array, at: number): string {
	let hex = '';
	let any = 0;
	for (let i = 0; i < 4; i++) {
		const word = words[at + i] as number;
		any |= word;
		hex += word.toString(16).padStart(8, '0');
	}
	if (any === 0) return '';
	return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
