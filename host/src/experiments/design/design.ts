// Owns the design of an experiment: everything that decides what will be concluded, fixed and digested before the first request counts. Leaves the strategies'
// loading, the moving of traffic and the keeping of records to the experiment's controller.
import { createHash } from 'node:crypto';
import { canonicalJson } from '../../signed/canonical-json.js';
import { type SplitKey, splitKeys } from '../../strategy/runtime/plan.js';
import { BLOCKS_MAX } from '../cohorts/cohort.js';
import type { Objectives } from '../cohorts/judge.js';
import { designError } from './errors.js';
import { type GuardrailOptions, guardrailDefaults } from './guardrail-rules.js';
import { type PromotionRule, promotionRules } from './promotion.js';

/**
 * `canary`: a few per cent of requests, safety only. `request-ab`: a split by session or tenant; its latencies are biased, because both arms share queues.
 * `switchback`: the whole fleet alternates by block. `matched-cells`: cells in pairs, each a switchback, the two of a pair always on different arms.
 */
export const experimentKinds = ['canary', 'request-ab', 'switchback', 'matched-cells'] as const;
export type ExperimentKind = (typeof experimentKinds)[number];

/** Plain data: stands in the experiment's record and in its report. */
export interface ExperimentDesign {
	readonly version: 1;
	readonly kind: ExperimentKind;
	/** Labels of strategies, `name@version`. */
	readonly baseline: string;
	readonly candidate: string;
	/** Draws orders, splits and resamples: unsigned 32-bit. */
	readonly seed: number;
	/** What makes a request good. The primary outcome of a block is the share of its requests that were. */
	readonly objectives: Objectives;
	/** Probability of a wrong win or loss, over the whole experiment: of the confidence sequence, or of the canary's e-process. */
	readonly alpha: number;
	/** Smallest difference in attainment that matters, 0..1: a win is above it, equivalence within it. */
	readonly margin: number;
	/** Differences of a pair are clipped to ±clip before they count. */
	readonly clip: number;
	/** Of the bets of the confidence sequence. */
	readonly truncation: number;
	/** Of blocks: their length, and how much of their beginning is thrown away. */
	readonly blockMs: number;
	readonly burnInMs: number;
	/** Time after a block's end in which its requests may still end; those that have not are not good. */
	readonly settleMs: number;
	/** Pairs of blocks after which the experiment ends without a verdict. */
	readonly pairsMax: number;
	/** A block with fewer requests to judge is incomplete. */
	readonly blockRequestsMin: number;
	/** Of canary and request-ab: share of the candidate, 0..1. */
	readonly share: number;
	/** What is drawn to one side or the other: each request by itself, or all of a session or tenant. */
	readonly splitBy: SplitKey;
	/**
	 * Of canary and request-ab: what is one draw for the evidence of harm. `request`: each request (`RateProcess`). `block`: all of a block, in which groups are
	 * drawn anew (`ShareProcess`), since requests of one session fail together. Absent in designs of before: `request`.
	 */
	readonly unit?: 'request' | 'block';
	/** Of canary and request-ab: candidate requests, and time, after which no harm seen ends it. */
	readonly requestsMin: number;
	readonly durationMsMin: number;
	/** Of matched-cells: names of cells, alike in pairs. */
	readonly cellPairs: readonly (readonly [string, string])[];
	/** Of matched-cells: the cell whose blocks are gathered here; absent where all are judged together. A cell by itself comes to no verdict. */
	readonly cell?: string;
	readonly guardrails: GuardrailOptions;
	readonly promote: PromotionRule;
}

/** What an experimenter says; the rest follows from rules. */
export type DesignRequest = Pick<ExperimentDesign, 'kind' | 'baseline' | 'candidate' | 'seed' | 'objectives'> &
	Partial<Omit<ExperimentDesign, 'version' | 'guardrails'>> & { readonly guardrails?: Partial<GuardrailOptions> };

/** What the traffic has been like; the lengths of blocks follow from it. */
export interface SeenTraffic {
	readonly e2eP50Ms: number;
	readonly e2eP95Ms: number;
	/** Time in which the prefix caches are written over once; 0 = not known. */
	readonly cacheTurnoverMs: number;
}

export interface MadeDesign {
	readonly design: ExperimentDesign;
	/** What a reader must know, such as blocks shorter than the rule. */
	readonly notes: readonly string[];
}

/** A block is at least this long, whatever the traffic (evaluation of block lengths: shorter ones take carry-over for effect). */
export const BLOCK_MS_LEAST = 180_000;
/** A block is at least so many median requests long. */
export const BLOCK_REQUEST_LENGTHS = 10;

