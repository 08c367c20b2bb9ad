// Native strategies under libFuzzer and ThreadSanitizer for some seconds: the C SDK's way through a frame, what the host reads of a hostile sandbox, and the
// hand-off between the two. `npm run fuzz` goes on for longer; test/long shows each tool bugs that it must find.
import test from 'ava';
import { buildFuzzer, buildRace, fuzzTargets, runFuzzer, runRace } from '../fuzz/native.js';
import { temporaryFolder } from '../support/programs.js';

const SECONDS_EACH = 8;

for (const target of fuzzTargets) {
	test.serial(`${target}: nothing is found in ${SECONDS_EACH} seconds`, async (t) => {
		const folder = temporaryFolder(t);
		const { ok, runs, output } = await runFuzzer(target, await buildFuzzer(target, folder), folder, SECONDS_EACH);
		t.true(ok, output);
		t.true(runs > 100, output);
		t.log(`${runs} inputs`);
	});
}

test.serial('handoff: two threads find no race, and late answers are waited for', async (t) => {
	const { ok, answered, late, output } = await runRace(await buildRace(temporaryFolder(t)), 10_000);
	t.true(ok, output);
	t.is(answered + late, 10_000);
	t.true(answered > 1000, output);
	t.true(late > 0, output);
	t.log(`${answered} answered, ${late} late`);
});
