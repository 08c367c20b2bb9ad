// Owns the tests that every scenario has: nothing wrong is ever seen and all come right again, each seed is the same run twice, faults and work really happen,
// and each known bug is noticed within a bounded number of seeds.
import test from 'ava';
import { hunt } from './proof.js';
import { runSeed, type Scenario } from './scenario.js';
import { Counters } from './world/counters.js';

export interface ScenarioTest {
	/** Run twice each, from 1. */
	readonly seeds: number;
	/** The least that each figure must come to over all of them: work was done. */
	readonly atLeast: Readonly<Record<string, number>>;
}

/** Seeds of one test: a machine that is busy otherwise still ends some test within AVA's timeout. */
const seedsPerTest = 5;

/** One after the other, since all of them only compute. */
export function registerScenario(scenario: Scenario, { seeds, atLeast }: ScenarioTest): void {
	const counters = new Counters();
	const figures = new Map<string, number>();

	for (let from = 1; from <= seeds; from += seedsPerTest) {
		const until = Math.min(seeds, from + seedsPerTest - 1);
		test.serial(`${scenario.name}: seeds ${from} to ${until} are sound and run the same twice`, async (t) => {
			for (let seed = from; seed <= until; seed++) {
				const result = await runSeed(scenario, seed);
				if (result.violation !== undefined) throw new Error(`seed ${seed}`, { cause: result.violation });
				const again = await runSeed(scenario, seed);
				t.is(again.hash, result.hash, `two runs of seed ${seed} differ`);
				counters.addAll(result.counters);
				for (const [name, figure] of Object.entries(result.figures))
					figures.set(name, (figures.get(name) ?? 0) + figure);
			}
		});
	}

	test.serial(`${scenario.name}: faults and work really happened`, (t) => {
		t.log(Object.fromEntries(figures));
		for (const name of scenario.mustHappen) t.true(counters.get(name) > 0, `never in ${seeds} seeds: ${name}`);
		for (const [name, least] of Object.entries(atLeast)) {
			const came = figures.get(name) ?? 0;
			t.true(came >= least, `${name}: ${came} in ${seeds} seeds, at least ${least} are expected`);
		}
	});

	for (const mutation of scenario.mutations) {
		test.serial(`${scenario.name}: the bug ${mutation} is noticed`, async (t) => {
			const { result, seedsTried } = await hunt(scenario, mutation);
			t.log(`seed ${result?.seed} (${seedsTried} tried): ${result?.violation?.message}`);
			t.not(result, undefined, `not in ${seedsTried} seeds`);
		});
	}
}
