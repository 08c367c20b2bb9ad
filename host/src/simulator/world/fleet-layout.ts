// Owns the list of targets that the groups of a fleet come to: one entry an engine, in the order of the groups, with its place and its distance from a router.
import { MeshError } from '@infermesh/proto';
import type { TargetSpec } from '../../fleet/registry.js';
import type { EngineGroup, NetworkSpec } from '../spec.js';
import { simulationErrors } from './errors.js';

export interface SimTarget {
	readonly index: number;
	readonly id: string;
	readonly group: EngineGroup;
	readonly origin: string;
}

/** Throws IM_SIMULATION_FLEET. */
export function layOut(fleet: readonly EngineGroup[]): readonly SimTarget[] {
	const targets: SimTarget[] = [];
	for (const group of fleet) {
		if (!Number.isInteger(group.count) || group.count < 1)
			throw new MeshError(simulationErrors, 'IM_SIMULATION_FLEET', `group ${group.id} has ${group.count} engines`);
		for (let at = 0; at < group.count; at++) {
			const index = targets.length;
			const id = group.count === 1 ? group.id : `${group.id}${at}`;
			targets.push({
				index,
				id,
				group,
				origin: `http://10.${index >>> 16}.${(index >>> 8) & 255}.${index & 255}:8000`,
			});
		}
	}
	if (new Set(targets.map(({ id }) => id)).size !== targets.length)
		throw new MeshError(simulationErrors, 'IM_SIMULATION_FLEET', 'two targets have one id');
	if (targets.length === 0) throw new MeshError(simulationErrors, 'IM_SIMULATION_FLEET', 'it has no engine');
	return targets;
}

/** The target as an operator would tell of it. */
export function targetSpecOf({ id, group, origin }: SimTarget, model: string): TargetSpec {
	return {
		id,
		url: origin,
		models: [model],
		runtime: 'vllm',
		apiKey: undefined,
		upstreamModel: undefined,
		fetchesPrefixes: group.fetches,
		revision: undefined,
		quant: undefined,
		weight: group.weight,
		role: group.role,
		node: id,
		zone: group.zone,
		region: group.region,
		costPerHour: 0,
		metricsPath: '/metrics',
		healthPath: '/health',
	};
}

interface Place {
	readonly zone: string;
	readonly region: string;
}

/** How far two places are, as the fabric says it. */
export function linkClassOf(a: Place, b: Place): 'same_zone' | 'same_region' | 'wan' {
	if (a.region !== b.region) return 'wan';
	return a.zone === b.zone ? 'same_zone' : 'same_region';
}

/** One way between two places. */
export function oneWayMs(network: NetworkSpec, a: Place, b: Place): number {
	const far = linkClassOf(a, b);
	return far === 'wan' ? network.otherRegionMs : far === 'same_zone' ? network.sameZoneMs : network.sameRegionMs;
}
