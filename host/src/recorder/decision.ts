// Owns a recorded decision and a recorded outcome as values, read from their words, and what follows from them without the inputs: the candidates with
// the probability each had of being chosen.
import {
	FACTORS_MAX,
	HITS_MAX,
	RANKED_ROWS_MAX,
	REQUEST_ATTEMPT_WORD,
	REQUEST_ELIGIBLE_COUNT_WORD,
	REQUEST_NOW_US_WORD,
	REQUEST_PROMPT_HASH_WORD,
	REQUEST_SESSION_WORD,
	REQUEST_TENANT_WORD,
	REQUEST_TOKENS_IN_WORD,
	REQUEST_TOKENS_OUT_MAX_WORD,
	REQUEST_TOKENS_OUT_WORD,
} from '@infermesh/sdk';
import { type OutcomeStatusName, outcomeStatusNames, type PrefixSource, prefixSources } from '../router/ports.js';
import {
	type DrawMade,
	type FallbackCause,
	fallbackCauses,
	type VerdictName,
	verdicts,
} from '../strategy/runtime/decision.js';
import { D, Flag, getF32, getF64, getId, hedgeNames, legNames, O, OutcomeFlag, REQUEST_WORDS } from './layout.js';

export interface RecordedHit {
	readonly row: number;
	readonly tokens: number;
	readonly tier: number;
	readonly flags: number;
}

/** A decision without its inputs' columns. Rows are pool rows of its stream. */
export interface RecordedDecision {
	readonly stream: number;
	readonly sequence: number;
	/** 0 = the fallback decided alone. */
	readonly versionId: number;
	/** Why the fallback answered; 'none' = the strategy did. */
	readonly cause: FallbackCause;
	readonly verdict: VerdictName;
	/** UUID; '' when no target was taken (held, rejected, asked only). */
	readonly id: string;
	readonly forced: boolean;
	/** Another ranked target than the one drawn was taken, for want of room: its propensity is not known. */
	readonly moved: boolean;
	readonly redacted: boolean;
	/** The inputs may be of a later table epoch than the decision's. */
	readonly moving: boolean;
	readonly wallMs: number;
	readonly durationUs: number;
	readonly fuel: number;
	readonly stateEpoch: number;
	readonly tableEpoch: number;
	/** Rows that could be chosen when it was made. */
	readonly eligible: number;
	/** Ranked rows, best first; `scores` and `factors` run along. */
	readonly rows: Uint32Array;
	readonly scores: Float32Array;
	readonly factors: readonly Float32Array[];
	/** Index into `rows`. */
	readonly chosen: number;
	readonly propensity: number;
	readonly drawn: DrawMade['mode'];
	readonly draw: number;
	readonly temperature: number;
	/** See `DrawMade.ratio`. */
	readonly drawRatio: number;
	readonly prefillRow: number;
	readonly fetchFromRow: number;
	readonly hedgeDelayMs: number;
	readonly hedgeCopies: number;
	readonly holdKey: number;
	readonly rejectReason: number;
	readonly retryAfterMs: number;
	readonly predictedTtftMs: number;
	/** Prompt tokens the chosen target was expected to have. */
	readonly cachedTokens: number;
	readonly cachedSource: PrefixSource;
	/** The request block as the strategy saw it. */
	readonly request: Uint32Array;
	/** Rows this request could not go to. */
	readonly excluded: Uint32Array;
	readonly hits: readonly RecordedHit[];
	/** Chained hashes of the prompt's blocks, low and high words in turn. */
	readonly blocks: Uint32Array;
}

export interface RecordedOutcome {
	readonly decisionId: string;
	readonly poolIndex: number;
	readonly row: number;
	readonly status: OutcomeStatusName;
	readonly httpStatus: number;
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly tokensCached: number;
	/** 0 = no token came. */
	readonly ttftMs: number;
	readonly tpotMs: number;
	readonly e2eMs: number;
	readonly predictedTtftMs: number;
	readonly wastedTokens: number;
	readonly hedge: (typeof hedgeNames)[number];
	readonly leg: (typeof legNames)[number];
	readonly fallbackDecided: boolean;
	readonly retried: boolean;
	/** Another attempt of the request brought the answer. */
	readonly lost: boolean;
	readonly unreachable: boolean;
	readonly wallMs: number;
}

/** Milliseconds since 1970 that a date can show. */
function isTime(ms: number): boolean {
	return ms >= 0 && ms <= 8.64e15;
}

