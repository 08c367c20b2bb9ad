// Owns the list of scenarios.
import { consensusScenario } from './consensus/scenario.js';
import { gossipScenario } from './gossip/scenario.js';
import { meshScenario } from './mesh/scenario.js';
import type { Scenario } from './scenario.js';

export const scenarios: readonly Scenario[] = [consensusScenario, gossipScenario, meshScenario];

export function scenarioOf(name: string): Scenario | undefined {
	return scenarios.find((scenario) => scenario.name === name);
}

/** The scenario that notices a known bug. */
export function scenarioNoticing(mutation: string): Scenario | undefined {
	return scenarios.find(({ mutations }) => mutations.includes(mutation));
}
