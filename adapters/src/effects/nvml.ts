// Owns calling NVML: builds the addon where it has not been built, keeps one library open, and gives each look a bound on time. A driver that hangs keeps
// its thread; further looks are refused until it has come back.
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '@infermesh/proto';
import type { GpuLook, GpuReading } from '../gpus/adapter.js';
import { readNvml } from '../gpus/nvml.js';
import { addonArgs, CompileFailure, type Compiler, compileOnce } from './compile-once.js';

interface Addon {
	readonly Nvml: new (
		library: string,
		answered: (ok: boolean, text: string) => void,
	) => { look(): void; close(): void };
}

const require = createRequire(import.meta.url);
const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../native');

const compilerDefaults: Compiler = Object.freeze({
	command: 'g++',
	timeoutMs: 120_000,
	into: path.join(folder, 'build'),
});
const NVML_LIBRARY = 'libnvidia-ml.so.1';

/** Builds the addon, once for each version of its source; returns its path. Rejects with the compiler's words, or saying that there is none. */
export async function buildNvmlAddon(compiler: Partial<Compiler> = {}): Promise<string> {
	const part = {
		name: 'nvml',
		source: path.join(folder, 'nvml.cc'),
		headers: [],
		args: ['-O1', ...addonArgs()],
		suffix: '.node',
	};
	try {
		return await compileOnce(part, { ...compilerDefaults, ...compiler });
	} catch (error) {
		if (!(error instanceof CompileFailure)) throw error;
		throw new Error(
			error.missing
				? `reading NVML needs a C++ compiler once, and ${error.message}; nvidia_smi needs none`
				: `the NVML addon cannot be built: ${error.message}`,
			{ cause: error },
		);
	}
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
