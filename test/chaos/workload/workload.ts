// Owns what every part of the load is to a run: it goes on until stopped, is asked to be current after a fault was healed, and is judged at the end.
import type { SeededRandom } from '@infermesh/proto';
import type { ChaosMesh } from '../nodes/mesh.js';
import type { Findings } from './findings.js';

export interface WorkloadContext {
	readonly mesh: ChaosMesh;
	readonly findings: Findings;
	readonly random: SeededRandom;
	/** Aborted at the end of the load. */
	readonly signal: AbortSignal;
	/** Keeps a history that shows a violation. */
	readonly keep: (name: string, history: unknown) => void;
	/** Known wrongs that the record of this run is given once each, as the proof that they are noticed. */
	readonly damages: ReadonlySet<Damage>;
}

/** What owners of the lock write under its guard: their tokens. */
export const guardedKey = 'chaos/lock/value';

export const damages = ['lost-write', 'stale-read', 'watch-gap', 'two-owners', 'dropped-stream'] as const;
export type Damage = (typeof damages)[number];

export interface Workload {
	/** Resolves when it has stopped. */
	readonly ended: Promise<unknown>;
	/** After a fault: rejects when what was promised is not there `withinMs`. */
	readonly settle?: (withinMs: number) => Promise<void>;
	/** At the end, with the mesh whole. */
	readonly finish?: () => Promise<void>;
}

/** Waits between operations; ends early with the load. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const done = (): void => {
			clearTimeout(timer);
			signal.removeEventListener('abort', done);
			resolve();
		};
		const timer = setTimeout(done, ms);
		signal.addEventListener('abort', done);
		if (signal.aborted) done();
	});
}

/** Runs `operation` again and again, with pauses drawn between the bounds, until the load ends. */
export async function repeat(
	{ random, signal }: Pick<WorkloadContext, 'random' | 'signal'>,
	[leastMs, mostMs]: readonly [number, number],
	operation: () => Promise<void>,
): Promise<void> {
	while (!signal.aborted) {
		await operation();
		await pause(leastMs + random.nextFloat() * (mostMs - leastMs), signal);
	}
}

export function pick<T>(random: SeededRandom, from: readonly T[]): T {
	return from[Math.floor(random.nextFloat() * from.length)] as T;
}
