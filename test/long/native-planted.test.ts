// The tools that watch native strategies are shown bugs, and must find them: libFuzzer in the C SDK's way through a frame and in what the host reads of a
// hostile sandbox, ThreadSanitizer in the hand-off between the two.
import path from 'node:path';
import test from 'ava';
import { buildFuzzer, buildRace, copySources, plant, runFuzzer, runRace } from '../fuzz/native.js';
import { temporaryFolder } from '../support/programs.js';

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
