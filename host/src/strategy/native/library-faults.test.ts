// Libraries that are not what they seem: cut off at any border, with bytes changed, with code that does wrong while it is loaded or asked what it is, and
// replaced on disk while they run. Each is refused by a name or contained; nothing happens to the host.
import { mkdtempSync, readdirSync, readlinkSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { prepareStrategy } from '../../project/prepare.js';
import { createRig } from '../runtime/rig.js';
import { checkLibrary } from './check-library.js';
import { nativeLimitDefaults, patientLimits } from './code.js';
import { buildNativeEngine } from './engine.js';
import { libraryDigest, ownPlatform } from './inspect-native.js';
import { askManifest } from './manifest.js';
import { compileNative, leastQueueC, NativeBench, nativeModule } from './testing.js';

const SEED = 20_261_126;
const leastQueue = await compileNative(leastQueueC);
const engine = await buildNativeEngine();
let asked = 0;

/** Asks a library what it is, in a sandbox, whatever its bytes: undefined when it said so, else by what name it was refused. */
function refusal(library: Uint8Array, startMs = 1000): { readonly code: string; readonly message: string } | undefined {
	try {
		askManifest(library, `${libraryDigest(library)}-${asked++}`, engine, { ...nativeLimitDefaults, startMs });
		return undefined;
	} catch (error) {
		if (!(error instanceof MeshError)) throw error;
		return error;
	}
}

/** Offsets at which parts of the file begin or end: headers, segments, sections. */
function borders(bytes: Uint8Array): number[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const u64 = (at: number): number => Number(view.getBigUint64(at, true));
	const found = new Set<number>([0, 4, 5, 16, 18, 20, 32, 40, 63, 64]);
	const addRange = (at: number, length: number): void => void found.add(at).add(at + length);
	const [programs, sections] = [u64(32), u64(40)];
	for (let index = 0; index < view.getUint16(56, true); index++) {
		const entry = programs + index * 56;
		addRange(entry, 56);
		addRange(u64(entry + 8), u64(entry + 32));
	}
	for (let index = 0; index < view.getUint16(60, true); index++) {
		const entry = sections + index * 64;
		addRange(entry, 64);
		// Sections of no bits say how long they will be in memory.
		if (view.getUint32(entry + 4, true) !== 8) addRange(u64(entry + 24), u64(entry + 32));
	}
	return [...found].flatMap((at) => [at - 1, at, at + 1]).filter((at) => at >= 0 && at < bytes.length);
}

test.serial('cut off at the border of any of its parts, a library is refused as no whole one', (t) => {
	const at = borders(leastQueue);
	t.true(at.length > 100, `${at.length} borders`);
	for (const length of at)
		t.is(checkLibrary(leastQueue.slice(0, length), ownPlatform).problems[0]?.code, 'IM_NATIVE_ELF', `${length} bytes`);
});

test.serial('what a sandbox is given unchecked and cut off, it cannot load, and nobody is hurt', (t) => {
	const at = borders(leastQueue);
	const ends = new Map<string, number>();
	for (let index = 0; index < at.length; index += 5) {
		const code = refusal(leastQueue.slice(0, at[index]))?.code ?? 'loaded';
		ends.set(code, (ends.get(code) ?? 0) + 1);
	}
	// Without its section headers, which the loader does not read, it is whole enough to be loaded.
	t.deepEqual(
		[...ends.keys()].filter((code) => code !== 'loaded'),
		['IM_NATIVE_LOAD'],
		JSON.stringify([...ends]),
	);
});

test.serial(`with a byte changed anywhere, a library loads or is refused by name, seed ${SEED}`, (t) => {
	let random = SEED;
	for (let round = 0; round < 40; round++) {
		random = Math.imul(random, 1_103_515_245) + 12_345;
		const changed = leastQueue.slice();
		const at = (random >>> 8) % (round % 2 === 0 ? 1024 : changed.length);
		changed[at] = (changed[at] as number) ^ (1 << (round & 7));
		const found = refusal(changed, 300);
		t.true(found === undefined || found.code.startsWith('IM_'), `byte ${at}: ${found?.message}`);
	}
});

const head =
	'#include <fcntl.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/socket.h>\n#include <unistd.h>\n';

/** While it is loaded: what its constructor does, and what is said of it. */
const constructors: ReadonlyArray<readonly [string, string, RegExp]> = [
	['crashes', '__builtin_trap();', /SIGILL|SIGTRAP/],
	['follows a wild pointer', '*(volatile int *)8 = 1;', /SIGSEGV/],
	['sleeps', 'sleep(60);', /SIGSYS/],
	['spins', 'for (;;) __asm__ volatile("");', /did not load within 300 ms/],
	['forks', 'if (fork() == 0) for (;;) {}', /SIGSYS/],
	['starts a program', 'char *none[] = {0}; execve("/bin/true", none, none);', /SIGSYS/],
	['exits', '_exit(0);', /exited with status 0/],
	['opens a socket', 'socket(AF_INET, SOCK_STREAM, 0);', /SIGSYS/],
	['writes a file', 'open("/tmp/infermesh-was-here", O_CREAT | O_WRONLY, 0600);', /SIGSYS/],
	['takes all memory', 'for (;;) { char *more = malloc(1 << 24); memset(more, 1, 1 << 24); }', /SIGSEGV/],
	['overflows the stack', 'volatile char *down = (volatile char *)&down; for (;; down -= 64) *down = 0;', /SIGSEGV/],
];

for (const [what, code, why] of constructors) {
	test.serial(`a library whose constructor ${what} is refused`, async (t) => {
		const source = `${head}__attribute__((constructor)) static void begin(void) { ${code} }\n${leastQueueC}`;
		const found = refusal(await compileNative(source), what === 'spins' ? 300 : 10_000);
		t.is(found?.code, 'IM_NATIVE_LOAD');
		t.regex(found?.message ?? '', why);
	});
}

const rank = 'static int32_t rank(uint8_t *frame) { (void)frame; return IM_STATUS_DECLINE; }\n';
const entry = (body: string): string =>
	`${head}${rank}const im_native_strategy *infermesh_strategy(void) { (void)rank; (void)im_manifest; ${body} }\n`;
/** A struct that is right but for what `change` does to it. */
const struct = (change: string): string =>
	entry(`static im_native_strategy said = {.magic = IM_NATIVE_MAGIC, .abi_major = IM_NATIVE_ABI_MAJOR, .struct_bytes = sizeof said,
	.frame_abi_version = IM_ABI_VERSION, .capabilities = IM_NATIVE_HAS_RANK, .manifest = im_manifest, .manifest_bytes = sizeof im_manifest - 1,
	.rank = rank}; ${change} return &said;`);

/** When it is asked what it is. */
const words: ReadonlyArray<readonly [string, string, string | undefined]> = [
	['tells the truth', struct(''), undefined],
	['crashes', entry('__builtin_trap();'), 'IM_NATIVE_LOAD'],
	['says it is nowhere', entry('return (const im_native_strategy *)8;'), 'IM_NATIVE_LOAD'],
	['has another magic', struct('said.magic++;'), 'IM_NATIVE_ABI'],
	['is of another major version', struct('said.abi_major++;'), 'IM_NATIVE_ABI'],
	['is for frames of another major version', struct('said.frame_abi_version += 1u << 16;'), 'IM_NATIVE_ABI'],
	['is too short', struct('said.struct_bytes = 12;'), 'IM_NATIVE_ABI'],
	['has more of a manifest than there may be', struct('said.manifest_bytes = 1u << 30;'), 'IM_NATIVE_ABI'],
	['has its manifest nowhere', struct('said.manifest = (const void *)8;'), 'IM_NATIVE_LOAD'],
	['has a manifest that is none', struct('said.manifest = "{]"; said.manifest_bytes = 2;'), 'IM_MANIFEST_CORRUPT'],
];

for (const [what, source, code] of words) {
	test.serial(`a library that ${what} is ${code === undefined ? 'taken' : 'refused'}`, async (t) => {
		const found = refusal(await compileNative(source), 10_000);
		t.is(found?.code, code, found?.message);
	});
}

test.serial(
	'a library that is replaced, cut off and removed on disk goes on as it was, and starts again',
	async (t) => {
		const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-replaced-'));
		t.teardown(() => rmSync(dir, { recursive: true, force: true }));
		writeFileSync(
			path.join(dir, 'strategy.yaml'),
			'name: replaced\nversion: 1.0.0\nabi: "1.0"\nsource: strategy.c\ncolumns: [load, weight, slow_start]\n',
		);
		writeFileSync(
			path.join(dir, 'strategy.c'),
			`#include "infermesh.h"\n#include "infermesh_manifest.h"\n${leastQueueC}`,
		);
		const { module } = await prepareStrategy(dir);
		const built = path.join(
			dir,
			'build',
			readdirSync(path.join(dir, 'build')).find((name) => name.endsWith('.so')) ?? '',
		);
		const benches = (['process', 'inline'] as const).map((native) => {
			const bench = new NativeBench({ ...module, module: { ...module.module, native } }, createRig(16, SEED));
			bench.rig.nextRequest();
			return bench;
		});
		const decide = (): void => benches.forEach((bench) => t.is(bench.decide(), 'none'));
		decide();
		writeFileSync(built, Buffer.alloc(leastQueue.length, 0xcc));
		decide();
		truncateSync(built, 10);
		decide();
		rmSync(built);
		decide();
		for (const bench of benches) bench.instance.close();
		const [first] = benches;
		const again = new NativeBench(module, first?.rig ?? createRig(16, SEED));
		t.is(again.decide(), 'none');
		again.instance.close();
	},
);

test.serial('nobody can write to the copy of a library that sandboxes run', async (t) => {
	const bench = new NativeBench(await nativeModule(leastQueue, { limits: patientLimits }), createRig(16, SEED));
	bench.rig.nextRequest();
	t.is(bench.decide(), 'none');
	const copies = readdirSync('/proc/self/fd').filter((number) => {
		try {
			return readlinkSync(`/proc/self/fd/${number}`).startsWith('/memfd:infermesh-strategy');
		} catch {
			return false;
		}
	});
	t.true(copies.length > 0);
	for (const number of copies) {
		t.throws(() => writeSync(Number(number), Buffer.from('x'), 0, 1, 0), { code: 'EPERM' });
		t.throws(() => truncateSync(`/proc/self/fd/${number}`, 0), { code: 'EPERM' });
	}
	t.is(bench.decide(), 'none');
	bench.instance.close();
});
