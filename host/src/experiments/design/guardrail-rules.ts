// Owns what the hard guardrails are: names, limits, and the guard each has against rolling back for nothing. Leaves watching them to guardrails.ts.

export const guardrailRules = [
	'decision_timeouts',
	'traps',
	'imbalance',
	'starvation',
	'attainment',
	'telemetry',
] as const;
export type GuardrailRule = (typeof guardrailRules)[number];

/** Limits; all above 0. */
export interface GuardrailOptions {
	/** Of decisions that ran out of budget, over `timeoutWindowMs`. */
	readonly timeoutShareMax: number;
	readonly timeoutWindowMs: number;
	/** Guard: fewer timeouts than this in the window say nothing. */
	readonly timeoutsMin: number;
	/** Of the busiest target's requests in flight to the mean, all through `imbalanceMs`. */
	readonly imbalanceMax: number;
	readonly imbalanceMs: number;
	/** Guard: with fewer requests on the busiest target, some target is always ahead by chance. */
	readonly imbalanceInFlightMin: number;
	/** Some target's queue grows over so long while another one idles. */
	readonly starvationMs: number;
	/** Guard: a queue that grew by fewer requests has not grown. */
	readonly starvationGrowthMin: number;
	/** Shortfall of a block's attainment against the baseline, 0..1. */
	readonly attainmentDrop: number;
	/** Guard: the shortfall is against the lowest of so many baseline blocks before, so that the swings of the traffic itself do not count. */
	readonly attainmentBaselines: number;
	/** Guard: so many blocks of the candidate in a row must fall short. */
	readonly attainmentBlocks: number;
	/** A shortfall this large needs one block only, 0..1. */
	readonly attainmentCollapse: number;
	/** Guard: fewer requests in a block say nothing. */
	readonly attainmentRequestsMin: number;
	/** No sample for so long. */
	readonly telemetryMissingMs: number;
}

export const guardrailDefaults: GuardrailOptions = {
	timeoutShareMax: 0.001,
	timeoutWindowMs: 10_000,
	timeoutsMin: 3,
	imbalanceMax: 3,
	imbalanceMs: 30_000,
	imbalanceInFlightMin: 8,
	starvationMs: 60_000,
	starvationGrowthMin: 4,
	attainmentDrop: 0.05,
	attainmentBaselines: 3,
	attainmentBlocks: 3,
	attainmentCollapse: 0.5,
	attainmentRequestsMin: 100,
	telemetryMissingMs: 15_000,
};

/** Why the candidate must go, at once. */
export interface Trip {
	readonly rule: GuardrailRule;
	readonly atMs: number;
	/** One sentence with the numbers. */
	readonly reason: string;
	/** What the rule saw until it tripped; absent where there is no course to see (telemetry), and in records of before. */
	readonly course?: TripCourse;
}

/** The figure that a rule watches, in the order of time: what a report plots. */
export interface TripCourse {
	/** What it is, in words. */
	readonly title: string;
	/** Above (or below) it the rule breaks. */
	readonly limit: number;
	/** Milliseconds since the Unix epoch, and the value; the newest `COURSE_POINTS_MAX`. None of `attainment`: the record has its blocks. */
	readonly points: readonly (readonly [number, number])[];
}

export const COURSE_POINTS_MAX = 128;

/** How each rule is kept from rolling back for nothing, in words for reports. */
export const falseRollbackGuards: Readonly<Record<GuardrailRule, string>> = {
	decision_timeouts: 'at least three timeouts in the window, so that one pause of the machine does not count',
	traps: 'none: a trap is a fault of the strategy, whatever the traffic',
	imbalance:
		'at least eight requests on the busiest target; muted when the baseline breaks the same rule in this experiment',
	starvation:
		'the queue must have grown by at least four requests and the other target have idled all the time; muted when the baseline breaks the same rule in this experiment',
	attainment:
		'three candidate blocks in a row, or one that falls short by 50 points, each against the lowest of the last three baseline blocks and with at least a hundred requests: one block 5 points low comes to most strategies that are compared with themselves (`npm run bench -- evaluation-rollbacks`)',
	telemetry: 'missing for fifteen seconds on end; two readings lost in a row do not count',
};
