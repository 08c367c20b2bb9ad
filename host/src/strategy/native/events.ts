// Owns what is told of native strategies while they run, for metrics: sandboxes that begin and end, and what calls took. Told on the thread that runs them.

/** Why a sandbox ended. `closed`: nobody needs it any more; the others are its own fault, and another takes its place. */
export const sandboxEnds = ['closed', 'load', 'trap', 'deadline', 'corrupt'] as const;
export type SandboxEnd = (typeof sandboxEnds)[number];

/** What the allowance for a machine that holds a sandbox up was used for: the answer came late and was taken, or the host did without it. */
export type Allowance = 'answered' | 'given_up';

export interface NativeEvents {
	/** A sandbox was started for this version. */
	started(versionId: number): void;
	ended(versionId: number, why: SandboxEnd): void;
	/** A call came back `ns` after it was handed over. */
	answered(versionId: number, ns: number): void;
	/** A call took longer than its deadline by the clock, and was not held against the strategy. */
	allowed(versionId: number, what: Allowance): void;
}

/** Where nobody counts. */
export const nobodyListens: NativeEvents = {
	started: () => undefined,
	ended: () => undefined,
	answered: () => undefined,
	allowed: () => undefined,
};
