// Owns a step of a canary or split whose sides are drawn for sessions or tenants: block by block, with the draw made anew in each. A block is closed once its
// requests are over or have had their time, and is one observation. Pure. What a router counted and nobody read before it restarted is lost for both arms alike.
import { arms, BLOCKS_MAX } from '../cohorts/cohort.js';
import type { CohortCounts } from '../cohorts/counts.js';
import { isClustered } from '../design/safety-trial.js';
import { type BlockPlace, blockAt, seedOfBlock } from '../design/schedule.js';
import type { ExperimentPoint, ExperimentRecord } from '../record.js';
import { POINTS_MAX } from '../record.js';
import { added } from './figures.js';
import { countsOf, type Look } from './look.js';
import { safetyTrialOf } from './split.js';
import { ON_THE_WAY_MS } from './switchback.js';
import type { Watch } from './watch.js';

export function isClusteredRecord({ design }: Pick<ExperimentRecord, 'design'>): boolean {
	return isClustered(design);
}

/** The block of a moment; the last one that has a number goes on for good. */
export function clusterPlace({ design, startedAtMs }: ExperimentRecord, nowMs: number): BlockPlace {
	const place = blockAt({ blockMs: design.blockMs, burnInMs: 0, pairsMax: BLOCKS_MAX / 2 }, startedAtMs, nowMs);
	return { ...place, block: Math.min(place.block, BLOCKS_MAX - 1) };
}

/** What draws the sides of a block. */
export function splitOf(record: ExperimentRecord, nowMs: number) {
	const { design } = record;
	const { block } = clusterPlace(record, nowMs);
	return {
		block,
		split: { percent: design.share * 100, by: design.splitBy, seed: seedOfBlock(design.seed, block) },
	};
}

export function stepClustered(record: ExperimentRecord, look: Look, watch: Watch): ExperimentRecord {
	watch.look(look, 'candidate');
	const { block } = clusterPlace(record, look.nowMs);
	let next = record;
	while (next.nextBlock < block) {
		const closed = closeBlock(next, look);
		if (closed === undefined) break;
		next = closed;
		if (safetyTrialOf(next).verdict !== 'undecided') break;
	}
	return next;
}

/** The record with the first open block closed; undefined while its requests may still end. */
function closeBlock(record: ExperimentRecord, look: Look): ExperimentRecord | undefined {
	const { design, tag, startedAtMs, nextBlock, figures, points } = record;
	const toMs = startedAtMs + (nextBlock + 1) * design.blockMs;
	const counted = {
		baseline: countsOf(look, tag, nextBlock, 'baseline'),
		candidate: countsOf(look, tag, nextBlock, 'candidate'),
	};
	const isSilent = [...look.readings.values()].includes(undefined);
	const isOver = arms.every((arm) => counted[arm].ended >= counted[arm].get('begun'));
	const isComplete = !isSilent && isOver && look.nowMs >= toMs + ON_THE_WAY_MS;
	if (!isComplete && look.nowMs < toMs + design.settleMs) return undefined;
	const candidate = outcomes(counted.candidate);
	const baseline = outcomes(counted.baseline);
	const trial = safetyTrialOf(record);
	trial.add(
		{
			candidate: candidate.requests,
			candidateBad: candidate.requests - candidate.good,
			control: baseline.requests,
			controlBad: baseline.requests - baseline.good,
		},
		toMs - startedAtMs,
	);
	const point = (arm: (typeof arms)[number]): ExperimentPoint => ({
		block: nextBlock,
		arm,
		fromMs: toMs - design.blockMs,
		toMs,
		...outcomes(counted[arm]),
		ttftP50Ms: counted[arm].ttftQuantile(0.5),
		ttftP99Ms: counted[arm].ttftQuantile(0.99),
	});
	return {
		...record,
		nextBlock: nextBlock + 1,
		trial: trial.state(),
		figures: {
			baseline: added(figures.baseline, counted.baseline),
			candidate: added(figures.candidate, counted.candidate),
		},
		points: [...points, ...arms.map(point)].slice(-POINTS_MAX),
	};
}

/** What has not ended in its time is not good. */
function outcomes(counts: CohortCounts): { requests: number; good: number } {
	const unfinished = Math.max(0, counts.get('begun') - counts.ended);
	return { requests: counts.judged + unfinished, good: counts.get('good') };
}