/** Reads a decision's payload. Undefined when its parts do not add up to `length`. */
export function readDecision(words: Uint32Array, at: number, length: number): RecordedDecision | undefined {
	if (length < D.words + REQUEST_WORDS) return undefined;
	const answer = words[at + D.answer] as number;
	const count = (answer >>> 16) & 0xff;
	const chosen = answer >>> 24;
	const inputs = words[at + D.inputs] as number;
	const extras = words[at + D.extras] as number;
	const factorCount = extras & 0xff;
	const blockCount = extras >>> 8;
	const excludedCount = inputs & 0xffff;
	const hitCount = inputs >>> 16;
	const cause = fallbackCauses[answer & 0xff];
	const verdict = verdicts[(answer >>> 8) & 0xff];
	if (cause === undefined || verdict === undefined) return undefined;
	if (count > RANKED_ROWS_MAX || factorCount > FACTORS_MAX || hitCount > HITS_MAX) return undefined;
	if (count > 0 && chosen >= count) return undefined;
	const parts = REQUEST_WORDS + count * (2 + factorCount) + excludedCount + 4 * hitCount + 2 * blockCount;
	if (length !== D.words + parts || !isTime(getF64(words, at + D.wallMs))) return undefined;
	let from = at + D.words;
	const take = (size: number): Uint32Array => words.slice(from, (from += size));
	const request = take(REQUEST_WORDS);
	const rows = take(count);
	const scores = new Float32Array(take(count).buffer);
	const factors = Array.from({ length: count }, () => new Float32Array(take(factorCount).buffer));
	const excluded = take(excludedCount);
	const hitWords = take(4 * hitCount);
	const blocks = take(2 * blockCount);
	const flags = words[at + D.flags] as number;
	const row = (field: number): number => (words[at + field] as number) | 0;
	return {
		stream: words[at + D.stream] as number,
		sequence: words[at + D.sequence] as number,
		versionId: words[at + D.version] as number,
		cause,
		verdict,
		id: getId(words, at + D.id),
		forced: (flags & Flag.forced) !== 0,
		moved: (flags & Flag.moved) !== 0,
		redacted: (flags & Flag.redacted) !== 0,
		moving: (flags & Flag.moving) !== 0,
		wallMs: getF64(words, at + D.wallMs),
		durationUs: getF32(words, at + D.durationUs),
		fuel: getF64(words, at + D.fuel),
		stateEpoch: words[at + D.stateEpoch] as number,
		tableEpoch: words[at + D.tableEpoch] as number,
		eligible: words[at + D.eligible] as number,
		rows,
		scores,
		factors,
		chosen,
		propensity: getF32(words, at + D.propensity),
		drawn: drawnBy(flags),
		draw: getF64(words, at + D.draw),
		temperature: getF32(words, at + D.temperature),
		drawRatio: getF32(words, at + D.drawRatio),
		prefillRow: row(D.prefillRow),
		fetchFromRow: row(D.fetchFromRow),
		hedgeDelayMs: getF32(words, at + D.hedgeDelayMs),
		hedgeCopies: words[at + D.hedgeCopies] as number,
		holdKey: getF32(words, at + D.holdKey),
		rejectReason: words[at + D.rejectReason] as number,
		retryAfterMs: getF32(words, at + D.retryAfterMs),
		predictedTtftMs: getF32(words, at + D.predictedTtftMs),
		cachedTokens: words[at + D.cachedTokens] as number,
		cachedSource: prefixSources[words[at + D.cachedSource] as number] ?? 'none',
		request,
		excluded,
		hits: Array.from({ length: hitCount }, (_, i) => ({
			row: hitWords[4 * i] as number,
			tokens: hitWords[4 * i + 1] as number,
			tier: hitWords[4 * i + 2] as number,
			flags: hitWords[4 * i + 3] as number,
		})),
		blocks,
	};
}

