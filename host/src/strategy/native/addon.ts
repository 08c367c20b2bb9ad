// Owns the typed view of the addon (host/native/addon.cc), loaded once in each thread that runs native strategies.
import { createRequire } from 'node:module';
import { MeshError } from '@infermesh/proto';
import type { NativeEngine, NativeLimits } from './code.js';
import { nativeErrors } from './errors.js';

export type Readiness = 'ready' | 'starting' | 'refused' | 'gone';

/** A strategy in a sandbox of its own. */
export interface AddonProcess {
	/** The frame, which both sides map. */
	readonly buffer: ArrayBuffer;
	/** 0 when it has ended. */
	readonly pid: number;
	/** Why it was refused or ended. */
	readonly message: string;
	/** Of a sandbox that was asked for it: the manifest stands at the start of the frame. */
	readonly manifestBytes: number;
	/** Of the last call that was answered: [0] from its hand-over to the answer, ns. */
	readonly figures: Float64Array;
	/** Waits for it up to `waitMs`. Refused, too, is what has not loaded in the time it was given. */
	ready(waitMs: number): Readiness;
	/** Status of the hook, or a negative fault of the call. */
	call(hook: number, argument: number): number;
	/** 0 when the frame is the host's again after a call that was given up, else the fault that it is not. */
	settle(): number;
	/** Kills it; `failed` makes the next one of this library wait. */
	end(failed: boolean): void;
}

/** A strategy in this process. */
export interface AddonInline {
	readonly buffer: ArrayBuffer;
	call(hook: number, argument: number): number;
}

export interface Addon {
	readonly Process: new (
		sandbox: string,
		library: Uint8Array,
		digest: string,
		frameBytes: number,
		inspect: boolean,
		limits: readonly [
			spinUs: number,
			deadlineUs: number,
			graceUs: number,
			memoryBytes: number,
			restartMs: number,
			restartMaxMs: number,
			startMs: number,
		],
	) => AddonProcess;
	readonly Inline: new (library: Uint8Array, digest: string, frameBytes: number) => AddonInline;
}

/** Longer than any start may be configured to take, with its pause after failures: it is then ready or refused. */
export const START_WAIT_MS = 2 ** 31;

const require = createRequire(import.meta.url);

/** Throws IM_NATIVE_ADDON. The engine keeps what it has loaded, so a second call costs a look-up. */
export function loadAddon(file: string): Addon {
	try {
		return require(file) as Addon;
	} catch (cause) {
		throw new MeshError(nativeErrors, 'IM_NATIVE_ADDON', cause instanceof Error ? cause.message : String(cause), {
			where: file,
			cause,
		});
	}
}

/** Starts a sandbox for a library, which loads it in its own time. Throws IM_NATIVE_ADDON, and the addon's own errors. */
export function startSandbox(
	engine: NativeEngine,
	library: Uint8Array,
	digest: string,
	frameBytes: number,
	limits: NativeLimits,
	inspect = false,
): AddonProcess {
	const { Process } = loadAddon(engine.addon);
	const { spinUs, deadlineUs, graceUs, memoryBytes, restartMs, restartMaxMs, startMs } = limits;
	return new Process(engine.sandbox, library, digest, frameBytes, inspect, [
		spinUs,
		deadlineUs,
		graceUs,
		memoryBytes,
		restartMs,
		restartMaxMs,
		startMs,
	]);
}
