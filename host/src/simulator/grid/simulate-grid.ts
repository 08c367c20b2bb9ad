// Owns a whole run as a user asks for it: strategies prepared, capacities found where loads are shares of one, the grid run on threads, the
// document put together. Leaves reading scenarios and printing to others.
import { MeshError } from '@infermesh/proto';
import { type ReportedCapacity, type SimulationReport, simulationReport } from '../report/document.js';
import type { SimulationScenario } from '../scenario/document.js';
import { workloadDigest } from '../workload/digest.js';
import { openWorkload } from '../workload/open-workload.js';
import { gridErrors } from './errors.js';
import { parseSimulationThresholds, parseUntil } from './metrics.js';
import { seedsOf } from './plan.js';
import type { GridRun } from './run.js';
import { Session, type SessionOptions } from './session.js';
import { prepareStrategies } from './strategies.js';

export interface GridOptions extends SessionOptions {
	/** Find each strategy's capacity under this condition instead of running the grid. */
	readonly until?: string;
	/** Expressions over the means of a strategy's cells. */
	readonly thresholds?: readonly string[];
	/** Run a replication of the last strategy a second time, and say whether it gave the same digest. */
	readonly repeat?: boolean;
	/** Version of the simulator, for the report. */
	readonly simulator: string;
}

/**
 * Runs `scenario`. Throws what is wrong before anything is simulated (IM_THRESHOLD_*, IM_PROJECT_*, IM_TRACE_*, IM_SIMULATE_*), and when there is
 * nothing to report; failures of single cells are in the document.
 */
export async function simulateGrid(scenario: SimulationScenario, options: GridOptions): Promise<SimulationReport> {
	const thresholds = (options.thresholds ?? []).flatMap(parseSimulationThresholds);
	const until = options.until === undefined ? undefined : parseUntil(options.until);
	const strategies = await prepareStrategies(scenario.grid.strategies, scenario.grid.baseline);
	// A workload that cannot be read is told once and at once, not by every cell.
	const seeds = seedsOf(scenario);
	await openWorkload(scenario.workload, seeds[0] ?? 0, scenario.grid.segments[0] ?? 'all');
	const digest = await workloadDigest(scenario.workload);
	const session = new Session(scenario, strategies, options);
	try {
		const shares = until === undefined && scenario.grid.loads.of === 'capacity';
		const capacities =
			until === undefined ? (shares ? await session.baseCapacities() : []) : await session.capacities(until);
		const grid = until === undefined ? await session.grid(capacities) : nothingRun(options.signal.aborted);
		const interrupted = grid.interrupted || options.signal.aborted;
		refuseNothing({ ...grid, interrupted }, until === undefined ? [] : capacities);
		return simulationReport({
			simulator: options.simulator,
			scenario,
			workloadDigest: digest,
			strategies,
			seeds,
			until: options.until ?? (shares ? scenario.grid.loads.until : null),
			capacities,
			grid: { ...grid, interrupted },
			repeatable: options.repeat === true ? await session.repeats(grid) : null,
			thresholds,
			notes: notesOf(scenario),
		});
	} finally {
		await session.close();
	}
}

function nothingRun(interrupted: boolean): GridRun {
	return { records: [], interrupted };
}

/** With nothing at all to report, the first failure is the answer. */
function refuseNothing({ records, interrupted }: GridRun, sought: readonly ReportedCapacity[]): void {
	if (sought.some(({ error, speed }) => error === null || speed > 0) || records.some(({ state }) => state === 'done'))
		return;
	if (interrupted) throw new MeshError(gridErrors, 'IM_SIMULATE_INTERRUPTED');
	const failed = records.find((record) => record.state === 'failed')?.message ?? sought[0]?.error;
	throw new MeshError(gridErrors, 'IM_SIMULATE_ALL_FAILED', failed ?? undefined);
}

function notesOf({ workload, grid }: SimulationScenario): string[] {
	return [
		...(workload.trace === undefined ? ['no trace was given: the requests are generated'] : []),
		...(grid.segments.some((segment) => segment !== 'all') ? ['parts of the workload are by number of requests'] : []),
	];
}
