// Owns the number under which a request of an experiment is counted: which experiment, which block of it, which arm, and whether it came in the burn-in. One
// number, because it rides on every decision and attempt of a model under experiment. 0 = no experiment.

/** A request that is in no experiment. */
export const NO_COHORT = 0;
/** Blocks of one experiment. */
export const BLOCKS_MAX = 1 << 18;

export const arms = ['baseline', 'candidate'] as const;
export type ArmName = (typeof arms)[number];

export interface Cohort {
	/** Which experiment: 1 … 2^32 − 1. */
	readonly tag: number;
	/** Block of the experiment, from 0. */
	readonly block: number;
	readonly arm: ArmName;
	/** The request came while the block's predecessor still showed in queues and caches. */
	readonly burnIn: boolean;
}

/** Below 2^53: 32 bits of tag, 18 of block, 2 of the rest. */
export function cohortNumber(tag: number, block: number, isCandidate: boolean, isBurnIn: boolean): number {
	return (tag * BLOCKS_MAX + block) * 4 + (isCandidate ? 2 : 0) + (isBurnIn ? 1 : 0);
}

export function cohortOf(number: number): Cohort {
	const rest = number % 4;
	const place = (number - rest) / 4;
	const block = place % BLOCKS_MAX;
	return {
		tag: (place - block) / BLOCKS_MAX,
		block,
		arm: rest >= 2 ? 'candidate' : 'baseline',
		burnIn: rest % 2 === 1,
	};
}
