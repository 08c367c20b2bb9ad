// Owns the report of an experiment as a value: what was registered, what was seen, what follows, each figure with its guarantee. Pure; printing is others'.
import { SeededRandom } from '@infermesh/proto';
import { bootstrapInterval } from '../../statistics/bootstrap.js';
import type { Interval } from '../../statistics/interval.js';
import { mean } from '../../statistics/moments.js';
import { type SignFlipResult, signFlipTest } from '../../statistics/sign-flip.js';
import type { ArmName } from '../cohorts/cohort.js';
import { designDigest, type ExperimentDesign } from './design.js';
import { type GuaranteeName, guarantees } from './guarantees.js';
import { falseRollbackGuards, type GuardrailRule, type Trip } from './guardrail-rules.js';
import { type NextStep, nextStep, type TrialVerdict } from './promotion.js';
import { isClustered, type SafetyTrial } from './safety-trial.js';
import type { Dropped, PairResult, SwitchbackTrial } from './switchback-trial.js';

/** Streams of the design's seed. */
const BOOTSTRAP_STREAM = 1;
const PERMUTATION_STREAM = 2;
const PERMUTATION_DRAWS = 9999;

/** What is counted of an arm besides outcomes. */
export interface ArmFigures {
	readonly requests: number;
	readonly decisions: number;
	readonly decisionTimeouts: number;
	readonly traps: number;
	readonly decisionP50Us: number;
	readonly decisionP99Us: number;
	readonly hedged: number;
	readonly hedgesWon: number;
	readonly tokensWasted: number;
	readonly tokensComputed: number;
	/** Milliseconds a decision, under the common predictor; undefined where nobody computes it. */
	readonly regretMs?: number;
}

/** A figure and what it promises. */
export interface Figure<T> {
	readonly value: T;
	readonly guarantee: (typeof guarantees)[GuaranteeName];
}

export interface SwitchbackFigures {
	/** Candidate − baseline, 0..1 points of attainment. */
	readonly attainmentDifference: Figure<{
		readonly mean: number;
		readonly interval: Interval;
		readonly clipped: number;
	}>;
	readonly winRate: Figure<{
		readonly value: number;
		readonly interval: Interval;
		readonly wins: number;
		readonly ties: number;
		readonly losses: number;
	}>;
	readonly permutation: Figure<SignFlipResult>;
	/** Candidate over baseline; absent when no pair has it. */
	readonly ttftP99Ratio?: Figure<{ readonly value: number; readonly interval: Interval; readonly pairs: number }>;
	readonly pairs: readonly PairResult[];
	readonly pairsSeen: number;
	readonly dropped: Dropped;
	readonly burnInRequests: number;
}

export interface SafetyFigures {
	readonly harm: Figure<{ readonly evidence: number; readonly anytimeP: number }>;
	/** Bad outcomes and requests by arm: counts, not an estimate of an effect. */
	readonly counts: SafetyTrial['totals'];
}

export interface ExperimentReport {
	readonly design: ExperimentDesign;
	readonly designDigest: string;
	readonly notes: readonly string[];
	readonly verdict: TrialVerdict;
	readonly next: NextStep;
	readonly switchback?: SwitchbackFigures;
	readonly safety?: SafetyFigures;
	readonly decisionLatencyUs: Figure<Record<ArmName, { readonly p50: number; readonly p99: number }>>;
	readonly decisionTimeouts: Figure<Record<ArmName, { readonly count: number; readonly share: number }>>;
	/** Share of all tokens computed, 0..1; and of requests that were hedged. */
	readonly hedgeWaste: Figure<
		Record<ArmName, { readonly share: number; readonly hedged: number; readonly won: number }>
	>;
	readonly regretMs?: Figure<Record<ArmName, number>>;
	readonly guardrails: Figure<{ readonly trip?: Trip; readonly muted: readonly GuardrailRule[] }> & {
		readonly guards: typeof falseRollbackGuards;
	};
}

export interface ReportInput {
	readonly design: ExperimentDesign;
	readonly notes: readonly string[];
	readonly trial: SwitchbackTrial | SafetyTrial;
	readonly arms: Readonly<Record<ArmName, ArmFigures>>;
	readonly trip: Trip | undefined;
	readonly muted: readonly GuardrailRule[];
}