/** Pairs of blocks of matched cells: what a cell has closed must all be there still when it is judged with the others (POINTS_MAX of its record). */
export const MATCHED_PAIRS_MAX = 500;
/** Pairs of cells that are compared at once. */
export const CELL_PAIRS_MAX = 8;

/** Of a split by session or tenant: how long a group keeps its side. Queues and caches are shared by both sides, so no length is too short for the evidence. */
export const SPLIT_BLOCK_MS = 60_000;

export const designDefaults = {
	alpha: 0.05,
	canaryAlpha: 0.001,
	margin: 0.005,
	clip: 0.25,
	truncation: 0.75,
	pairsMax: 480,
	blockRequestsMin: 30,
	canaryShare: 0.05,
	splitShare: 0.5,
	requestsMin: 1000,
	durationMsMin: 600_000,
} as const;

/** The rule's lengths for such traffic, in milliseconds: block ≥ max(180 s, 10 × p50, cache turnover), burn-in ≥ p95. */
export function blockRule(seen: SeenTraffic): { readonly blockMs: number; readonly burnInMs: number } {
	const burnInMs = Math.ceil(seen.e2eP95Ms);
	const blockMs = Math.ceil(Math.max(BLOCK_MS_LEAST, BLOCK_REQUEST_LENGTHS * seen.e2eP50Ms, seen.cacheTurnoverMs));
	// What is measured must be the larger part of a block.
	return { blockMs: Math.max(blockMs, 2 * burnInMs), burnInMs };
}

/** Fills in and checks. Throws `IM_EXPERIMENT_DESIGN`, which names the value. */
export function makeDesign(request: DesignRequest, seen: SeenTraffic): MadeDesign {
	for (const [name, value] of Object.entries(seen))
		if (!(Number.isFinite(value) && value >= 0)) throw designError(name, `a time is a number from 0, not ${value}`);
	const rule = blockRule(seen);
	const isCanary = request.kind === 'canary';
	const isSplit = isCanary || request.kind === 'request-ab';
	const splitBy = request.splitBy ?? (isCanary ? 'request' : 'session');
	const isGrouped = isSplit && splitBy !== 'request';
	// Both sides are there all the time: nothing of a block before is held against one of them.
	const burnInMs = request.burnInMs ?? (isGrouped ? 0 : rule.burnInMs);
	const design: ExperimentDesign = {
		alpha: isCanary ? designDefaults.canaryAlpha : designDefaults.alpha,
		margin: designDefaults.margin,
		clip: designDefaults.clip,
		truncation: designDefaults.truncation,
		blockMs: isGrouped ? SPLIT_BLOCK_MS : Math.max(rule.blockMs, 2 * burnInMs),
		settleMs: Math.max(60_000, 2 * Math.ceil(seen.e2eP95Ms)),
		pairsMax: designDefaults.pairsMax,
		blockRequestsMin: designDefaults.blockRequestsMin,
		share: isCanary ? designDefaults.canaryShare : designDefaults.splitShare,
		splitBy,
		requestsMin: designDefaults.requestsMin,
		durationMsMin: designDefaults.durationMsMin,
		cellPairs: [],
		promote: 'win',
		...request,
		...(isSplit ? { unit: isGrouped ? ('block' as const) : ('request' as const) } : {}),
		burnInMs,
		version: 1,
		guardrails: { ...guardrailDefaults, ...request.guardrails },
	};
	checkDesign(design);
	return { design, notes: notesOf(design, rule) };
}

/** SHA-256 of the design, in hexadecimal: what was registered before the first request. */
export function designDigest(design: ExperimentDesign): string {
	return createHash('sha256').update(canonicalJson(design)).digest('hex');
}

/** Throws `IM_EXPERIMENT_DESIGN` for the first value that cannot be. */
export function checkDesign(design: ExperimentDesign): void {
	if (!experimentKinds.includes(design.kind)) throw designError('kind', `one of ${experimentKinds.join(', ')}`);
	if (!promotionRules.includes(design.promote)) throw designError('promote', `one of ${promotionRules.join(', ')}`);
	if (!splitKeys.includes(design.splitBy)) throw designError('splitBy', `one of ${splitKeys.join(', ')}`);
	if (design.baseline === design.candidate) throw designError('candidate', 'it is the baseline itself');
	if (!Number.isInteger(design.seed) || design.seed < 0 || design.seed >= 2 ** 32)
		throw designError('seed', `a whole number from 0 to ${2 ** 32 - 1}`);
	for (const name of ['alpha', 'truncation', 'share'] as const)
		if (!(design[name] > 0 && design[name] < 1)) throw designError(name, `between 0 and 1, not ${design[name]}`);
	if (!(design.clip > 0 && design.clip <= 1)) throw designError('clip', `above 0 and at most 1, not ${design.clip}`);
	if (!(design.margin >= 0 && design.margin < design.clip))
		throw designError('margin', `from 0 and below the clip range ${design.clip}, not ${design.margin}`);
	checkTimes(design);
	checkCells(design);
	for (const [name, value] of Object.entries(design.guardrails))
		if (!(Number.isFinite(value) && value > 0)) throw designError(`guardrails.${name}`, `above 0, not ${value}`);
}

