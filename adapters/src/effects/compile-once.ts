// Owns building a native part of the mesh with one line of the C++ compiler, once for each version of its sources. What it is built from names the result,
// so nothing stale is ever used, and two processes that build at the same time end with the same file.
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

export interface NativePart {
	readonly name: string;
	/** The file to compile. */
	readonly source: string;
	/** What it includes of our own: part of its version. */
	readonly headers: readonly string[];
	readonly args: readonly string[];
	/** `.node` for an addon, empty for a program. */
	readonly suffix: string;
}

export interface Compiler {
	readonly command: string;
	readonly timeoutMs: number;
	/** Folder of what is built. */
	readonly into: string;
}

/** Why there is no result: no compiler at all, or its words. */
export class CompileFailure extends Error {
	readonly missing: boolean;
	constructor(message: string, missing: boolean) {
		super(message);
		this.missing = missing;
	}
}

/** Path of what `part` is built to, whether it stands there or not. */
export function builtPath(part: NativePart, into: string): string {
	const hash = createHash('sha256').update(part.args.join('\0'));
	for (const file of [part.source, ...part.headers]) hash.update(readFileSync(file));
	return path.join(into, `${part.name}-${hash.digest('hex').slice(0, 16)}-${process.arch}${part.suffix}`);
}

/** Builds it unless it stands; returns its path. Rejects with a CompileFailure. */
export async function compileOnce(part: NativePart, { command, timeoutMs, into }: Compiler): Promise<string> {
	const target = builtPath(part, into);
	if (existsSync(target)) return target;
	mkdirSync(into, { recursive: true });
	const partial = `${target}.${randomUUID()}`;
	try {
		await run(command, [part.source, ...part.args, '-o', partial], timeoutMs);
		renameSync(partial, target);
	} finally {
		// What a compiler that was ended leaves behind.
		rmSync(partial, { force: true });
	}
	return target;
}

/** Arguments that make a Node-API addon of a C++17 source. */
export function addonArgs(): string[] {
	const require = createRequire(import.meta.url);
	const headers = (require('node-api-headers') as { include_dir: string }).include_dir;
	const wrapper = path.dirname(require.resolve('node-addon-api/napi.h'));
	return [
		'-shared',
		'-fPIC',
		'-std=c++17',
		'-DNAPI_VERSION=8',
		'-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
		`-I${headers}`,
		`-I${wrapper}`,
		'-ldl',
		'-pthread',
	];
}

function run(command: string, args: readonly string[], timeoutMs: number): Promise<void> {
	return new Promise((resolve, reject) => {
		execFile(command, [...args], { timeout: timeoutMs, encoding: 'utf8' }, (error, _stdout, stderr) => {
			if (error === null) resolve();
			else if (error.code === 'ENOENT') reject(new CompileFailure(`there is no ${command}`, true));
			else if (error.killed === true)
				reject(new CompileFailure(`${command} was not done within ${timeoutMs} ms`, false));
			else reject(new CompileFailure(stderr.trim().slice(0, 500) || error.message, false));
		});
	});
}
