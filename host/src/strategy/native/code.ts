// Owns what a native strategy is to the threads that run it: the library's bytes, and how to run them. Plain data, so that it can be posted.

/** Where the addon and the sandbox are, built for this machine. */
export interface NativeEngine {
	readonly addon: string;
	readonly sandbox: string;
}

export interface NativeLimits {
	/** Host and sandbox look for each other this long before they sleep, µs. */
	readonly spinUs: number;
	/** CPU time one call may take, µs; when the machine holds it up, this long is waited before it is looked into. */
	readonly deadlineUs: number;
	/** Wall time after which the host answers without it, whoever's fault it is, µs. */
	readonly graceUs: number;
	/** Address space of the sandbox beyond the frame, bytes. */
	readonly memoryBytes: number;
	/** Time for the library to load, ms. */
	readonly startMs: number;
	/** Wait of a version that failed twice before its next sandbox loads it, ms; twice as long after each further failure. */
	readonly restartMs: number;
	/** Longest such wait, ms. */
	readonly restartMaxMs: number;
}

export const nativeLimitDefaults: NativeLimits = {
	spinUs: 20,
	deadlineUs: 2000,
	graceUs: 10_000,
	memoryBytes: 512 * 1024 * 1024,
	startMs: 2000,
	restartMs: 100,
	restartMaxMs: 10_000,
};

const PATIENT_GRACE_US = 1_000_000;
const PATIENT_START_MS = 5000;

/** The same limits where nobody waits for the answer: a loaded machine is waited for, while what a call may take of processor and memory stays. */
export function patient(limits: NativeLimits): NativeLimits {
	return { ...limits, graceUs: Math.max(limits.graceUs, PATIENT_GRACE_US) };
}

/** Of an author's tools, which know no mesh's configuration. */
export const patientLimits: NativeLimits = { ...patient(nativeLimitDefaults), startMs: PATIENT_START_MS };

/** What a library is tried out with. */
export interface NativeTrial {
	readonly engine: NativeEngine;
	readonly limits: NativeLimits;
}

/** In a sandbox process of its own, or inside the mesh process. */
export const nativeRuns = ['process', 'inline'] as const;
export type NativeRun = (typeof nativeRuns)[number];

/** A library and how it is run. */
export interface NativeCode {
	readonly native: NativeRun;
	readonly library: Uint8Array;
	readonly engine: NativeEngine;
	readonly limits: NativeLimits;
}

export function isNative(code: object): code is NativeCode {
	return 'native' in code;
}

/** In place of fuel, for people, where none is counted: a library is bounded by time. */
export const NOT_METERED = 'not metered';

/** Bytes of a shared library, and not of a module: both begin with four that are their own. */
export function isLibrary(bytes: Uint8Array): boolean {
	return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}
