// Owns what recorded decisions, drawn with known probabilities, say about a strategy that was not in charge: importance-weighted estimates, and the refusal to
// give any where the recording does not support them. Leaves reading recordings and re-running strategies to the callers.
import type { Random } from '@infermesh/proto';
import { type BootstrapOptions, bootstrapInterval } from './bootstrap.js';
import type { Interval } from './interval.js';

/** One recorded decision beside what the other strategy would have done. Order = order of time. */
export interface LoggedDecision {
	/** Probability with which the recorded target was drawn, in (0, 1]. */
	readonly propensity: number;
	/** Probability with which the other strategy would draw the recorded target, 0..1. */
	readonly targetProbability: number;
	/** What came of it: SLO met (0 or 1), or a time. */
	readonly outcome: number;
	/** Probability, by the other strategy, of choices that the recorded one could not have drawn; absent = 0. */
	readonly unsupported?: number;
	/** Of an outcome model, for the doubly robust estimate: for the recorded target, and the mean over the other strategy's choices. */
	readonly predicted?: { readonly chosen: number; readonly target: number };
}

/** The sentence that goes with every estimate. */
export const ONE_STEP_LABEL =
	'one-step deviation: what would change if a single decision were the other strategy’s while all others, and so the queues and caches, stayed as they were; not what its full deployment would bring';

export const offPolicyRules = {
	essMin: 200,
	essShareMin: 0.01,
	weightMax: 50,
	unsupportedMax: 0.05,
	resamples: 1000,
} as const;

export interface Support {
	readonly decisions: number;
	/** (Σw)² / Σw²; 0 when no decision has weight. */
	readonly effectiveSampleSize: number;
	readonly weightMax: number;
	/** Mean weight: near 1 when every choice of the other strategy could have been recorded; below, it chooses what was never tried. */
	readonly weightMean: number;
	/** Share of decisions on which the other strategy could have chosen the recorded target. */
	readonly overlap: number;
	/** Share of the other strategy's choices that could not have been recorded: about them the recording knows nothing. */
	readonly unsupported: number;
}

export interface Estimate {
	readonly value: number;
	readonly interval: Interval;
}

export type OffPolicyResult =
	| {
			readonly kind: 'estimates';
			readonly label: typeof ONE_STEP_LABEL;
			readonly support: Support;
			/** Mean of the recorded outcomes: what the strategy in charge got. */
			readonly recorded: Estimate;
			readonly ips: Estimate;
			readonly snips: Estimate;
			/** Absent unless every decision has predictions. */
			readonly doublyRobust?: Estimate;
			readonly level: number;
	  }
	| {
			readonly kind: 'refused';
			readonly label: typeof ONE_STEP_LABEL;
			readonly support: Support;
			/** One sentence each. */
			readonly reasons: readonly string[];
	  };

export interface OffPolicyOptions {
	readonly random: Random;
	readonly level?: number;
}

/**
 * With w = targetProbability / propensity and r the outcome: IPS = mean(w r); SNIPS = Σ w r / Σ w; doubly robust = mean(q(x, π) + w (r − q(x, a))) (Dudík, Langford
 * and Li, 2011). Refused when ESS < max(200, 1 % of n), when a weight is above 50, or when more than 5 % of the other strategy's choices could not have
 * been recorded (without exploration, only decisions on which both agree have weight: many of them are no support). Intervals are percentile bootstraps over blocks of ⌈√n⌉ consecutive
 * decisions, because neighbours share queues: approximate, and for one look. Throws a RangeError for a probability out of its range or an outcome that is no number.
 */
export function estimateOffPolicy(decisions: readonly LoggedDecision[], options: OffPolicyOptions): OffPolicyResult {
	decisions.forEach(checkDecision);
	const support = supportOf(decisions);
	const reasons = refusals(support);
	if (reasons.length > 0) return { kind: 'refused', label: ONE_STEP_LABEL, support, reasons };
	const level = options.level ?? 0.95;
	const blocks = sumBlocks(decisions);
	const bootstrap: BootstrapOptions = { random: options.random, resamples: offPolicyRules.resamples, level };
	const estimate = (statistic: (sums: readonly Sums[]) => number): Estimate => ({
		value: statistic(blocks),
		interval: bootstrapInterval(blocks, statistic, bootstrap),
	});
	const robust = decisions.every((one) => one.predicted !== undefined)
		? { doublyRobust: estimate((sums) => ratio(sums, 'robust', 'decisions')) }
		: {};
	return {
		kind: 'estimates',
		label: ONE_STEP_LABEL,
		support,
		recorded: estimate((sums) => ratio(sums, 'outcome', 'decisions')),
		ips: estimate((sums) => ratio(sums, 'weighted', 'decisions')),
		snips: estimate((sums) => ratio(sums, 'weighted', 'weight')),
		...robust,
		level,
	};
}

