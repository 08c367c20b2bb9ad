// Native strategies across machines and versions: libraries that a compiler has made for other processors are refused by name; the addon, built once, loads in
// other versions of Node than the one it was built by.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
	AdmissionService,
	admissionServiceDefaults,
	buildNativeEngine,
	fuelDefaults,
	systemClock,
} from '@infermesh/host';
import { cSdkDir, Status } from '@infermesh/sdk';
import test from 'ava';
import { nativeLibrary, writeNativeProject } from '../support/native.js';
import { program, run, temporaryFolder } from '../support/programs.js';

const others = [
	['aarch64-linux-gnu', process.arch === 'arm64' ? undefined : 'IM_NATIVE_PLATFORM', /linux-arm64/],
	['x86_64-linux-gnu', process.arch === 'x64' ? undefined : 'IM_NATIVE_PLATFORM', /linux-x64/],
	['riscv64-linux-gnu', 'IM_NATIVE_PLATFORM', /machine 243/],
	['i386-linux-gnu', 'IM_NATIVE_ELF', /64-bit/],
	['powerpc64-linux-gnu', 'IM_NATIVE_ELF', /little-endian/],
] as const;

for (const [target, code, says] of others) {
	if (code === undefined) continue;
	test.serial(`a library for ${target} is refused: ${code}`, async (t) => {
		const dir = temporaryFolder(t);
		writeNativeProject(dir, { name: 'foreign' });
		writeFileSync(
			path.join(dir, 'infermesh_manifest.h'),
			'#define IM_TOP_K 4u\nstatic const char im_manifest[] = "{}";\n',
		);
		const object = path.join(dir, 'foreign.o');
		const library = path.join(dir, 'foreign.so');
		const clang = program('clang', 'clang');
		const built = await run(clang, [
			`--target=${target}`,
			'-O1',
			'-fPIC',
			'-ffreestanding',
			'-fvisibility=hidden',
			`-I${cSdkDir}`,
			`-I${dir}`,
			'-c',
			path.join(dir, 'strategy.c'),
			'-o',
			object,
		]);
		t.is(built.code, 0, built.output);
		const linked = await run(program('ld.lld', 'lld'), ['-shared', '-z', 'relro', '-z', 'now', object, '-o', library]);
		t.is(linked.code, 0, linked.output);
		const service = new AdmissionService({ ...admissionServiceDefaults, timeoutMs: 60_000 }, systemClock);
		const { report } = await service.admit(readFileSync(library), {
			fuel: fuelDefaults,
			moduleBytesMax: 1024 * 1024,
			sourceMap: undefined,
			calibration: { sizes: [16], decisions: 10, seed: 1 },
		});
		t.is(report.refusals[0]?.code, code, JSON.stringify(report.refusals));
		t.regex(report.refusals[0]?.message ?? '', says);
	});
}

/** The one the tests run by, the system's, and what `INFERMESH_TEST_NODES` names (paths with colons between). */
const nodes = [process.execPath, '/usr/bin/node', ...(process.env['INFERMESH_TEST_NODES'] ?? '').split(':')].filter(
	(node) => node !== '' && existsSync(node),
);

test.serial('the addon loads in every Node there is here, and decides in a sandbox and inline', async (t) => {
	t.timeout(170_000);
	const { addon, sandbox } = await buildNativeEngine();
	const library = path.join(temporaryFolder(t), 'in-c.so');
	writeFileSync(library, await nativeLibrary({ name: 'in_c' }));
	const child = fileURLToPath(new URL('./native-node-child.js', import.meta.url));
	for (const node of nodes) {
		const seen = JSON.parse(execFileSync(node, [child, addon, sandbox, library], { encoding: 'utf8' })) as object;
		t.like(seen, {
			name: 'in_c',
			process: { status: Status.ok, count: 4 },
			inline: { status: Status.ok, count: 4 },
		});
		t.log(JSON.stringify(seen));
	}
	t.true(nodes.length > 0);
});
