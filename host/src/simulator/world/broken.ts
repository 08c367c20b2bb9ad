// Owns how a broken invariant of the simulation is said.
import { MeshError } from '@infermesh/proto';
import { simulationErrors } from './errors.js';

export function broken(what: string): MeshError {
	return new MeshError(simulationErrors, 'IM_SIMULATION_BROKEN', what);
}
