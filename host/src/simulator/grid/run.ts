// Owns running the cells of a grid: order, pairing, failures of single cells, an interrupt that keeps what is done. What runs a cell (threads)
// is given; what comes of it is judged in compare.ts.
import { MeshError } from '@infermesh/proto';
import type { Segment, WorkloadSpec } from '../scenario/document.js';
import type { SimulationSpec, SloSpec } from '../spec.js';
import type { CellOutcome } from './outcome.js';
import type { Cell } from './plan.js';

/** What a thread is told: plain data. */
export interface CellJob {
	readonly spec: SimulationSpec;
	readonly workload: { readonly spec: WorkloadSpec; readonly seed: number; readonly segment: Segment };
	/** Strategies by index: one alone, or the two of an experiment. */
	readonly arms: readonly number[];
	readonly slos: Readonly<Record<string, SloSpec>>;
}

/** Runs one job; rejects with what went wrong, or with IM_SIMULATE_INTERRUPTED. */
export type RunCell = (job: CellJob) => Promise<CellOutcome>;

export type CellRecord = Cell & CellEnd;
type CellEnd =
	| { readonly state: 'done'; readonly outcome: CellOutcome }
	| { readonly state: 'failed'; readonly code: string; readonly message: string }
	| { readonly state: 'interrupted' };

export interface GridProgress {
	readonly done: number;
	readonly failed: number;
	readonly total: number;
	/** Requests simulated so far. */
	readonly requests: number;
}

export interface GridRun {
	/** In the order of the cells. */
	readonly records: readonly CellRecord[];
	readonly interrupted: boolean;
}

/** Runs all cells; `run` bounds how many at a time. A cell that fails is recorded and the rest goes on. */
export async function runCells(
	cells: readonly Cell[],
	jobOf: (cell: Cell) => CellJob,
	run: RunCell,
	onProgress: (progress: GridProgress) => void = () => {},
): Promise<GridRun> {
	let done = 0;
	let failed = 0;
	let requests = 0;
	let interrupted = false;
	const total = cells.length;
	const records = await Promise.all(
		cells.map(async (cell): Promise<CellRecord> => {
			const end = await runOne(jobOf(cell), run);
			if (end.state === 'done') {
				done++;
				requests += end.outcome.summary.requests;
			} else if (end.state === 'failed') failed++;
			else interrupted = true;
			onProgress({ done, failed, total, requests });
			return { ...cell, ...end };
		}),
	);
	return { records, interrupted };
}

async function runOne(job: CellJob, run: RunCell): Promise<CellEnd> {
	try {
		return { state: 'done', outcome: await run(job) };
	} catch (error) {
		if (error instanceof MeshError && error.code === 'IM_SIMULATE_INTERRUPTED') return { state: 'interrupted' };
		return {
			state: 'failed',
			code: error instanceof MeshError ? error.code : 'IM_SIMULATE_CELL',
			message: messageOf(error),
		};
	}
}

/** With the place, where there is one. */
function messageOf(error: unknown): string {
	if (error instanceof MeshError && error.where !== undefined) return `${error.where}: ${error.message}`;
	return error instanceof Error ? error.message : String(error);
}
