// Whole clusters from seeds: nothing wrong is ever seen, a majority that heals gets on, two runs of one seed are the same run, faults and work really happen,
// and each known bug is noticed.
import test from 'ava';
import { failedSeeds } from '../corpus.js';
import { hunt } from '../proof.js';
import { runSeed } from '../scenario.js';
import { Counters } from '../world/counters.js';
import { consensusScenario as scenario } from './scenario.js';

const seeds = 40;

test('clusters keep every invariant, heal, and run the same twice', async (t) => {
	const counters = new Counters();
	let answered = 0;
	for (let seed = 1; seed <= seeds; seed++) {
		const result = await runSeed(scenario, seed);
		if (result.violation !== undefined) throw new Error(`seed ${seed}`, { cause: result.violation });
		counters.addAll(result.counters);
		answered += result.figures['answered'] ?? 0;
		if (seed > seeds / 2) continue;
		const again = await runSeed(scenario, seed);
		t.is(again.hash, result.hash, `two runs of seed ${seed} differ`);
	}
	for (const name of scenario.mustHappen) t.true(counters.get(name) > 0, `never in ${seeds} seeds: ${name}`);
	t.true(answered > seeds * 50, `only ${answered} calls were answered`);
	t.log(
		`${answered} calls answered, ${counters.get('fault: crash')} crashes, ${counters.get('fault: partition')} partitions`,
	);
});

test('seeds that once failed do not fail', async (t) => {
	for (const { seed, note } of failedSeeds().filter((kept) => kept.scenario === scenario.name)) {
		const { violation } = await runSeed(scenario, seed);
		t.is(violation, undefined, `seed ${seed} (${note})`);
	}
	t.pass();
});

for (const mutation of scenario.mutations) {
	test(`the bug ${mutation} is noticed`, async (t) => {
		const { result, seedsTried } = await hunt(scenario, mutation);
		t.log(`seed ${result?.seed} (${seedsTried} tried): ${result?.violation?.message}`);
		t.not(result, undefined, `not in ${seedsTried} seeds`);
	});
}
