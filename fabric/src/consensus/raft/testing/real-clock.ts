// Owns real time for the few tests that use real connections.
import type { Clock, Timer } from '@infermesh/proto';

export const realClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after: (delayMs, fn, options): Timer => {
		const timer = setTimeout(fn, delayMs);
		if (options?.unref === true) timer.unref();
		return { cancel: () => clearTimeout(timer) };
	},
	every: (periodMs, fn, options): Timer => {
		const timer = setInterval(fn, periodMs);
		if (options?.unref === true) timer.unref();
		return { cancel: () => clearInterval(timer) };
	},
};
