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

/** Resolves when `done` holds, looking every few milliseconds; rejects after 20 s. */
export function until(what: string, done: () => boolean): Promise<void> {
	return new Promise((resolve, reject) => {
		const give = realClock.after(20_000, () => {
			poll.cancel();
			reject(new Error(`not within 20 s: ${what}`));
		});
		const poll = realClock.every(5, () => {
			if (!done()) return;
			poll.cancel();
			give.cancel();
			resolve();
		});
	});
}
