import { swimMutations } from '@infermesh/fabric';
import test from 'ava';
import { swarm } from './swarm.js';

const seeds = 40;
/** Seeds within which each known bug must show. */
const proofSeeds = 20;

test(`random runs keep the invariants and come right, seeds 1 to ${seeds}`, (t) => {
	for (let seed = 1; seed <= seeds; seed++) t.deepEqual(swarm(seed).broken, [], `seed ${seed}`);
});

test('a seed gives the same run twice', (t) => {
	for (const seed of [1, 7, 13]) t.deepEqual(swarm(seed), swarm(seed), `seed ${seed}`);
});

for (const mutation of swimMutations) {
	test(`the known bug ${mutation} is caught within ${proofSeeds} seeds`, (t) => {
		for (let seed = 1; seed <= proofSeeds; seed++) {
			const { broken } = swarm(seed, [mutation]);
			if (broken.length === 0) continue;
			t.log(`seed ${seed}: ${broken[0]}`);
			t.pass();
			return;
		}
		t.fail(`${mutation} went unnoticed`);
	});
}
