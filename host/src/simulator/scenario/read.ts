// Owns the way from the text of a scenario to a checked SimulationScenario: syntax, schema, then check.ts; every problem with
// `file:line:column`, all told at once. Files beside the scenario (traces, latencies) are named from its folder.
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import { Origins } from '../../config/origins.js';
import { fillDefaults, isTree, type SchemaNode, type Tree } from '../../config/tree.js';
import {
	type Path,
	type Problem,
	readYaml,
	schemaCheck,
	schemaProblems,
	type YamlSource,
} from '../../project/scenario/yaml-source.js';
import type { EngineGroup } from '../spec.js';
import { findings } from './check.js';
import type { SimulationScenario, StrategyChoice } from './document.js';
import { simulationScenarioErrors } from './errors.js';
import { latencyOf } from './latency.js';
import { scenarioNode, scenarioSchema } from './schema.js';

/** Largest scenario file. */
export const SCENARIO_BYTES_MAX = 1024 * 1024;
const PROBLEMS_SHOWN_MAX = 8;

export interface ReadOptions {
	/** What problems call it; paths in it are from its folder. */
	readonly file: string;
	/** Reads a text file; throws when it cannot. */
	readonly readText: (path: string) => string;
}

const validate = schemaCheck(scenarioSchema);

/** Parses and checks a scenario. Throws IM_SIMULATION_SCENARIO_SYNTAX and _INVALID. */
export function readScenario(text: string, options: ReadOptions): SimulationScenario {
	const { file } = options;
	if (text.length > SCENARIO_BYTES_MAX)
		throw invalid([{ where: file, message: `the file is larger than ${SCENARIO_BYTES_MAX} bytes` }]);
	const read = readYaml(file, text);
	if (!read.ok) throw raise('IM_SIMULATION_SCENARIO_SYNTAX', read.problems);
	const filled = fillDefaults(scenarioNode, read.source.value ?? {}, [], new Origins());
	const source = read.source.withValue(filled);
	const problems = schemaProblems(validate, source);
	if (problems.length > 0) throw invalid(problems);
	return complete(toCamel(scenarioNode, filled) as SimulationScenario, source, options);
}

/** Latencies resolved, the trace's path made whole, references checked. */
function complete(written: SimulationScenario, source: YamlSource, options: ReadOptions): SimulationScenario {
	const folder = path.dirname(options.file);
	const problems: Problem[] = [];
	const resolve = <G extends Partial<EngineGroup>>(group: G, at: Path): G => {
		if (group.latency === undefined && !('id' in group)) return group;
		const result = latencyOf(group.latency, (name) => options.readText(path.resolve(folder, name)));
		if (result.ok) return { ...group, latency: result.latency };
		const place = [...at, 'latency', ...(result.key === undefined ? [] : [result.key])];
		problems.push({ where: source.at(place), message: `\`${place.join('.')}\` ${result.message}` });
		return group;
	};
	const variants = Object.entries(written.grid.variants).map(([name, variant]) => [
		name,
		variant.fleet === undefined
			? variant
			: { ...variant, fleet: resolve(variant.fleet, ['grid', 'variants', name, 'fleet']) },
	]);
	const { trace } = written.workload;
	const scenario: SimulationScenario = {
		...written,
		fleet: written.fleet.map((group, index) => resolve(group, ['fleet', index])),
		workload: trace === undefined ? written.workload : { ...written.workload, trace: path.resolve(folder, trace) },
		grid: {
			...written.grid,
			variants: Object.fromEntries(variants) as SimulationScenario['grid']['variants'],
			strategies: written.grid.strategies.map((strategy) => besideFile(strategy, folder)),
		},
	};
	for (const finding of findings(scenario))
		problems.push({ where: source.at(finding.path), message: `\`${finding.path.join('.')}\`: ${finding.message}` });
	if (problems.length > 0) throw invalid(problems);
	return scenario;
}

/** A path is from the scenario's folder, and is called as it is written; a name is one that ships. */
function besideFile(strategy: StrategyChoice, folder: string): StrategyChoice {
	if (!/[./\\]/.test(strategy.name)) return strategy;
	const { name, label = name, config } = strategy;
	return { name: path.resolve(folder, name), label, config };
}

/** Keys of the schema in camel case; keys that the author chose stay. */
function toCamel(schema: SchemaNode, value: unknown): unknown {
	if (Array.isArray(value)) return value.map((inner) => toCamel(schema.items ?? {}, inner));
	if (!isTree(value)) return value;
	const out: Tree = {};
	for (const [key, inner] of Object.entries(value)) {
		const known = schema.properties?.[key];
		const child = known ?? Object.values(schema.patternProperties ?? {})[0] ?? {};
		out[known === undefined ? key : camelOf(key)] = toCamel(child, inner);
	}
	return out;
}

function camelOf(key: string): string {
	return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function invalid(problems: readonly Problem[]): MeshError {
	return raise('IM_SIMULATION_SCENARIO_INVALID', problems);
}

function raise(code: keyof typeof simulationScenarioErrors, problems: readonly Problem[]): MeshError {
	const [first] = problems;
	const lines = problems.slice(1, PROBLEMS_SHOWN_MAX).map((problem) => `${problem.where}: ${problem.message}`);
	if (problems.length > PROBLEMS_SHOWN_MAX) lines.push(`… and ${problems.length - PROBLEMS_SHOWN_MAX} more`);
	return new MeshError(simulationScenarioErrors, code, [first?.message ?? '', ...lines].join('\n  '), {
		where: first?.where ?? '',
		details: { problems: problems.slice(0, 64) },
	});
}
