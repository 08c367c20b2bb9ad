// Owns a real clock for child processes of tests, which would otherwise load all of the host for one.
import type { Clock } from '@infermesh/proto';

export const realClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after(delayMs, fn) {
		const timer = setTimeout(fn, delayMs);
		return { cancel: () => clearTimeout(timer) };
	},
	every(periodMs, fn) {
		const timer = setInterval(fn, periodMs);
		return { cancel: () => clearInterval(timer) };
	},
};
