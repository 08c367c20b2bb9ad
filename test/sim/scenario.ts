// Owns what a simulated scenario is to whoever runs seeds of it: something that is made from a seed, runs to its end or to a violation, and tells what it
// saw. The command and the tests run all of them the same way.
import type { Counters } from './world/counters.js';
import type { SimWorld } from './world/sim-world.js';

export interface ScenarioOptions {
	readonly seed: number;
	/** Keep readable lines. */
	readonly readable: boolean;
	/** Known bug to switch on. */
	readonly mutation: string | undefined;
}

export interface ScenarioRun {
	readonly world: SimWorld;
	/** Throws when something is wrong. */
	run(): Promise<void>;
	/** Numbers that tell how much was done; part of the hash. */
	figures(): Readonly<Record<string, number>>;
}

export interface Scenario {
	readonly name: string;
	readonly summary: string;
	/** Known bugs it is expected to notice. */
	readonly mutations: readonly string[];
	/** Counters that a few dozen seeds together must have raised: a run without faults or without work proves nothing. */
	readonly mustHappen: readonly string[];
	start(options: ScenarioOptions): ScenarioRun;
}

export interface SeedResult {
	readonly scenario: string;
	readonly seed: number;
	readonly hash: string;
	readonly events: number;
	readonly virtualS: number;
	/** What was wrong; undefined when nothing was. */
	readonly violation: Error | undefined;
	readonly counters: Counters;
	readonly figures: Readonly<Record<string, number>>;
	readonly lines: readonly string[];
}

export async function runSeed(
	scenario: Scenario,
	seed: number,
	options: { readonly readable?: boolean; readonly mutation?: string } = {},
): Promise<SeedResult> {
	const { readable = false, mutation } = options;
	const run = scenario.start({ seed, readable, mutation });
	let violation: Error | undefined;
	try {
		await run.run();
	} catch (error) {
		violation = error instanceof Error ? error : new Error(String(error));
	}
	const { world } = run;
	const figures = run.figures();
	for (const figure of Object.values(figures)) world.trace.mix(figure);
	return {
		scenario: scenario.name,
		seed,
		hash: world.trace.hash,
		events: world.trace.events,
		virtualS: world.nowUs / 1e6,
		violation,
		counters: world.counters,
		figures,
		lines: world.trace.lines,
	};
}
