// Owns a step of a switchback: which block has the fleet at this moment, and the closing of blocks whose requests are over. Pure. A request belongs to the block that
// was in force when it came: it is waited for, never cut.
import type { ArmName } from '../cohorts/cohort.js';
import { armOfCell, type BlockPlace, blockAt } from '../design/schedule.js';
import { type ClosedBlock, reasonOf, type SwitchbackState, SwitchbackTrial } from '../design/switchback-trial.js';
import { type ExperimentPoint, type ExperimentRecord, POINTS_MAX } from '../record.js';
import { added } from './figures.js';
import { countsOf, type Look } from './look.js';
import { noteRouters } from './routers.js';
import type { Watch } from './watch.js';

/** Counts of a request that has just ended are on their way for at most so long: worker to agent, and one look. */
export const ON_THE_WAY_MS = 1500;
/** Routers follow a block so long after its begin at the latest, whatever its burn-in; one they follow later is not whole. */
const BEGIN_MS = 1500;

/** The block that has the fleet, and whose it is. After the last one the baseline has it. */
export function placeOf({ design, startedAtMs }: ExperimentRecord, nowMs: number): BlockPlace & { arm: ArmName } {
	const place = blockAt(design, startedAtMs, nowMs);
	return { ...place, arm: place.isOver ? 'baseline' : armOfCell(design, place.block, design.cell) };
}

export function trialOf({ design, trial }: ExperimentRecord): SwitchbackTrial {
	return trial === undefined ? new SwitchbackTrial(design) : SwitchbackTrial.resume(design, trial as SwitchbackState);
}

export function stepSwitchback(record: ExperimentRecord, look: Look, watch: Watch): ExperimentRecord {
	const place = placeOf(record, look.nowMs);
	watch.look(look, place.arm);
	const isDue = look.nowMs > Math.max(place.measureFromMs, place.startsAtMs + BEGIN_MS);
	let next = noteRouters(record, look, place.block, isDue);
	const last = Math.min(place.block, 2 * record.design.pairsMax);
	const trial = trialOf(next);
	while (next.nextBlock < last && trial.verdict === 'undecided') {
		const closed = closeBlock(next, look);
		if (closed === undefined) break;
		trial.add(closed.block);
		watch.closed(closed.point);
		next = afterBlock(next, closed, trial);
	}
	return next;
}

function afterBlock(record: ExperimentRecord, { point, figures }: Closing, trial: SwitchbackTrial): ExperimentRecord {
	const { nextBlock, gaps, points } = record;
	return {
		...record,
		nextBlock: nextBlock + 1,
		gaps: gaps.filter((gap) => gap > nextBlock),
		trial: trial.state(),
		figures,
		points: [...points, point].slice(-POINTS_MAX),
	};
}

interface Closing {
	readonly block: ClosedBlock;
	readonly point: ExperimentPoint;
	readonly figures: ExperimentRecord['figures'];
}

/** The first open block, if its requests are over or have had their time. */
function closeBlock(record: ExperimentRecord, look: Look): Closing | undefined {
	const { design, tag, startedAtMs, nextBlock, figures } = record;
	const endsAtMs = startedAtMs + (nextBlock + 1) * design.blockMs;
	const arm = armOfCell(design, nextBlock, design.cell);
	const counts = countsOf(look, tag, nextBlock, arm);
	const begun = counts.get('begun');
	const isSilent = Object.keys(record.routers).some((id) => look.readings.get(id) === undefined);
	const isComplete = !isSilent && counts.ended >= begun && look.nowMs >= endsAtMs + ON_THE_WAY_MS;
	if (!isComplete && look.nowMs < endsAtMs + design.settleMs) return undefined;
	const unfinished = Math.max(0, begun - counts.ended);
	const isGap = isSilent || record.gaps.includes(nextBlock);
	const block: ClosedBlock = {
		block: nextBlock,
		...(design.cell === undefined ? {} : { cell: design.cell }),
		requests: counts.judged + unfinished,
		good: counts.get('good'),
		burnIn: countsOf(look, tag, nextBlock, arm, true).get('begun'),
		ttftP99Ms: counts.ttftQuantile(0.99),
		...(isGap ? { incomplete: 'gap' as const } : {}),
	};
	const dropped = reasonOf(block, design);
	const point: ExperimentPoint = {
		block: nextBlock,
		arm,
		fromMs: endsAtMs - design.blockMs,
		toMs: endsAtMs,
		requests: block.requests,
		good: block.good,
		ttftP50Ms: counts.ttftQuantile(0.5),
		ttftP99Ms: block.ttftP99Ms,
		...(dropped === undefined ? {} : { dropped }),
	};
	return { block, point, figures: { ...figures, [arm]: added(figures[arm], counts) } };
}
