// The kept seeds: what once failed does not fail any more and is the same run twice; what is kept names what exists.
import { readFileSync } from 'node:fs';
import test from 'ava';
import { failedSeeds, noticedMutations } from './corpus.js';
import { runSeed } from './scenario.js';
import { scenarioNoticing, scenarioOf, scenarios } from './scenarios.js';

test('seeds that once failed do not fail', async (t) => {
	for (const { scenario: name, seed, note } of failedSeeds()) {
		const scenario = scenarioOf(name);
		if (scenario === undefined) throw new Error(`a seed of ${name} is kept, which is no scenario`);
		const [first, again] = [await runSeed(scenario, seed), await runSeed(scenario, seed)];
		t.is(first.violation, undefined, `${name} seed ${seed} (${note})`);
		t.is(again.hash, first.hash, `two runs of ${name} seed ${seed} differ`);
	}
	t.true(failedSeeds().length > 0);
});

test('seeds are kept for known bugs only', (t) => {
	for (const mutation of noticedMutations()) t.not(scenarioNoticing(mutation), undefined, mutation);
});

test('the page of the fabric names every scenario and every known bug', (t) => {
	const page = readFileSync(new URL('../../../docs/fabric.md', import.meta.url), 'utf8');
	for (const { name, mutations } of scenarios)
		for (const word of [name, ...mutations])
			t.true(page.includes(`\`${word}\``), `docs/fabric.md does not name ${word}`);
});
