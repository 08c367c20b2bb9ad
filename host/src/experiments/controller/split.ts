// Owns a step of a canary or of a split by request: once in a window, what each router has counted since the last one becomes evidence. Pure. What a router counted
// before it restarted and nobody read is lost for both arms alike.
import { type ArmName, arms } from '../cohorts/cohort.js';
import type { CohortCounts } from '../cohorts/counts.js';
import type { ExperimentDesign } from '../design/design.js';
import { type SafetyState, SafetyTrial } from '../design/safety-trial.js';
import { type ExperimentPoint, type ExperimentRecord, POINTS_MAX } from '../record.js';
import type { RouterReading } from '../telemetry/reading.js';
import { added, compact, expand, since } from './figures.js';
import { countsOf, type Look } from './look.js';
import type { Watch } from './watch.js';

/** Windows are at most so long, and a twentieth of the shortest experiment at most. */
const WINDOW_MS_MAX = 10_000;
const WINDOW_MS_MIN = 1000;

export function windowMs({ durationMsMin }: ExperimentDesign): number {
	return Math.max(WINDOW_MS_MIN, Math.min(WINDOW_MS_MAX, durationMsMin / 20));
}

export function safetyTrialOf({ design, trial }: ExperimentRecord): SafetyTrial {
	return trial === undefined ? new SafetyTrial(design) : SafetyTrial.resume(design, trial as SafetyState);
}

export function stepSplit(record: ExperimentRecord, look: Look, watch: Watch): ExperimentRecord {
	watch.look(look, 'candidate');
	const split = record.split ?? { windowFromMs: record.startedAtMs, seen: {} };
	if (look.nowMs < split.windowFromMs + windowMs(record.design)) return record;
	const counted = { baseline: expand([]), candidate: expand([]) };
	const seen: typeof split.seen = {};
	for (const [id, reading] of look.readings) {
		const before = split.seen[id];
		if (reading === undefined) {
			if (before !== undefined) seen[id] = before;
			continue;
		}
		const now = totalsOf(look.nowMs, record.tag, id, reading);
		const known = before?.incarnation === reading.incarnation ? before.cells : { baseline: [], candidate: [] };
		for (const arm of arms) counted[arm].merge(since(now[arm], expand(known[arm])));
		seen[id] = {
			incarnation: reading.incarnation,
			cells: { baseline: compact(now.baseline), candidate: compact(now.candidate) },
		};
	}
	return closeWindow({ ...record, split: { windowFromMs: look.nowMs, seen } }, split.windowFromMs, look.nowMs, counted);
}

/** All that a router has counted of both arms: nothing is thrown away, since nothing carries over that is not there in both. */
function totalsOf(nowMs: number, tag: number, id: string, reading: RouterReading): Record<ArmName, CohortCounts> {
	const alone: Look = { nowMs, readings: new Map([[id, reading]]) };
	return { baseline: countsOf(alone, tag, 0, 'baseline'), candidate: countsOf(alone, tag, 0, 'candidate') };
}

function closeWindow(
	record: ExperimentRecord,
	fromMs: number,
	toMs: number,
	counted: Readonly<Record<ArmName, CohortCounts>>,
): ExperimentRecord {
	const { figures, points, startedAtMs } = record;
	const trial = safetyTrialOf(record);
	const bad = (counts: CohortCounts): number => counts.judged - counts.get('good');
	trial.add(
		{
			candidate: counted.candidate.judged,
			candidateBad: bad(counted.candidate),
			control: counted.baseline.judged,
			controlBad: bad(counted.baseline),
		},
		toMs - startedAtMs,
	);
	return {
		...record,
		trial: trial.state(),
		figures: {
			baseline: added(figures.baseline, counted.baseline),
			candidate: added(figures.candidate, counted.candidate),
		},
		points: [...points, ...arms.map((arm) => pointOf(arm, fromMs, toMs, counted[arm]))].slice(-POINTS_MAX),
	};
}

function pointOf(arm: ArmName, fromMs: number, toMs: number, counts: CohortCounts): ExperimentPoint {
	return {
		block: 0,
		arm,
		fromMs,
		toMs,
		requests: counts.judged,
		good: counts.get('good'),
		ttftP50Ms: counts.ttftQuantile(0.5),
		ttftP99Ms: counts.ttftQuantile(0.99),
	};
}
