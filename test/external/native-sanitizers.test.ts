// The addon of native strategies under AddressSanitizer and UndefinedBehaviorSanitizer, which come with Debian's g++: decisions, crashes, hangs and wild
// writes, without a finding; and with a bug put into the addon, with one. The sandbox itself cannot be built so: what a sanitizer needs of the kernel is
// what the sandbox is there to refuse.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonArgs } from '@infermesh/adapters';
import test, { type ExecutionContext } from 'ava';
import { copySources, plant, type Sources, treeSources } from '../fuzz/native.js';
import { hostileFirst, writeNativeProject } from '../support/native.js';
import { temporaryFolder } from '../support/programs.js';

const runtime = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout?.trim() ?? '';
const child = fileURLToPath(new URL('./native-sanitized-child.js', import.meta.url));

/** Runs the child over an addon built with the sanitizers. */
function runSanitized(t: ExecutionContext, folder: string, { host, sdk }: Sources) {
	t.true(path.isAbsolute(runtime) && existsSync(runtime), 'g++ has AddressSanitizer (Debian: it comes with g++)');
	t.timeout(170_000);
	const project = path.join(folder, 'hostile');
	writeNativeProject(project, { name: 'hostile', first: hostileFirst });
	const addon = path.join(folder, 'addon.node');
	const sanitizers = ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', `-I${sdk}`];
	execFileSync('g++', [path.join(host, 'addon.cc'), ...sanitizers, ...addonArgs(), '-o', addon]);
	return spawnSync(process.execPath, [child, project, addon], {
		encoding: 'utf8',
		timeout: 150_000,
		// Node itself keeps memory until it ends: leaks are the soak's to find.
		env: { ...process.env, LD_PRELOAD: runtime, ASAN_OPTIONS: 'detect_leaks=0' },
	});
}

test.serial('decisions and failures of native strategies pass the sanitizers', (t) => {
	const { status, stdout, stderr } = runSanitized(t, temporaryFolder(t), treeSources);
	t.is(status, 0, stderr);
	t.notRegex(stderr, /AddressSanitizer|runtime error/);
	const ended = JSON.parse(stdout) as Record<string, number>;
	t.is(ended['none'], 800, stdout);
	t.is((ended['trap'] ?? 0) + (ended['deadline'] ?? 0) + (ended['corrupt'] ?? 0), 20, stdout);
});

test.serial('a sandbox’s library that is let go of too early is found', (t) => {
	const folder = temporaryFolder(t);
	const sources = copySources(folder);
	// Its number is read after its end, as a start that forgot to keep the library would.
	plant(
		path.join(sources.host, 'process.h'),
		'return child_.start(',
		'auto *gone = new File(*&library_->number); delete gone; library_->number += gone->number;\n\t\treturn child_.start(',
	);
	const { status, stderr } = runSanitized(t, folder, sources);
	t.not(status, 0);
	t.regex(stderr, /AddressSanitizer: heap-use-after-free/);
});
