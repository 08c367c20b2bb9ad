// Owns what becomes of an experiment when a lone node starts again with it: it goes on where both arms are what they were, else it ends by rule. Pure. On a mesh nothing of
// this is needed: another node goes on at once.
import type { ExperimentEnd, ExperimentRecord } from './record.js';

/** What the node has after its start. */
export interface AfterRestart {
	readonly nowMs: number;
	/** What decides on the experiment's model now; undefined = the built-in fallback. */
	readonly active: { readonly label: string; readonly digest: string } | undefined;
	/** Of the candidate as it was loaded again; undefined where it could not be, and why. */
	readonly candidateDigest: string | undefined;
	readonly candidateFailure?: string;
}

/**
 * The record to go on with. Blocks in which the node was away are dropped later as any that nobody counted for, and spend the budget; what guardrails had building up
 * is kept beside the record, and time in which the node was away has not passed for them. An end that routers had not heard of stands: nothing is staged after a start. A promotion that was not in force is none.
 */
export function resumed(record: ExperimentRecord, after: AfterRestart): ExperimentRecord {
	const { nowMs } = after;
	const ended = (end: ExperimentEnd): ExperimentRecord => ({
		...record,
		state: 'ended',
		end: { ...end, restoredAtMs: nowMs },
	});
	if (record.state === 'ended') return record;
	if (record.state === 'ending' && record.end !== undefined) {
		const { end } = record;
		if (end.how !== 'promote') return ended(end);
		return ended({ ...end, how: 'end', reason: `${end.reason}; the node restarted before it was in force` });
	}
	const why = whyNot(record, after);
	if (why === undefined) return { ...record, state: 'running' };
	return ended({ how: 'end', reason: `the node restarted, and ${why}`, by: 'rule', atMs: nowMs });
}

function whyNot(
	{ design, digests, model }: ExperimentRecord,
	{ active, candidateDigest, candidateFailure }: AfterRestart,
): string | undefined {
	const { baseline, candidate } = design;
	if (active?.label !== baseline)
		return `${active?.label ?? 'the built-in fallback'} decides on ${model} now, not the baseline ${baseline}`;
	if (active.digest !== digests.baseline) return `${baseline} is another module now`;
	if (candidateDigest === undefined)
		return `${candidate} could not be loaded again: ${candidateFailure ?? 'it is gone'}`;
	return candidateDigest === digests.candidate ? undefined : `${candidate} is another module now`;
}
