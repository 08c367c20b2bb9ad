// Owns real time for the processes of the consensus bench.
import type { Clock } from '@infermesh/proto';

export const benchClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after: (delayMs, fn) => {
		const timer = setTimeout(fn, delayMs);
		return { cancel: () => clearTimeout(timer) };
	},
	every: (periodMs, fn) => {
		const timer = setInterval(fn, periodMs);
		return { cancel: () => clearInterval(timer) };
	},
};