/** How much of the other strategy's behaviour the recording holds. */
export function supportOf(decisions: readonly LoggedDecision[]): Support {
	let sum = 0;
	let squares = 0;
	let most = 0;
	let overlapping = 0;
	let unsupported = 0;
	for (const decision of decisions) {
		const weight = decision.targetProbability / decision.propensity;
		sum += weight;
		squares += weight * weight;
		most = Math.max(most, weight);
		if (weight > 0) overlapping++;
		unsupported += decision.unsupported ?? 0;
	}
	const n = decisions.length;
	return {
		decisions: n,
		effectiveSampleSize: squares === 0 ? 0 : (sum * sum) / squares,
		weightMax: most,
		weightMean: n === 0 ? 0 : sum / n,
		overlap: n === 0 ? 0 : overlapping / n,
		unsupported: n === 0 ? 0 : unsupported / n,
	};
}

function refusals(support: Support): string[] {
	const { essMin, essShareMin, weightMax, unsupportedMax } = offPolicyRules;
	const needed = Math.max(essMin, essShareMin * support.decisions);
	const reasons: string[] = [];
	if (support.effectiveSampleSize < needed)
		reasons.push(
			`the effective sample size is ${support.effectiveSampleSize.toFixed(1)}, below ${needed.toFixed(1)} (the larger of ${essMin} and ${essShareMin * 100} % of ${support.decisions} decisions)`,
		);
	if (support.weightMax > weightMax)
		reasons.push(`one decision has weight ${support.weightMax.toFixed(1)}, above ${weightMax}`);
	if (support.unsupported > unsupportedMax)
		reasons.push(
			`${(support.unsupported * 100).toFixed(1)} % of the other strategy’s choices could not have been recorded, above ${unsupportedMax * 100} %: record with exploration`,
		);
	return reasons;
}

/** Of a block of consecutive decisions. */
interface Sums {
	decisions: number;
	outcome: number;
	weight: number;
	weighted: number;
	robust: number;
}

function sumBlocks(decisions: readonly LoggedDecision[]): Sums[] {
	const length = Math.ceil(Math.sqrt(decisions.length));
	const blocks: Sums[] = [];
	decisions.forEach((decision, index) => {
		if (index % length === 0) blocks.push({ decisions: 0, outcome: 0, weight: 0, weighted: 0, robust: 0 });
		addTo(blocks.at(-1), decision);
	});
	return blocks;
}

function addTo(sums: Sums, { propensity, targetProbability, outcome, predicted }: LoggedDecision): void {
	const weight = targetProbability / propensity;
	sums.decisions++;
	sums.outcome += outcome;
	sums.weight += weight;
	sums.weighted += weight * outcome;
	if (predicted !== undefined) sums.robust += predicted.target + weight * (outcome - predicted.chosen);
}

function ratio(sums: readonly Sums[], above: keyof Sums, below: keyof Sums): number {
	let upper = 0;
	let lower = 0;
	for (const one of sums) {
		upper += one[above];
		lower += one[below];
	}
	return upper / lower;
}

function checkDecision({ propensity, targetProbability, outcome }: LoggedDecision, index: number): void {
	if (!(propensity > 0 && propensity <= 1))
		throw new RangeError(`decision ${index}: a propensity is above 0 and at most 1, not ${propensity}`);
	if (!(targetProbability >= 0 && targetProbability <= 1))
		throw new RangeError(`decision ${index}: a probability is from 0 to 1, not ${targetProbability}`);
	if (!Number.isFinite(outcome)) throw new RangeError(`decision ${index}: the outcome ${outcome} is no number`);
}