function checkTimes(design: ExperimentDesign): void {
	for (const name of ['ttftMs', 'tpotMs'] as const)
		if (!(design.objectives[name] > 0)) throw designError(`objectives.${name}`, 'above 0');
	if (!(design.objectives.ttftPerTokenMs >= 0)) throw designError('objectives.ttftPerTokenMs', 'a number from 0');
	if (!(design.blockMs > 0 && Number.isFinite(design.blockMs))) throw designError('blockMs', 'above 0');
	if (!(design.burnInMs >= 0 && design.burnInMs < design.blockMs))
		throw designError('burnInMs', `from 0 and shorter than the block of ${design.blockMs} ms, not ${design.burnInMs}`);
	for (const name of ['settleMs', 'durationMsMin'] as const)
		if (!(design[name] >= 0 && Number.isFinite(design[name]))) throw designError(name, 'a number from 0');
	for (const name of ['pairsMax', 'blockRequestsMin', 'requestsMin'] as const)
		if (!Number.isInteger(design[name]) || design[name] < 1) throw designError(name, 'a whole number from 1');
	if (design.pairsMax * 2 > BLOCKS_MAX) throw designError('pairsMax', `at most ${BLOCKS_MAX / 2}`);
}

function checkCells({ kind, cellPairs, cell, pairsMax }: ExperimentDesign): void {
	if ((kind === 'matched-cells') !== cellPairs.length > 0)
		throw designError('cellPairs', kind === 'matched-cells' ? 'at least one pair of cells' : 'only for matched-cells');
	const names = cellPairs.flat();
	if (new Set(names).size !== names.length) throw designError('cellPairs', 'a cell is named twice');
	if (cellPairs.length > CELL_PAIRS_MAX) throw designError('cellPairs', `at most ${CELL_PAIRS_MAX} pairs`);
	if (cell !== undefined && !names.includes(cell)) throw designError('cell', `one of ${names.join(', ')}, not ${cell}`);
	if (kind === 'matched-cells' && pairsMax > MATCHED_PAIRS_MAX)
		throw designError('pairsMax', `at most ${MATCHED_PAIRS_MAX} for matched-cells`);
}

function notesOf(design: ExperimentDesign, rule: ReturnType<typeof blockRule>): string[] {
	if (design.kind === 'canary') {
		const harmOnly =
			'A canary tells of harm only: it cannot show that the candidate is better, nor what it does to the whole fleet.';
		return [harmOnly, ...clusterNotes(design)];
	}
	if (design.kind === 'request-ab') {
		const biased =
			'Both arms share queues and caches, so differences in latency are biased in size and perhaps in sign; only what happens inside a request (errors, traps, decision cost) is comparable.';
		return [biased, ...clusterNotes(design)];
	}
	const notes: string[] = [];
	if (design.cell !== undefined) notes.push(cellNote(design.cell));
	if (design.blockMs < rule.blockMs)
		notes.push(
			`Blocks of ${seconds(design.blockMs)} are shorter than the rule’s ${seconds(rule.blockMs)}: queues and caches carry over, and effects look smaller than they are.`,
		);
	if (design.burnInMs < rule.burnInMs)
		notes.push(
			`A burn-in of ${seconds(design.burnInMs)} is shorter than the rule’s ${seconds(rule.burnInMs)}: requests of the block before are still under way.`,
		);
	return notes;
}

/** What a report of one cell of matched cells is not. */
export function cellNote(cell: string): string {
	return `This is cell ${cell} by itself: there is no verdict here. All cells are judged together by \`infermesh experiment matched report\`.`;
}

/** What a split by groups of requests does to the evidence of harm. */
function clusterNotes({ splitBy, blockMs, share }: ExperimentDesign): string[] {
	if (splitBy === 'request') return [];
	return [
		`The split goes by ${splitBy}: a ${splitBy} keeps its side for a block of ${seconds(blockMs)} and is drawn anew in the next. The evidence of harm is the candidate’s part of all bad outcomes of a block against its share of ${Number((share * 100).toFixed(2))} %, so that requests that fail together count as one draw; it needs more time than a split by request.`,
	];
}

function seconds(ms: number): string {
	return `${Math.round(ms / 100) / 10} s`;
}
