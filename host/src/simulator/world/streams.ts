// Owns the random streams of one simulation: each concern draws from its own, so that a change in one leaves the others as they were, and two strategies
// see the same requests at the same times.
import { SeededRandom } from '@infermesh/proto';

/** Streams by concern. Routers take one each from `router` on. */
export const Stream = { dealing: 1, faults: 2, assignment: 3, exploration: 4, router: 64 } as const;

export function stream(seed: number, concern: number): SeededRandom {
	return new SeededRandom(seed >>> 0, concern);
}
