// Owns finding a scenario by what a user calls it: the name of one that ships (a YAML file in the package's scenarios/ folder), or a path.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { didYouMean } from '@infermesh/sdk';
import type { SimulationScenario } from './document.js';
import { simulationScenarioErrors } from './errors.js';
import { readScenario } from './read.js';

const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', 'scenarios');
const SUFFIX = '.yaml';
/** The scenario used when none is named. */
export const SCENARIO_DEFAULT = 'default';

/** Names of the scenarios that ship, sorted. */
export function shippedScenarios(): string[] {
	return readdirSync(folder)
		.filter((file) => file.endsWith(SUFFIX))
		.map((file) => file.slice(0, -SUFFIX.length))
		.sort();
}

/** Reads the scenario `name`: shipped, or a file. Throws IM_SIMULATION_SCENARIO_*. */
export function openScenario(name: string, readText: (file: string) => string): SimulationScenario {
	const shipped = shippedScenarios();
	if (shipped.includes(name)) {
		const file = path.join(folder, `${name}${SUFFIX}`);
		return readScenario(readText(file), { file, readText });
	}
	let text: string;
	try {
		text = readText(name);
	} catch (cause) {
		const missing = !existsSync(name) && !/[./]/.test(name);
		const message = missing
			? `no scenario \`${name}\` ships, and there is no such file${didYouMean(name, shipped)}`
			: `the scenario cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
		throw new MeshError(simulationScenarioErrors, 'IM_SIMULATION_SCENARIO_NOT_FOUND', message, { where: name, cause });
	}
	return readScenario(text, { file: name, readText });
}
