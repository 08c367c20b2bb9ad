// Native strategies under libFuzzer and ThreadSanitizer for some seconds: the C SDK's way through a frame, what the host reads of a hostile sandbox, and the
// hand-off between the two. Each tool is shown a bug as well, and must find it. `npm run fuzz` goes on for longer.
import path from 'node:path';
import test from 'ava';
import { buildFuzzer, buildRace, copySources, fuzzTargets, plant, runFuzzer, runRace } from '../fuzz/native.js';
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

const bugs = [
	[
		'frame',
		'sdk/infermesh.h',
		'for (uint32_t row = 0; row < rows; row += 4)',
		'for (uint32_t row = 0; row <= rows; row += 4)',
	],
	['frame', 'sdk/infermesh.h', 'tied--;', ''],
	['page', 'host/handoff.h', 'i < MESSAGE_BYTES - 1', 'i < MESSAGE_BYTES + 40'],
	['page', 'host/contract.h', 'strategy->struct_bytes < sizeof(im_native_strategy)', 'strategy->struct_bytes < 16'],
] as const;

for (const [target, file, right, wrong] of bugs) {
	test.serial(`${target}: the seeds alone find \`${wrong}\` in the place of \`${right}\``, async (t) => {
		const folder = temporaryFolder(t);
		const sources = copySources(folder);
		plant(path.join(folder, file), right, wrong);
		const { ok, output } = await runFuzzer(target, await buildFuzzer(target, folder, sources), folder, 0);
		t.false(ok, output);
		t.regex(output, /ERROR: (AddressSanitizer|libFuzzer)|runtime error/);
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

for (const [right, wrong] of [
	['control_->request.store(request);', 'control_->request.store(request, std::memory_order_relaxed);'],
	['control->done.store(served);', 'control->done.store(served, std::memory_order_relaxed);'],
	['if (!late_) return 0;', 'late_ = false; return 0;'],
] as const) {
	test.serial(`handoff: \`${wrong}\` is a race`, async (t) => {
		const folder = temporaryFolder(t);
		const sources = copySources(folder);
		plant(path.join(sources.host, 'handoff.h'), right, wrong);
		const { ok, output } = await runRace(await buildRace(folder, sources), 2000);
		t.false(ok, output);
		t.regex(output, /ThreadSanitizer: data race/);
	});
}
