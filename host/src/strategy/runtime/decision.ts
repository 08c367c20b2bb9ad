// Owns the shapes that pass between the router and the strategy host: what a request looks like to a strategy, and what
// was decided. Both are plain records; the decider fills a `Decision` it is given, so nothing is allocated per decision.
import { RANKED_ROWS_MAX } from '@infermesh/sdk';
import type { DecisionContext } from '../../router/ports.js';
import type { StrategyInstance } from './instance.js';
import type { PoolRuntime } from './pool-runtime.js';

/** Strategy label of a request whose target was named: by a trusted caller, or by what it asks for. */
export const FORCED = 'forced@host';

/** A request as a strategy sees it. Ids are interned (see `Interner`); hashes are split in two 32-bit words. */
export interface RequestFeatures {
	/** Microseconds since the Unix epoch; below 2^53. */
	nowUs: number;
	/** Mesh clock, ms modulo 2^32. */
	nowMs: number;
	seedLow: number;
	seedHigh: number;
	sessionLow: number;
	sessionHigh: number;
	promptHashLow: number;
	promptHashHigh: number;
	model: number;
	lora: number;
	tokensIn: number;
	tokensOut: number;
	tokensOutMax: number;
	priority: number;
	tenant: number;
	policyMask: number;
	sloTtftMs: number;
	sloTpotMs: number;
	deadlineMs: number;
	waitedMs: number;
	attempt: number;
	flags: number;
	phase: number;
	heldCount: number;
	/** Pool row chosen for prefill when the phase is decode, or -1. */
	prefillRow: number;
	/** Least grade of the strategy that may decide (`rankOf`); the host's, and no part of the frame. */
	leastGrade: number;
}

/** All zero: no session, no model, no tokens. */
export function emptyFeatures(): RequestFeatures {
	return {
		nowUs: 0,
		nowMs: 0,
		seedLow: 0,
		seedHigh: 0,
		sessionLow: 0,
		sessionHigh: 0,
		promptHashLow: 0,
		promptHashHigh: 0,
		model: 0,
		lora: 0,
		tokensIn: 0,
		tokensOut: 0,
		tokensOutMax: 0,
		priority: 0,
		tenant: 0,
		policyMask: 0,
		sloTtftMs: 0,
		sloTpotMs: 0,
		deadlineMs: 0,
		waitedMs: 0,
		attempt: 0,
		flags: 0,
		phase: 0,
		heldCount: 0,
		prefillRow: -1,
		leastGrade: 0,
	};
}

/** Rows of the pool that already hold a prefix of the prompt, or the request's LoRA adapter (and then maybe no token); parallel arrays, `count` valid entries, ordered by row. */
export interface PrefixHits {
	count: number;
	readonly rows: Uint32Array;
	readonly tokens: Uint32Array;
	readonly tiers: Uint8Array;
	/** HitFlag bits. */
	readonly flags: Uint8Array;
}

/** Why the fallback answered instead of the strategy. Index = the number kept in counters. */
export const fallbackCauses = [
	'none',
	'no_strategy',
	'trap',
	'fuel',
	'stack',
	'invalid_row',
	'ineligible_row',
	'invalid_score',
	'invalid_count',
	'invalid_verdict',
	'invalid_status',
	'declined',
	'quarantined',
	'quarantined_input',
	'no_instance',
	'host_error',
	'all_unhealthy',
	'deadline',
	'corrupt',
	'untrusted',
] as const;
export type FallbackCause = (typeof fallbackCauses)[number];

/** Causes that count as a strike against the strategy (never wall clock: a `deadline` is of CPU time, or of waiting for nothing). */
export const strikeCauses: ReadonlySet<FallbackCause> = new Set([
	'trap',
	'fuel',
	'stack',
	'invalid_row',
	'ineligible_row',
	'invalid_score',
	'invalid_count',
	'invalid_verdict',
	'invalid_status',
	'deadline',
	'corrupt',
]);

export const verdicts = ['route', 'reject', 'hold'] as const;
export type VerdictName = (typeof verdicts)[number];

/** A validated answer. Valid until the next call of the decider that filled it. */
export class Decision {
	verdict: VerdictName = 'route';
	/** Ranked pool rows in use: `rows[0 … count)`. 0 when nothing is eligible. */
	count = 0;
	readonly rows = new Uint32Array(RANKED_ROWS_MAX);
	readonly scores = new Float32Array(RANKED_ROWS_MAX);
	/** Index into `rows` of the row to use: 0 unless the host explored. */
	chosen = 0;
	/** Probability with which `chosen` was drawn; 1 without exploration. */
	propensity = 1;
	rejectReason = 0;
	retryAfterMs = 0;
	holdKey = 0;
	/** Pool row, or -1. */
	prefillRow = -1;
	/** Pool row, or -1. */
	fetchFromRow = -1;
	hedgeDelayMs = 0;
	hedgeCopies = 0;
	predictedTtftMs = 0;
	/** Exploration the strategy asked for; `chosen` and `propensity` are the host's answer to it. */
	temperature = 0;
	/** `name@version` of what decided, the fallback's own name included. */
	strategy = '';
	cause: FallbackCause = 'none';
	/** Fuel the strategy used; 0 for the fallback. */
	fuel = 0;
	/** Wall time of the decision, all in. For metrics only, never for blame. */
	durationNs = 0;
	/** Under which the request counts, of an experiment; 0 = of none. See `experiments/cohorts/cohort.ts`. */
	cohort = 0;
}

/** What the worker tells others about decisions. Counters only: nothing here may allocate per decision. */
export interface DecisionMetrics {
	decided(versionId: number, cause: FallbackCause, durationNs: number, fuel: number): void;
	shadowed(versionId: number, agreed: boolean, cause: FallbackCause, durationNs: number, fuel: number): void;
	/** A shadow was not run on a live decision: its share of the core was used up, or one of its decisions still waited. */
	shadowSkipped(versionId: number, why: 'cap' | 'busy'): void;
	witnessed(versionId: number, agreed: boolean): void;
}

/** How the host chose among the ranked rows. One record, reused. */
export interface DrawMade {
	mode: 'best' | 'softmax' | 'spread' | 'even';
	/** Uniform in [0, 1); 0 where nothing was drawn. */
	value: number;
	/** Of `spread`: what counts as near the best; of `even`: share of decisions that are drawn. */
	ratio: number;
}

/** Who keeps decisions for replay. Called in the tick of the decision, before anything else runs on the pool's view. */
export interface DecisionRecorder {
	/** `instance`: what was asked, also when it failed (`out.cause`) and the fallback's answer stands in `out`; undefined when nothing was. */
	decided(
		runtime: PoolRuntime,
		versionId: number,
		instance: StrategyInstance | undefined,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		ticket: number,
		out: Decision,
		draw: DrawMade,
	): void;
	/** The decision last told led to a target, under this id; `out.chosen` may have changed for want of room. */
	remembered(decisionId: string, context: DecisionContext, out: Decision): void;
}

export interface StrikeReport {
	readonly versionId: number;
	readonly label: string;
	readonly cause: FallbackCause;
	readonly model: string;
	/** The engine's trap message and stack, for a source line; empty for invalid answers. */
	readonly trap: string;
	readonly fuel: number;
}