/** Reads an outcome's payload. Undefined when it is none. */
export function readOutcome(words: Uint32Array, at: number, length: number): RecordedOutcome | undefined {
	if (length !== O.words || !isTime(getF64(words, at + O.wallMs))) return undefined;
	const kind = words[at + O.kind] as number;
	const status = outcomeStatusNames[kind & 0xff];
	const hedge = hedgeNames[(kind >>> 8) & 0xff];
	const leg = legNames[(kind >>> 16) & 0xff];
	if (status === undefined || hedge === undefined || leg === undefined) return undefined;
	const flags = kind >>> 24;
	return {
		decisionId: getId(words, at + O.id),
		poolIndex: words[at + O.poolIndex] as number,
		row: words[at + O.row] as number,
		status,
		httpStatus: words[at + O.httpStatus] as number,
		tokensIn: words[at + O.tokensIn] as number,
		tokensOut: words[at + O.tokensOut] as number,
		tokensCached: words[at + O.tokensCached] as number,
		ttftMs: getF32(words, at + O.ttftMs),
		tpotMs: getF32(words, at + O.tpotMs),
		e2eMs: getF32(words, at + O.e2eMs),
		predictedTtftMs: getF32(words, at + O.predictedTtftMs),
		wastedTokens: words[at + O.wastedTokens] as number,
		hedge,
		leg,
		fallbackDecided: (flags & OutcomeFlag.fallback) !== 0,
		retried: (flags & OutcomeFlag.retried) !== 0,
		lost: (flags & OutcomeFlag.lost) !== 0,
		unreachable: (flags & OutcomeFlag.unreachable) !== 0,
		wallMs: getF64(words, at + O.wallMs),
	};
}

/** One ranked row, and the probability it had of being chosen under the policy that was logged. */
export interface RecordedCandidate {
	readonly row: number;
	/** Lower is better. */
	readonly score: number;
	readonly factors: Float32Array;
	/** 0..1; the candidates' sum to 1. Rows that were not ranked had none. */
	readonly propensity: number;
}

/**
 * The candidates of a decision, best first. Probabilities are those of the draw that was made (softmax of −score/temperature, even among the rows near
 * the best, or a share of decisions even among all), the best's alone where nothing was drawn.
 */
export function candidatesOf(decision: RecordedDecision): RecordedCandidate[] {
	const { rows, scores, factors } = decision;
	const weights = weightsOf(decision);
	const total = weights.reduce((sum, weight) => sum + weight, 0);
	return Array.from(rows, (row, i) => ({
		row,
		score: scores[i] as number,
		factors: factors[i] as Float32Array,
		propensity: total > 0 ? (weights[i] as number) / total : 0,
	}));
}

function drawnBy(flags: number): DrawMade['mode'] {
	if ((flags & Flag.explored) !== 0) return 'softmax';
	if ((flags & Flag.spread) !== 0) return 'spread';
	return (flags & Flag.even) !== 0 ? 'even' : 'best';
}

function weightsOf({ drawn, scores, temperature, propensity, drawRatio }: RecordedDecision): number[] {
	if (drawn === 'even') return Array.from(scores, (_, i) => drawRatio / scores.length + (i === 0 ? 1 - drawRatio : 0));
	if (drawn === 'softmax') {
		const best = Math.min(...scores);
		return Array.from(scores, (score) => Math.exp((best - score) / temperature));
	}
	const near = drawn === 'spread' ? Math.round(1 / propensity) : 1;
	return Array.from(scores, (_, i) => (i < near ? 1 : 0));
}

/** What estimators and reports read of a request block. */
export interface RecordedRequest {
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly tokensOutMax: number;
	readonly tenant: number;
	readonly attempt: number;
	readonly eligible: number;
	/** 64-bit hash, or 0n: none, or dropped. Salted unless the recording kept hashes. */
	readonly session: bigint;
	readonly promptHash: bigint;
	/** Microseconds since the Unix epoch. */
	readonly nowUs: number;
}

export function requestOf({ request }: RecordedDecision): RecordedRequest {
	const word = (at: number): number => request[at] as number;
	const wide = (at: number): bigint => (BigInt(word(at + 1)) << 32n) | BigInt(word(at));
	return {
		tokensIn: word(REQUEST_TOKENS_IN_WORD),
		tokensOut: word(REQUEST_TOKENS_OUT_WORD),
		tokensOutMax: word(REQUEST_TOKENS_OUT_MAX_WORD),
		tenant: word(REQUEST_TENANT_WORD),
		attempt: word(REQUEST_ATTEMPT_WORD),
		eligible: word(REQUEST_ELIGIBLE_COUNT_WORD),
		session: wide(REQUEST_SESSION_WORD),
		promptHash: wide(REQUEST_PROMPT_HASH_WORD),
		nowUs: word(REQUEST_NOW_US_WORD) + word(REQUEST_NOW_US_WORD + 1) * 0x1_0000_0000,
	};
}
