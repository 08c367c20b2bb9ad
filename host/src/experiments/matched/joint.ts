// Owns the verdict over all cells of a matched comparison: what each cell reports of its own blocks becomes pairs, pairs become one confidence sequence. Pure; made anew from
// the cells' reports whenever it is asked for, so that no cell depends on another. A pair of blocks counts only when all cells have closed it: where one cell has ended, no
// pair after that does.
import { MeshError } from '@infermesh/proto';
import { canonicalJson } from '../../signed/canonical-json.js';
import { cellNote, designDigest, type ExperimentDesign } from '../design/design.js';
import { type NextStep, nextStep } from '../design/promotion.js';
import { type SwitchbackFigures, switchbackFigures } from '../design/report.js';
import { cellsOf } from '../design/schedule.js';
import { type ClosedBlock, SwitchbackTrial } from '../design/switchback-trial.js';
import { experimentErrors } from '../errors.js';
import type { ExperimentDocument } from '../views.js';

/** The report over all cells. */
export interface JointDocument {
	readonly schema: 'infermesh.matched-cells.v1';
	readonly id: string;
	readonly model: string;
	readonly startedAtMs: number;
	/** Of all cells together; that of a cell has its name besides. */
	readonly design: ExperimentDesign;
	readonly designDigest: string;
	readonly digests: ExperimentDocument['digests'];
	readonly notes: readonly string[];
	readonly verdict: SwitchbackTrial['verdict'];
	readonly next: NextStep;
	readonly switchback: SwitchbackFigures;
	/** Whether all cells are still in it. */
	readonly state: 'running' | 'ended';
	/** What each cell reports, in the order of the pairs. */
	readonly cells: readonly ExperimentDocument[];
}

/** Without the name of the cell: the same in all of them. */
export function jointDesignOf({ cell: _cell, ...design }: ExperimentDesign): ExperimentDesign {
	return design;
}

/** IM_EXPERIMENT_CELLS_DIFFER where the reports are not those of all cells of one comparison. */
export function jointDocument(reports: readonly ExperimentDocument[]): JointDocument {
	const [first] = reports;
	if (first === undefined) throw differ('no cell has reported');
	const design = jointDesignOf(first.design);
	const byCell = new Map(reports.map((report) => [report.design.cell ?? '', report]));
	for (const report of reports) checkSame(first, design, report);
	const names = cellsOf(design);
	const missing = names.filter((name) => !byCell.has(name));
	if (missing.length > 0 || byCell.size !== reports.length || byCell.size !== names.length)
		throw differ(
			missing.length > 0
				? `nothing was reported of ${missing.join(', ')}`
				: 'a cell is reported twice, or is none of the comparison',
		);
	const cells = names.map((name) => byCell.get(name) as ExperimentDocument);
	const trial = trialOfCells(design, cells);
	const figures = switchbackFigures(trial);
	const burnInRequests = cells.reduce((sum, { switchback }) => sum + (switchback?.burnInRequests ?? 0), 0);
	const own = new Set(names.map(cellNote));
	const ended = cells.filter(({ end }) => end !== null);
	return {
		schema: 'infermesh.matched-cells.v1',
		id: first.id,
		model: first.model,
		startedAtMs: Math.min(...cells.map(({ startedAtMs }) => startedAtMs)),
		design,
		designDigest: designDigest(design),
		digests: first.digests,
		notes: [
			...new Set(cells.flatMap(({ notes }) => notes.filter((note) => !own.has(note)))),
			...ended.map(
				({ design: { cell }, end }) =>
					`${cell} has ended (${end?.how}: ${end?.reason}): no pair of blocks after it counts.`,
			),
		],
		verdict: trial.verdict,
		next: nextStep(
			'never',
			trial.verdict,
			cells.find(({ guardrails }) => guardrails.value.trip !== undefined)?.guardrails.value.trip,
		),
		switchback: { ...figures, burnInRequests },
		state: ended.length === 0 && trial.verdict === 'undecided' ? 'running' : 'ended',
		cells,
	};
}

function trialOfCells(design: ExperimentDesign, cells: readonly ExperimentDocument[]): SwitchbackTrial {
	const trial = new SwitchbackTrial(design);
	const blocks = cells.flatMap(({ points, design: { cell = '' } }) => points.map((point) => closedOf(point, cell)));
	// In the order of time, so that the sequence is the same whenever it is asked for.
	for (const block of blocks.sort((a, b) => a.block - b.block)) trial.add(block);
	return trial;
}

function closedOf(point: ExperimentDocument['points'][number], cell: string): ClosedBlock {
	const { block, requests, good, ttftP99Ms = 0, dropped } = point;
	return {
		block,
		cell,
		requests,
		good,
		burnIn: 0,
		ttftP99Ms,
		...(dropped === 'gap' || dropped === 'stopped' ? { incomplete: dropped } : {}),
	};
}

function checkSame(first: ExperimentDocument, design: ExperimentDesign, report: ExperimentDocument): void {
	const cell = report.design.cell ?? report.id;
	if (report.design.kind !== 'matched-cells') throw differ(`${cell}: a ${report.design.kind}`);
	if (report.id !== first.id || report.model !== first.model)
		throw differ(`${cell}: another experiment, ${report.id} on ${report.model}`);
	if (canonicalJson(jointDesignOf(report.design)) !== canonicalJson(design)) throw differ(`${cell}: another design`);
	if (canonicalJson(report.digests) !== canonicalJson(first.digests))
		throw differ(`${cell}: its strategies are other modules than those of ${first.design.cell}`);
}

function differ(why: string): MeshError {
	return new MeshError(experimentErrors, 'IM_EXPERIMENT_CELLS_DIFFER', why);
}
