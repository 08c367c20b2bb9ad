// Owns what the schema of a scenario cannot say: names that must exist or be unique, times in order, expressions that must parse. Tells
// everything at once, each problem with the path it stands at.
import { MeshError } from '@infermesh/proto';
import { didYouMean } from '@infermesh/sdk';
import { engineProfiles } from '../../engine/model/profiles.js';
import type { Path } from '../../project/scenario/yaml-source.js';
import { parseUntil } from '../grid/metrics.js';
import type { EngineGroup, FaultSpec } from '../spec.js';
import type { SimulationScenario } from './document.js';
import { ENGINES_MAX } from './schema.js';

export interface Finding {
	readonly path: Path;
	readonly message: string;
}

/** Ids of the targets of a group. */
export function targetIds(group: Pick<EngineGroup, 'id' | 'count'>): string[] {
	return group.count === 1 ? [group.id] : Array.from({ length: group.count }, (_, index) => `${group.id}${index}`);
}

/** Everything wrong with a scenario that passed its schema; paths are those of the file (snake case). */
export function findings(scenario: SimulationScenario): Finding[] {
	return [
		...fleetFindings(scenario),
		...faultFindings(scenario),
		...gridFindings(scenario),
		...workloadFindings(scenario),
	];
}

function* fleetFindings({ fleet, grid }: SimulationScenario): Generator<Finding> {
	const total = fleet.reduce((sum, group) => sum + group.count, 0);
	if (total > ENGINES_MAX) {
		yield { path: ['fleet'], message: `${total} engines; at most ${ENGINES_MAX}` };
		return;
	}
	const seen = new Set<string>();
	for (const [index, group] of fleet.entries()) {
		yield* profileFindings(group.profile, ['fleet', index, 'profile']);
		const twice = targetIds(group).find((id) => seen.has(id));
		if (twice !== undefined) yield { path: ['fleet', index, 'id'], message: `a second target is called \`${twice}\`` };
		for (const id of targetIds(group)) seen.add(id);
	}
	for (const [name, variant] of Object.entries(grid.variants))
		if (variant.fleet?.profile !== undefined)
			yield* profileFindings(variant.fleet.profile, ['grid', 'variants', name, 'fleet', 'profile']);
}

function* profileFindings(name: string, path: Path): Generator<Finding> {
	const known = engineProfiles().map((profile) => profile.name);
	if (known.includes(name)) return;
	const meant = didYouMean(name, known) || `; one of ${known.join(', ')}`;
	yield { path, message: `there is no engine profile \`${name}\`${meant}` };
}

function* faultFindings({ fleet, faults, grid }: SimulationScenario): Generator<Finding> {
	const ids = new Set(fleet.flatMap(targetIds));
	const one = function* (fault: FaultSpec, path: Path): Generator<Finding> {
		if (fault.target !== '*' && !ids.has(fault.target))
			yield {
				path: [...path, 'target'],
				message: `there is no target \`${fault.target}\`${didYouMean(fault.target, [...ids].slice(0, 256))}`,
			};
		if (fault.toMs !== undefined && fault.toMs <= fault.fromMs)
			yield { path: [...path, 'to_ms'], message: 'ends before it begins' };
		if (fault.kind === 'slow' && fault.factor === undefined)
			yield { path, message: '`slow` needs `factor`: how many times slower' };
		if (fault.kind === 'flapping' && fault.periodMs === undefined)
			yield { path, message: '`flapping` needs `period_ms`: the time up, and the time down' };
	};
	for (const [index, fault] of faults.entries()) yield* one(fault, ['faults', index]);
	for (const [name, set] of Object.entries(grid.faults))
		for (const [index, fault] of set.entries()) yield* one(fault, ['grid', 'faults', name, index]);
}

function* gridFindings({ grid }: SimulationScenario): Generator<Finding> {
	if (typeof grid.seeds !== 'number' && new Set(grid.seeds).size < grid.seeds.length)
		yield { path: ['grid', 'seeds'], message: 'names a seed twice' };
	if (new Set(grid.segments).size < grid.segments.length)
		yield { path: ['grid', 'segments'], message: 'names a segment twice' };
	const labels = grid.strategies.map((strategy) => strategy.label ?? strategy.name);
	for (const [index, label] of labels.entries())
		if (labels.indexOf(label) < index)
			yield {
				path: ['grid', 'strategies', index],
				message: `a second strategy is called \`${label}\`; give it a \`label\``,
			};
	if (grid.loads.of === 'speed') return;
	try {
		parseUntil(grid.loads.until);
	} catch (error) {
		if (!(error instanceof MeshError)) throw error;
		yield { path: ['grid', 'loads', 'until'], message: error.message };
	}
}

function* workloadFindings({ fleet, workload }: SimulationScenario): Generator<Finding> {
	const loaded = new Set(fleet.flatMap((group) => group.loras));
	if (loaded.size === 0) return;
	for (const [index, name] of workload.loras.names.entries())
		if (!loaded.has(name))
			yield {
				path: ['workload', 'loras', 'names', index],
				message: `no engine has the LoRA adapter \`${name}\` loaded${didYouMean(name, [...loaded])}`,
			};
}
