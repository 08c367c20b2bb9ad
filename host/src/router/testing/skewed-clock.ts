// Owns a real clock that a test can set forward, so that what waits for a timeout need not wait for the time.
import type { Clock } from '@infermesh/proto';
import { testClock } from './kit.js';

export interface SkewedClock {
	readonly clock: Clock;
	readonly advance: (byMs: number) => void;
}

/** Timers run in real time; what compares times sees the skew. */
export function skewedClock(): SkewedClock {
	let skewMs = 0;
	return {
		clock: { ...testClock, nowMs: () => testClock.nowMs() + skewMs },
		advance(byMs) {
			skewMs += byMs;
		},
	};
}
