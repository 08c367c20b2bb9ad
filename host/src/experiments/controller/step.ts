// Owns what one look at a running experiment makes of its record: sans-I/O. The record and the look go in, the record after it comes out; what is staged follows from
// the record and the time alone, so that a node that takes over stages the same.
import type { ExperimentStaging } from '../../strategy/registry/staging.js';
import { nextStep } from '../design/promotion.js';
import { touching } from '../matched/look.js';
import type { ExperimentRecord } from '../record.js';
import { clusterPlace, isClusteredRecord, splitOf, stepClustered } from './clustered.js';
import type { Look } from './look.js';
import { safetyTrialOf, stepSplit } from './split.js';
import { placeOf, stepSwitchback, trialOf } from './switchback.js';
import type { Watch } from './watch.js';

/** A block that nobody ends ends by itself after so long: without a quorum, or its runner, the fleet must not stay with the candidate. */
const OVERDUE_MS = 30_000;

/** The whole fleet alternates, or that of this cell. */
export function isSwitchback({ design }: Pick<ExperimentRecord, 'design'>): boolean {
	return design.kind === 'switchback' || design.kind === 'matched-cells';
}

/** When what routers follow changes next; undefined where it does not. */
export function nextBlockAtMs(record: ExperimentRecord, nowMs: number): number | undefined {
	if (isSwitchback(record)) return placeOf(record, nowMs).endsAtMs;
	return isClusteredRecord(record) ? clusterPlace(record, nowMs).endsAtMs : undefined;
}

function stepOf(record: ExperimentRecord): typeof stepSplit {
	if (isSwitchback(record)) return stepSwitchback;
	return isClusteredRecord(record) ? stepClustered : stepSplit;
}

/** Counts, judges, and decides whether it ends. A record that has ended, or is about to, stays as it is. */
export function stepExperiment(record: ExperimentRecord, look: Look, watch: Watch): ExperimentRecord {
	if (record.state !== 'running') return record;
	const touched = look.border === undefined ? undefined : touching(look.border, record.design.cellPairs.flat());
	if (touched !== undefined) {
		const reason = `the cell is not by itself any more: ${touched}`;
		return { ...record, state: 'ending', end: { how: 'end', reason, by: 'rule', atMs: look.nowMs } };
	}
	const counted = stepOf(record)(record, look, watch);
	const { trip } = watch;
	const muted = watch.muted.length === counted.muted.length ? counted.muted : [...watch.muted];
	const seen = trip === undefined && muted === counted.muted ? counted : { ...counted, muted, ...(trip && { trip }) };
	const { verdict } = isSwitchback(seen) ? trialOf(seen) : safetyTrialOf(seen);
	const { action, reason } = nextStep(seen.design.promote, verdict, seen.trip);
	if (action === 'continue') return seen;
	return { ...seen, state: 'ending', end: { how: action, reason, by: 'rule', atMs: look.nowMs } };
}

/** What routers are to follow while the experiment runs. */
export function stagingOfRun(record: ExperimentRecord, nowMs: number): ExperimentStaging {
	const { id, tag, design, startedAtMs } = record;
	const common = {
		id,
		tag,
		baseline: design.baseline,
		candidate: design.candidate,
		objectives: design.objectives,
	};
	if (isClusteredRecord(record)) return { ...common, ...splitOf(record, nowMs), measureFromMs: startedAtMs };
	if (!isSwitchback(record)) {
		const split = { percent: design.share * 100, by: design.splitBy, seed: design.seed };
		return { ...common, block: 0, split, measureFromMs: startedAtMs };
	}
	const { block, arm, measureFromMs, endsAtMs } = placeOf(record, nowMs);
	return { ...common, block, arm, measureFromMs, untilMs: endsAtMs + OVERDUE_MS };
}
