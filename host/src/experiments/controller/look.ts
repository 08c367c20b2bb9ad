// Owns one look at a running experiment: the time, and what each router says it has counted. All that a step of an experiment knows of the world.
import { type ArmName, cohortNumber } from '../cohorts/cohort.js';
import { CohortCounts } from '../cohorts/counts.js';
import type { CellBorder } from '../matched/look.js';
import type { RouterReading } from '../telemetry/reading.js';

export interface Look {
	/** Milliseconds since the Unix epoch. */
	readonly nowMs: number;
	/** Of every router of the mesh, by UUID of its node; undefined for one that did not answer. */
	readonly readings: ReadonlyMap<string, RouterReading | undefined>;
	/** Of matched cells: where requests may cross. */
	readonly border?: CellBorder;
}

/** What all routers that answered have counted of one arm in one block: of its measured part, or of its burn-in. */
export function countsOf({ readings }: Look, tag: number, block: number, arm: ArmName, isBurnIn = false): CohortCounts {
	const wanted = cohortNumber(tag, block, arm === 'candidate', isBurnIn);
	const sum = new CohortCounts();
	for (const reading of readings.values())
		for (const { cohort, cells } of reading?.cohorts ?? []) if (cohort === wanted) sum.merge(new CohortCounts(cells));
	return sum;
}

/** Incarnations of the routers that answered. */
export function incarnationsOf({ readings }: Look): Record<string, string> {
	return Object.fromEntries(
		[...readings].flatMap(([id, reading]) => (reading === undefined ? [] : [[id, reading.incarnation] as const])),
	);
}