export function reportOf({ design, notes, trial, arms, trip, muted }: ReportInput): ExperimentReport {
	const both = <T>(of: (figures: ArmFigures) => T): Record<ArmName, T> => ({
		baseline: of(arms.baseline),
		candidate: of(arms.candidate),
	});
	const regrets = both((one) => one.regretMs);
	return {
		design,
		designDigest: designDigest(design),
		notes,
		verdict: trial.verdict,
		next: nextStep(design.promote, trial.verdict, trip),
		...('interval' in trial ? { switchback: switchbackFigures(trial) } : { safety: safetyFigures(trial) }),
		decisionLatencyUs: figure(
			'decisionLatency',
			both(({ decisionP50Us, decisionP99Us }) => ({ p50: decisionP50Us, p99: decisionP99Us })),
		),
		decisionTimeouts: figure(
			'decisionTimeouts',
			both((one) => ({ count: one.decisionTimeouts, share: share(one.decisionTimeouts, one.decisions) })),
		),
		hedgeWaste: figure(
			'hedgeWaste',
			both((one) => ({
				share: share(one.tokensWasted, one.tokensComputed),
				hedged: share(one.hedged, one.requests),
				won: share(one.hedgesWon, one.hedged),
			})),
		),
		...(regrets.baseline === undefined || regrets.candidate === undefined
			? {}
			: { regretMs: figure('regret', { baseline: regrets.baseline, candidate: regrets.candidate }) }),
		guardrails: {
			...figure('guardrails', { ...(trip === undefined ? {} : { trip }), muted }),
			guards: falseRollbackGuards,
		},
	};
}

export function switchbackFigures(trial: SwitchbackTrial): SwitchbackFigures {
	const { design, pairs } = trial;
	const differences = pairs.map((pair) => pair.difference);
	const wins = differences.filter((one) => one > design.margin).length;
	const losses = differences.filter((one) => one < -design.margin).length;
	const permutation = signFlipTest(differences, {
		alternative: 'two-sided',
		draws: PERMUTATION_DRAWS,
		random: new SeededRandom(design.seed, PERMUTATION_STREAM),
	});
	const ratios = pairs.flatMap(({ logTtftP99Ratio }) => (logTtftP99Ratio === undefined ? [] : [logTtftP99Ratio]));
	return {
		attainmentDifference: figure(isJoint(design) ? 'matchedCells' : 'attainment', {
			mean: trial.difference,
			interval: trial.interval,
			clipped: trial.clipped,
		}),
		winRate: figure('winRate', { ...trial.winRate, wins, ties: pairs.length - wins - losses, losses }),
		permutation: figure('permutation', permutation),
		...(ratios.length === 0 ? {} : { ttftP99Ratio: figure('ttftP99', ttftRatio(design, ratios)) }),
		pairs,
		pairsSeen: trial.pairsSeen,
		dropped: trial.dropped,
		burnInRequests: trial.burnIn,
	};
}

/** Cells judged together: one by itself is a switchback. */
function isJoint({ cellPairs, cell }: ExperimentDesign): boolean {
	return cellPairs.length > 0 && cell === undefined;
}

/** Geometric mean of the pairs' ratios. */
function ttftRatio(design: ExperimentDesign, logs: readonly number[]) {
	const interval = bootstrapInterval(logs, mean, { random: new SeededRandom(design.seed, BOOTSTRAP_STREAM) });
	return {
		value: Math.exp(mean(logs)),
		interval: { lower: Math.exp(interval.lower), upper: Math.exp(interval.upper) },
		pairs: logs.length,
	};
}

function safetyFigures(trial: SafetyTrial): SafetyFigures {
	const name = isClustered(trial.design) ? 'harmByBlock' : 'harm';
	return { harm: figure(name, { evidence: trial.evidence, anytimeP: trial.anytimeP }), counts: trial.totals };
}

function figure<T>(name: GuaranteeName, value: T): Figure<T> {
	return { value, guarantee: guarantees[name] };
}

function share(part: number, whole: number): number {
	return whole === 0 ? 0 : part / whole;
}
