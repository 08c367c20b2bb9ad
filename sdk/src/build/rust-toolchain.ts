// Owns finding a Rust toolchain that can build for a target: the compilers in PATH, in order, and the first of them that has the target's libraries. One
// machine often has two (a distribution's and rustup's) of which the one that comes first lacks what the other has.
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import type { BuildTarget } from '../manifest/schema.js';
import { buildErrors } from './errors.js';
import { run } from './run-compiler.js';

/** Compilers looked at in one PATH. */
const COMPILERS_MAX = 8;
/** Oldest compiler that builds the SDK: 1.63, of Debian 12. */
const MINOR_MIN = 63;

export interface Toolchain {
	readonly cargo: string;
	readonly rustc: string;
	readonly sysroot: string;
	/** The target as this compiler names it. */
	readonly triple: string;
	/** Arguments of the compiler that differ between toolchains. */
	readonly linker: readonly string[];
}

/** Older compilers call wasm32-wasip1 wasm32-wasi. */
const namesOf: Readonly<Record<Exclude<BuildTarget, 'native'>, readonly string[]>> = {
	'wasm32-unknown-unknown': ['wasm32-unknown-unknown'],
	'wasm32-wasip1': ['wasm32-wasip1', 'wasm32-wasi'],
};

const hints: Readonly<Record<BuildTarget, string>> = {
	native: 'Debian: apt-get install cargo rustc gcc libc6-dev; or rustup, which has both',
	'wasm32-unknown-unknown':
		'Debian: apt-get install cargo rustc libstd-rust-dev-wasm32 lld; with rustup: rustup target add wasm32-unknown-unknown',
	'wasm32-wasip1':
		'Debian: apt-get install cargo rustc libstd-rust-dev-wasm32 lld; with rustup: rustup target add wasm32-wasip1',
};

interface Compiler {
	readonly rustc: string;
	readonly cargo: string;
	readonly sysroot: string;
	readonly version: string;
	readonly host: string;
}

function missing(target: BuildTarget, what: string, where: string): MeshError {
	return new MeshError(buildErrors, 'IM_BUILD_COMPILER', what, { where, hint: hints[target] });
}

/** `rustc` of each folder in PATH, each file once. The shell is asked: it knows the PATH that programs are run with. */
async function compilersInPath(dir: string): Promise<string[]> {
	const list = 'IFS=:; for folder in $PATH; do [ -x "$folder/rustc" ] && echo "$folder/rustc"; done; true';
	const said = await run('/bin/sh', ['-c', list], dir);
	const found = new Map<string, string>();
	for (const rustc of (said?.stdout ?? '').split('\n'))
		if (path.isAbsolute(rustc) && !found.has(realpathSync(rustc))) found.set(realpathSync(rustc), rustc);
	return [...found.values()].slice(0, COMPILERS_MAX);
}

/** What a compiler says of itself; undefined when it does not run or has no `cargo` beside it. */
async function ask(rustc: string, dir: string): Promise<Compiler | undefined> {
	const cargo = path.join(path.dirname(rustc), 'cargo');
	if (!existsSync(cargo)) return undefined;
	const root = await run(rustc, ['--print', 'sysroot'], dir);
	const about = await run(rustc, ['-vV'], dir);
	if (root === undefined || about === undefined || root.code !== 0 || about.code !== 0) return undefined;
	const version = /^release: (.+)$/m.exec(about.stdout)?.[1] ?? '';
	const host = /^host: (.+)$/m.exec(about.stdout)?.[1] ?? '';
	return { rustc, cargo, sysroot: root.stdout.trim(), version, host };
}

function isNewEnough({ version }: Compiler): boolean {
	const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
	return major > 1 || minor >= MINOR_MIN;
}

/**
 * The first toolchain in PATH that has the libraries of `target`. Throws IM_BUILD_COMPILER, which names the target and every compiler looked at.
 */
export async function findToolchain(dir: string, target: BuildTarget): Promise<Toolchain> {
	const compilers: Compiler[] = [];
	for (const rustc of await compilersInPath(dir)) {
		const compiler = await ask(rustc, dir);
		if (compiler === undefined) continue;
		compilers.push(compiler);
		if (!isNewEnough(compiler)) continue;
		const triple = (target === 'native' ? [compiler.host] : namesOf[target]).find((name) =>
			existsSync(path.join(compiler.sysroot, 'lib/rustlib', name, 'lib')),
		);
		if (triple === undefined) continue;
		const { cargo, sysroot } = compiler;
		return { rustc, cargo, sysroot, triple, linker: await linkerOf(compiler, target, dir) };
	}
	if (compilers.length === 0)
		throw missing(target, 'there is no Rust compiler: no `rustc` with its `cargo` in PATH', dir);
	const seen = compilers.map(({ rustc, version }) => `${rustc} (${version})`).join(', ');
	const wanted =
		target === 'native' ? `Rust 1.${MINOR_MIN} or newer` : `Rust 1.${MINOR_MIN} or newer with the target ${target}`;
	throw missing(target, `no compiler in PATH is ${wanted}; there is ${seen}`, dir);
}

/** rustup brings the linker of WebAssembly inside; Debian's compiler takes the one of its lld package. Native code is linked by `cc`. */
async function linkerOf({ sysroot, host }: Compiler, target: BuildTarget, dir: string): Promise<readonly string[]> {
	if (target === 'native') {
		if ((await run('cc', ['--version'], dir)) === undefined) throw missing(target, 'there is no linker `cc`', dir);
		return [];
	}
	if (existsSync(path.join(sysroot, 'lib/rustlib', host, 'bin/rust-lld'))) return [];
	if ((await run('wasm-ld', ['--version'], dir)) === undefined)
		throw missing(target, 'there is no linker `wasm-ld`', dir);
	return ['-C', 'linker=wasm-ld'];
}
