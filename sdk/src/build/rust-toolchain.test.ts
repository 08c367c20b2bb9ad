// Finding a Rust toolchain, with compilers that are scripts which answer as real ones do.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { findToolchain } from './rust-toolchain.js';

interface Fake {
	readonly version: string;
	/** Targets it has libraries of; its own machine's are always there. */
	readonly targets: readonly string[];
	readonly cargo?: boolean;
	readonly linkers?: readonly string[];
}

function program(folder: string, name: string, says: string): void {
	const file = path.join(folder, name);
	writeFileSync(file, `#!/bin/sh\n${says}\n`);
	chmodSync(file, 0o755);
}

/** A folder for PATH with what `fake` says. */
function folderOf(root: string, name: string, { version, targets, cargo = true, linkers = [] }: Fake): string {
	const folder = path.join(root, name, 'bin');
	const sysroot = path.join(root, name, 'sysroot');
	mkdirSync(folder, { recursive: true });
	for (const target of ['this-machine', ...targets])
		mkdirSync(path.join(sysroot, 'lib/rustlib', target, 'lib'), { recursive: true });
	program(
		folder,
		'rustc',
		`if [ "$1" = --print ]; then echo ${sysroot}; else printf 'release: ${version}\\nhost: this-machine\\n'; fi`,
	);
	if (cargo) program(folder, 'cargo', 'exit 0');
	for (const linker of linkers) program(folder, linker, 'exit 0');
	return folder;
}

/** Looks with only these in PATH. */
async function find(
	t: ExecutionContext,
	fakes: Readonly<Record<string, Fake>>,
	target: Parameters<typeof findToolchain>[1],
) {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-toolchain-'));
	t.teardown(() => rmSync(root, { recursive: true }));
	const { PATH } = process.env;
	process.env['PATH'] = Object.entries(fakes)
		.map(([name, fake]) => folderOf(root, name, fake))
		.join(':');
	try {
		return await findToolchain(root, target);
	} finally {
		process.env['PATH'] = PATH;
	}
}

async function refusal(
	t: ExecutionContext,
	fakes: Readonly<Record<string, Fake>>,
	target: Parameters<typeof findToolchain>[1],
) {
	const error = await t.throwsAsync(find(t, fakes, target), { instanceOf: MeshError });
	t.is(error.code, 'IM_BUILD_COMPILER');
	return error;
}

const wasm = 'wasm32-unknown-unknown';
const linkers = ['wasm-ld', 'cc'];

test.serial('the first compiler that has the target is taken, with the cargo beside it', async (t) => {
	const found = await find(
		t,
		{ newer: { version: '1.95.0', targets: [], linkers }, distribution: { version: '1.63.0', targets: [wasm] } },
		wasm,
	);
	t.regex(found.rustc, /distribution\/bin\/rustc$/);
	t.regex(found.cargo, /distribution\/bin\/cargo$/);
	t.deepEqual([found.triple, found.linker], [wasm, ['-C', 'linker=wasm-ld']]);
	const native = await find(t, { newer: { version: '1.95.0', targets: [], linkers } }, 'native');
	t.deepEqual([native.triple, native.linker], ['this-machine', []]);
});

test.serial('a linker that the compiler brings is used', async (t) => {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-toolchain-'));
	t.teardown(() => rmSync(root, { recursive: true }));
	const folder = folderOf(root, 'rustup', { version: '1.80.0', targets: [wasm] });
	mkdirSync(path.join(root, 'rustup/sysroot/lib/rustlib/this-machine/bin'));
	writeFileSync(path.join(root, 'rustup/sysroot/lib/rustlib/this-machine/bin/rust-lld'), '');
	const { PATH } = process.env;
	process.env['PATH'] = folder;
	const { linker } = await findToolchain(root, wasm);
	process.env['PATH'] = PATH;
	t.deepEqual(linker, []);
});

test.serial('the older name of a target is the same target', async (t) => {
	const old = await find(t, { old: { version: '1.63.0', targets: ['wasm32-wasi'], linkers } }, 'wasm32-wasip1');
	t.is(old.triple, 'wasm32-wasi');
	const both = ['wasm32-wasi', 'wasm32-wasip1'];
	t.is(
		(await find(t, { both: { version: '1.80.0', targets: both, linkers } }, 'wasm32-wasip1')).triple,
		'wasm32-wasip1',
	);
});

test.serial('what is missing is named: target and compilers, cargo, linker', async (t) => {
	const without = { newer: { version: '1.95.0', targets: [], linkers }, old: { version: '1.56.1', targets: [wasm] } };
	const error = await refusal(t, without, wasm);
	t.regex(
		error.message,
		/target wasm32-unknown-unknown; there is \S+newer\/bin\/rustc \(1\.95\.0\), \S+old\/bin\/rustc \(1\.56\.1\)/,
	);
	t.regex(error.hint ?? '', /rustup target add wasm32-unknown-unknown/);
	t.regex((await refusal(t, without, 'wasm32-wasip1')).hint ?? '', /rustup target add wasm32-wasip1/);
	t.regex((await refusal(t, {}, wasm)).message, /there is no Rust compiler/);
	t.regex(
		(await refusal(t, { bare: { version: '1.95.0', targets: [wasm], cargo: false } }, wasm)).message,
		/with its `cargo`/,
	);
	t.regex(
		(await refusal(t, { unlinked: { version: '1.95.0', targets: [wasm] } }, wasm)).message,
		/no linker `wasm-ld`/,
	);
	t.regex((await refusal(t, { unlinked: { version: '1.95.0', targets: [] } }, 'native')).message, /no linker `cc`/);
});
