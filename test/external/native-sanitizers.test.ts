// The addon of native strategies under AddressSanitizer and UndefinedBehaviorSanitizer, which come with Debian's g++: decisions, crashes, hangs and wild
// writes, without a finding. The sandbox itself cannot be built so: what a sanitizer needs of the kernel is what the sandbox is there to refuse.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonArgs } from '@infermesh/adapters';
import { cSdkDir } from '@infermesh/sdk';
import test from 'ava';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const runtime = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout?.trim() ?? '';

const misdeeds = `	switch (im_request_in(frame)->tokens_out_max) {
	case 6661: *(volatile int *)8 = 1; break;
	case 6662: for (volatile int on = 1; on;) {} break;
	case 6663: for (int i = 0; i < 4096; i++) ((volatile uint8_t *)frame)[i] = 0xff; return 0;
	}
`;

test('decisions and failures of native strategies pass the sanitizers', (t) => {
	t.true(path.isAbsolute(runtime) && existsSync(runtime), 'g++ has AddressSanitizer (Debian: it comes with g++)');
	t.timeout(170_000);
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-sanitized-'));
	t.teardown(() => rmSync(folder, { recursive: true }));
	const project = path.join(folder, 'hostile');
	cpSync(path.join(root, 'templates/strategy-c'), project, { recursive: true });
	writeFileSync(
		path.join(project, 'strategy.yaml'),
		'name: hostile\nversion: 1.0.0\nabi: "1.0"\nsource: strategy.c\ncolumns: [load, weight, slow_start]\n',
	);
	const source = path.join(project, 'strategy.c');
	const rank = 'static int32_t rank(uint8_t *frame) {\n';
	writeFileSync(source, readFileSync(source, 'utf8').replace(rank, `${rank}${misdeeds}`));
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
