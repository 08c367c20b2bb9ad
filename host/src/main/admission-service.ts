// Owns the parent's side of admission: one child process per module, its heap and time limited, killed outright when it overruns. Its time is the processor's: a
// machine that has none to give refuses a module as late, not as dear. What comes back is checked for shape; a child that dies is a refusal, never an exception of the mesh.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Compiler } from '@infermesh/adapters';
import { type Clock, MeshError } from '@infermesh/proto';
import { blankReport, type Inspection, type InspectOptions } from '../strategy/admission/try-out.js';
import { isLibrary, type NativeLimits, nativeLimitDefaults, patient } from '../strategy/native/code.js';
import { buildNativeEngine } from '../strategy/native/engine.js';
import { processTimeMs } from './process-time.js';

export interface AdmissionServiceOptions {
	/** Processor time of one admission. */
	readonly timeoutMs: number;
	/** By the clock it may take so many times as long: machines are shared. Other admissions wait for it, and who loads waits a minute at most. */
	readonly clockFactor: number;
	readonly memoryMib: number;
	/** Admissions at once; further ones wait in order. */
	readonly concurrencyMax: number;
	readonly waitingMax: number;
	/** With what, and where, libraries' addon and sandbox are built; what is left out is as everywhere. */
	readonly compiler: Partial<Compiler>;
	/** Limits that a native library will run under. */
	readonly native: NativeLimits;
}

export const admissionServiceDefaults: AdmissionServiceOptions = {
	timeoutMs: 10_000,
	clockFactor: 5,
	memoryMib: 512,
	concurrencyMax: 1,
	waitingMax: 16,
	compiler: {},
	native: nativeLimitDefaults,
};

/** The child's time is looked at this often at most. */
const LOOK_MS_MIN = 20;

/** Where the engine keeps the compiled code of the child's imports: about 50 ms of CPU less per admission. Not writable = not used. */
const compileCachePath = fileURLToPath(new URL('../../../../node_modules/.cache/infermesh', import.meta.url));

const childPath = fileURLToPath(new URL('./admission-child.js', import.meta.url));

export class AdmissionService {
	readonly #options: AdmissionServiceOptions;
	readonly #clock: Clock;
	readonly #waiting: (() => void)[] = [];
	#running = 0;

	constructor(options: AdmissionServiceOptions, clock: Clock) {
		this.#options = options;
		this.#clock = clock;
	}

	/** Admits `bytes` in a child. Never rejects: overload, overrun and death are refusals in the report. */
	async admit(bytes: Uint8Array, options: InspectOptions): Promise<Inspection> {
		if (this.#running >= this.#options.concurrencyMax) {
			if (this.#waiting.length >= this.#options.waitingMax) {
				return failure(bytes, 'IM_ADMISSION_BUSY', 'too many admissions are waiting', 'try again in a moment');
			}
			await new Promise<void>((resolve) => this.#waiting.push(resolve));
		} else this.#running++;
		try {
			if (!isLibrary(bytes)) return await this.#inChild(bytes, options);
			return await this.#libraryInChild(bytes, options);
		} finally {
			// A waiting admission takes this one's place; nobody can slip in between.
			const next = this.#waiting.shift();
			if (next === undefined) this.#running--;
			else next();
		}
	}

	/** What libraries are tried out with is built here, once: a child would be killed for taking so long. */
	async #libraryInChild(bytes: Uint8Array, options: InspectOptions): Promise<Inspection> {
		try {
			const engine = await buildNativeEngine(this.#options.compiler);
			return await this.#inChild(bytes, { ...options, native: { engine, limits: patient(this.#options.native) } });
		} catch (error) {
			if (!(error instanceof MeshError)) throw error;
			return failure(bytes, error.code, error.message, error.hint);
		}
	}

	#inChild(bytes: Uint8Array, options: InspectOptions): Promise<Inspection> {
		return new Promise((resolve) => {
			const child = fork(childPath, [], {
				serialization: 'advanced',
				// One thread: a module gets one core at most, and collecting garbage in parallel costs more CPU than it saves here.
				execArgv: ['--single-threaded', `--max-old-space-size=${this.#options.memoryMib}`],
				stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
				env: { NODE_COMPILE_CACHE: compileCachePath },
			});
			let answered = false;
			const settle = (inspection: Inspection): void => {
				if (answered) return;
				answered = true;
				timer.cancel();
				resolve(inspection);
			};
			const { timeoutMs, clockFactor } = this.#options;
			const beganMs = this.#clock.nowMs();
			const look = (): void => {
				const elapsedMs = this.#clock.nowMs() - beganMs;
				// What cannot be asked is taken to have had the processor for itself; so is what waits for a library, which works in a sandbox of its own.
				const asked = child.pid === undefined || isLibrary(bytes) ? undefined : processTimeMs(child.pid);
				const usedMs = asked ?? elapsedMs;
				const leftMs = Math.min(timeoutMs - usedMs, timeoutMs * clockFactor - elapsedMs);
				if (leftMs > 0) {
					timer = this.#clock.after(Math.max(leftMs, LOOK_MS_MIN), look);
					return;
				}
				settle(usedMs >= timeoutMs ? tooDear(bytes, timeoutMs) : tooLate(bytes, elapsedMs, usedMs));
				child.kill('SIGKILL');
			};
			let timer = this.#clock.after(timeoutMs, look);
			child.on('message', (message) => {
				settle(message as Inspection);
				if (child.connected) child.disconnect();
			});
			child.on('error', (error) =>
				settle(
					failure(
						bytes,
						'IM_ADMISSION_CHILD',
						`the admission process failed: ${error.message}`,
						'see the log; the module was not looked at',
					),
				),
			);
			child.on('exit', (code, signal) =>
				settle(
					failure(
						bytes,
						'IM_ADMISSION_CHILD',
						`the admission process ended early (${signal ?? `exit ${code}`})`,
						'the module exhausts memory while it is compiled or run',
					),
				),
			);
			child.send({ bytes, options }, (error) => {
				if (error !== null)
					settle(
						failure(bytes, 'IM_ADMISSION_CHILD', `the module could not be handed over: ${error.message}`, 'try again'),
					);
			});
		});
	}
}

function tooDear(bytes: Uint8Array, timeoutMs: number): Inspection {
	const message = `admission took longer than ${timeoutMs} ms of processor time and was killed`;
	return failure(
		bytes,
		'IM_ADMISSION_TIMEOUT',
		message,
		'the module costs too much to compile or to run; make it smaller',
	);
}

function tooLate(bytes: Uint8Array, elapsedMs: number, usedMs: number): Inspection {
	const message = `admission was not done after ${Math.round(elapsedMs)} ms, in which it had ${usedMs} ms of processor time, and was killed`;
	return failure(
		bytes,
		'IM_ADMISSION_LATE',
		message,
		'the machine has other work: load the module again when it has less',
	);
}

function failure(bytes: Uint8Array, code: string, message: string, hint: string): Inspection {
	const report = { ...blankReport(bytes), refusals: [{ code, message, hint, where: 'module' }] };
	return { report, admitted: undefined };
}
