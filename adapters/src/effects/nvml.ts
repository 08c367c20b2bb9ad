// Owns calling NVML: builds the addon where it has not been built, keeps one library open, and gives each look a bound on time. A driver that hangs keeps
// its thread; further looks are refused until it has come back.
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '@infermesh/proto';
import type { GpuLook, GpuReading } from '../gpus/adapter.js';
import { readNvml } from '../gpus/nvml.js';

interface Addon {
	readonly Nvml: new (
		library: string,
		answered: (ok: boolean, text: string) => void,
	) => { look(): void; close(): void };
}

export interface NvmlBuild {
	/** The C++ compiler. */
	readonly compiler: string;
	readonly timeoutMs: number;
	/** Folder of what is built. */
	readonly into: string;
}

const require = createRequire(import.meta.url);
const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../native');

export const nvmlBuildDefaults: NvmlBuild = Object.freeze({
	compiler: 'g++',
	timeoutMs: 120_000,
	into: path.join(folder, 'build'),
});
const NVML_LIBRARY = 'libnvidia-ml.so.1';

/** Builds the addon, once for each version of its source; returns its path. Rejects with the compiler's words, or saying that there is none. */
export async function buildNvmlAddon(options: Partial<NvmlBuild> = {}): Promise<string> {
	const { compiler, timeoutMs, into } = { ...nvmlBuildDefaults, ...options };
	const source = path.join(folder, 'nvml.cc');
	const digest = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
	const target = path.join(into, `nvml-${digest}-${process.arch}.node`);
	if (existsSync(target)) return target;
	mkdirSync(path.dirname(target), { recursive: true });
	const headers = (require('node-api-headers') as { include_dir: string }).include_dir;
	const wrapper = path.dirname(require.resolve('node-addon-api/napi.h'));
	const partial = `${target}.${randomUUID()}`;
	const args = ['-shared', '-fPIC', '-O1', '-std=c++17', '-DNAPI_VERSION=8', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'];
	await compile(
		compiler,
		[...args, `-I${headers}`, `-I${wrapper}`, source, '-o', partial, '-ldl', '-pthread'],
		timeoutMs,
	);
	// Whoever else builds it at the same time has the same file.
	renameSync(partial, target);
	return target;
}

function compile(compiler: string, args: readonly string[], timeoutMs: number): Promise<void> {
	return new Promise((resolve, reject) => {
		execFile(compiler, [...args], { timeout: timeoutMs, encoding: 'utf8' }, (error, _stdout, stderr) => {
			if (error === null) resolve();
			else if (error.code === 'ENOENT')
				reject(new Error(`reading NVML needs a C++ compiler once, and there is no ${compiler}; nvidia_smi needs none`));
			else reject(new Error(`the NVML addon cannot be built: ${stderr.trim().slice(0, 500) || error.message}`));
		});
	});
}

/** One NVML library of this process. */
export class NvmlLibrary {
	readonly #clock: Clock;
	readonly #nvml: InstanceType<Addon['Nvml']>;
	#waiting: ((ok: boolean, text: string) => void) | undefined;
	/** An answer has not come yet, whether anybody waits for it or not. */
	#busy = false;

	constructor(addonPath: string, library: string, clock: Clock) {
		this.#clock = clock;
		const { Nvml } = require(addonPath) as Addon;
		this.#nvml = new Nvml(library === '' ? NVML_LIBRARY : library, (ok, text) => {
			this.#busy = false;
			this.#waiting?.(ok, text);
			this.#waiting = undefined;
		});
	}

	/** Looks at all devices. Rejects with a TimeoutError when that takes too long, or an earlier look has not come back; else with the driver's words. */
	look(look: GpuLook, timeoutMs: number): Promise<GpuReading> {
		if (this.#busy) return Promise.reject(late('an earlier look at NVML has not come back: its driver hangs'));
		this.#busy = true;
		return new Promise((resolve, reject) => {
			const deadline = this.#clock.after(timeoutMs, () => {
				this.#waiting = undefined;
				reject(late(`NVML did not answer in ${timeoutMs} ms`));
			});
			this.#waiting = (ok, text) => {
				deadline.cancel();
				if (ok) resolve(readNvml(text, look));
				else reject(new Error(text));
			};
			this.#nvml.look();
		});
	}

	close(): void {
		this.#nvml.close();
	}
}

function late(message: string): DOMException {
	return new DOMException(message, 'TimeoutError');
}
