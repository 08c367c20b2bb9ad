// Owns which simulations a scenario asks for: the axes multiplied out, in an order in which strategies of one replication stand side by side,
// so that what is there after an interrupt is paired. Pure: a scenario in, cells out.
import { MeshError } from '@infermesh/proto';
import type { Segment, SimulationScenario, VariantSpec } from '../scenario/document.js';
import type { SimulationSpec, SloSpec } from '../spec.js';
import { gridErrors } from './errors.js';

export const CELLS_MAX = 20_000;
/** Up to so many cells all have timelines; beyond, only those of the first seed. */
const TIMELINE_CELLS_MAX = 512;

/** What is held fixed over loads and seeds. Names are '' where the scenario has no such axis. */
export interface Setting {
	readonly variant: string;
	readonly faults: string;
	readonly segment: Segment;
}

/** One replication: strategies that share it meet the same draws. */
export interface Replication extends Setting {
	/** As the scenario writes it: a speed, or a share of a capacity. */
	readonly load: number;
	readonly speed: number;
	readonly seed: number;
}

export interface Cell {
	readonly replication: Replication;
	/** Index of the strategy. */
	readonly strategy: number;
	readonly spec: SimulationSpec;
}

/** Every combination of what is held fixed. */
export function settingsOf({ grid }: SimulationScenario): Setting[] {
	const names = (axis: Readonly<Record<string, unknown>>): string[] =>
		Object.keys(axis).length === 0 ? [''] : Object.keys(axis);
	return names(grid.variants).flatMap((variant) =>
		names(grid.faults).flatMap((faults) => grid.segments.map((segment) => ({ variant, faults, segment }))),
	);
}

export function seedsOf({ grid, seed }: SimulationScenario): readonly number[] {
	if (typeof grid.seeds !== 'number') return grid.seeds;
	return Array.from({ length: grid.seeds }, (_, index) => (seed + index) >>> 0);
}

/** Replications of the grid; `speedOf` turns a load into a speed. Throws IM_SIMULATE_TOO_LARGE. */
export function replicationsOf(
	scenario: SimulationScenario,
	speedOf: (setting: Setting, load: number) => number,
	strategies: number,
): Replication[] {
	const settings = settingsOf(scenario);
	const seeds = seedsOf(scenario);
	const loads = scenario.grid.loads.values;
	const cells = settings.length * loads.length * seeds.length * strategies;
	if (cells > CELLS_MAX)
		throw new MeshError(gridErrors, 'IM_SIMULATE_TOO_LARGE', `${cells} cells; at most ${CELLS_MAX}`, {
			where: scenario.name,
		});
	return settings.flatMap((setting) =>
		loads.flatMap((load) => seeds.map((seed) => replicationOf(setting, load, speedOf(setting, load), seed))),
	);
}

export function replicationOf(
	{ variant, faults, segment }: Setting,
	load: number,
	speed: number,
	seed: number,
): Replication {
	return { variant, faults, segment, load, speed, seed };
}

/** Cells of the replications, one a strategy. */
export function cellsOf(
	scenario: SimulationScenario,
	replications: readonly Replication[],
	strategies: number,
): Cell[] {
	const everywhere = replications.length * strategies <= TIMELINE_CELLS_MAX;
	const firstSeed = replications[0]?.seed;
	return replications.flatMap((replication) => {
		const bins = everywhere || replication.seed === firstSeed ? scenario.timelineBins : 0;
		const spec = { ...specOf(scenario, replication, replication.speed, replication.seed), timelineBins: bins };
		return Array.from({ length: strategies }, (_, strategy) => ({ replication, strategy, spec }));
	});
}

/** The simulation of a scenario under one setting. */
export function specOf(scenario: SimulationScenario, setting: Setting, speed: number, seed: number): SimulationSpec {
	const variant: VariantSpec = scenario.grid.variants[setting.variant] ?? {};
	const { assignment } = scenario;
	return {
		name: [scenario.name, setting.variant, setting.faults, setting.segment === 'all' ? '' : setting.segment]
			.filter((part) => part !== '')
			.join(', '),
		seed,
		speed: speed * scenario.speed * (variant.speed ?? 1),
		model: scenario.model,
		fleet: scenario.fleet.map((group) => ({ ...group, ...variant.fleet })),
		network: { ...scenario.network, ...variant.network },
		signals: { ...scenario.signals, ...variant.signals },
		router: { ...scenario.router, ...variant.router },
		faults: [...scenario.faults, ...(scenario.grid.faults[setting.faults] ?? [])],
		assignment:
			assignment.kind === 'single'
				? { kind: 'single', arm: 0 }
				: assignment.kind === 'request'
					? { kind: 'request', share: assignment.share }
					: assignment.kind === 'split'
						? { kind: 'split' }
						: { kind: 'switchback', blockMs: assignment.blockMs },
		slo: { ...scenario.slo, ...variant.slo },
		drainMs: scenario.drainMs,
		keepRequests: true,
		timelineBins: 0,
	};
}

/** Objectives beside the first, by name. */
export function slosOf(scenario: SimulationScenario): Readonly<Record<string, SloSpec>> {
	return scenario.grid.slos;
}

/** How a reader is told of a setting; '' when there is nothing to tell. */
export function settingName({ variant, faults, segment }: Setting): string {
	return [variant, faults, segment === 'all' ? '' : segment.replace('_', ' ')].filter((part) => part !== '').join(', ');
}
