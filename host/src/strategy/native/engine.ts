// Owns building what native strategies run on, once for each version of its sources: the addon that Node loads, and the sandbox program. Needs a C++
// compiler on the first use on a machine and nothing afterwards.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonArgs, builtPath, CompileFailure, type Compiler, compileOnce, type NativePart } from '@infermesh/adapters';
import { MeshError } from '@infermesh/proto';
import { cSdkDir } from '@infermesh/sdk';
import type { NativeEngine } from './code.js';
import { nativeErrors } from './errors.js';

/** Seen from host/dist/src/strategy/native/. */
const sources = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../../native');

export const compilerDefaults: Compiler = Object.freeze({
	command: 'g++',
	// Some seconds on a machine that has nothing else to do.
	timeoutMs: 600_000,
	into: path.join(sources, 'build'),
});

function parts(): { readonly addon: NativePart; readonly sandbox: NativePart } {
	const rooms = readdirSync(sources).filter((name) => name.endsWith('.h'));
	const headers = [...rooms.sort().map((name) => path.join(sources, name)), path.join(cSdkDir, 'infermesh_abi.h')];
	const include = `-I${cSdkDir}`;
	return {
		addon: {
			name: 'strategies',
			source: path.join(sources, 'addon.cc'),
			headers,
			args: ['-O2', include, ...addonArgs()],
			suffix: '.node',
		},
		sandbox: {
			name: 'sandbox',
			source: path.join(sources, 'sandbox.cc'),
			headers,
			// What a library may need is there before files are out of reach.
			args: ['-O2', '-std=c++17', include, '-Wl,--no-as-needed', '-ldl', '-lm', '-lgcc_s', '-lstdc++', '-pthread'],
			suffix: '',
		},
	};
}

/** Builds both unless they stand. Rejects with IM_NATIVE_COMPILER or IM_NATIVE_BUILD. */
export async function buildNativeEngine(compiler: Partial<Compiler> = {}): Promise<NativeEngine> {
	const with_ = { ...compilerDefaults, ...compiler };
	const { addon, sandbox } = parts();
	try {
		return { addon: await compileOnce(addon, with_), sandbox: await compileOnce(sandbox, with_) };
	} catch (cause) {
		if (!(cause instanceof CompileFailure)) throw cause;
		const code = cause.missing ? 'IM_NATIVE_COMPILER' : 'IM_NATIVE_BUILD';
		throw new MeshError(nativeErrors, code, cause.message, { cause });
	}
}

/** What was built before, for who cannot wait. Throws IM_NATIVE_BUILD when it was not. */
export function builtNativeEngine(into: string = compilerDefaults.into): NativeEngine {
	const { addon, sandbox } = parts();
	const engine = { addon: builtPath(addon, into), sandbox: builtPath(sandbox, into) };
	if (existsSync(engine.addon) && existsSync(engine.sandbox)) return engine;
	throw new MeshError(nativeErrors, 'IM_NATIVE_BUILD', 'they have not been built yet', {
		hint: 'run `infermesh strategy build` or `check` on a native strategy, which builds them',
	});
}
