// Owns what the guardrails are shown: one look at the fleet.
import type { ArmName } from '../cohorts/cohort.js';

/** One look at the fleet, about once a second. */
export interface GuardrailSample {
	readonly atMs: number;
	/** Who has the fleet; a canary or split: always the candidate. */
	readonly arm: ArmName;
	/** Of the candidate, since the last sample. */
	readonly decisions: number;
	readonly decisionTimeouts: number;
	readonly traps: number;
	/** By target, in one order; undefined = not known. */
	readonly targets: readonly TargetLoad[];
}

export interface TargetLoad {
	readonly id: string;
	readonly inFlight: number;
	/** Requests that wait in the engine. */
	readonly waiting: number | undefined;
}
