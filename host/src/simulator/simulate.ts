// Owns the one call by which everybody runs a simulation to its end: slices of it, with progress and a way to stop between them.
import type { StrategyModule } from '../strategy/runtime/instance.js';
import type { SimulationResult } from './result.js';
import { Simulation, type SimulationProgress } from './simulation.js';
import type { SimulationSpec, Workload } from './spec.js';

export interface SimulatePorts {
	/** For `wallMs` of the result alone; without it that is 0. */
	readonly nowMs?: () => number;
	readonly onProgress?: (progress: SimulationProgress) => void;
	/** Asked between slices: true ends the run, and what there is of it is given as partial. */
	readonly aborted?: () => boolean;
}

const SLICE_EVENTS = 1 << 14;

/**
 * Runs a workload against a simulated fleet with the strategies given, one an arm. The same arguments give the same result, its digest included. Throws
 * IM_SIMULATION_*, IM_ENGINE_PROFILE_UNKNOWN, IM_ENGINE_OPTIONS_INVALID.
 */
export function simulate(
	spec: SimulationSpec,
	workload: Workload,
	arms: readonly StrategyModule[],
	ports: SimulatePorts = {},
): SimulationResult {
	const nowMs = ports.nowMs ?? (() => 0);
	const beganMs = nowMs();
	const simulation = new Simulation(spec, workload, arms);
	try {
		let aborted = false;
		while (!aborted && simulation.run(SLICE_EVENTS)) {
			ports.onProgress?.(simulation.progress);
			aborted = ports.aborted?.() ?? false;
		}
		return simulation.result(nowMs() - beganMs, aborted ? 'stopped before its end' : undefined);
	} finally {
		simulation.close();
	}
}
