// The addon of native strategies under AddressSanitizer and UndefinedBehaviorSanitizer, which come with Debian's g++: decisions, crashes, hangs and wild
// writes, without a finding. The sandbox itself cannot be built so: what a sanitizer needs of the kernel is what the sandbox is there to refuse.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonArgs } from '@infermesh/adapters';
import { cSdkDir } from '@infermesh/sdk';
import test from 'ava';
import { hostileFirst, writeNativeProject } from '../support/native.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const runtime = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout?.trim() ?? '';

test('decisions and failures of native strategies pass the sanitizers', (t) => {
	t.true(path.isAbsolute(runtime) && existsSync(runtime), 'g++ has AddressSanitizer (Debian: it comes with g++)');
	t.timeout(170_000);
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-sanitized-'));
	t.teardown(() => rmSync(folder, { recursive: true }));
	const project = path.join(folder, 'hostile');
	writeNativeProject(project, { name: 'hostile', first: hostileFirst });
	const addon = path.join(folder, 'addon.node');
	const sanitizers = ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', `-I${cSdkDir}`];
	execFileSync('g++', [path.join(root, 'host/native/addon.cc'), ...sanitizers, ...addonArgs(), '-o', addon]);
	const child = fileURLToPath(new URL('./native-sanitized-child.js', import.meta.url));
	const { status, stdout, stderr } = spawnSync(process.execPath, [child, project, addon], {
		encoding: 'utf8',
		timeout: 150_000,
		// Node itself keeps memory until it ends: leaks are the soak's to find.
		env: { ...process.env, LD_PRELOAD: runtime, ASAN_OPTIONS: 'detect_leaks=0' },
	});
	t.is(status, 0, stderr);
	t.notRegex(stderr, /AddressSanitizer|runtime error/);
	const ended = JSON.parse(stdout) as Record<string, number>;
	t.is(ended['none'], 800, stdout);
	t.is((ended['trap'] ?? 0) + (ended['deadline'] ?? 0) + (ended['corrupt'] ?? 0), 20, stdout);
});
