// Owns the real clock and randomness: the only place of the host, beside the CLI, that touches them.
import { randomBytes } from 'node:crypto';
import { type Clock, SeededRandom, type Timer } from '@infermesh/proto';
import { BEAT_MS, Beat } from './beat.js';

const beat = new Beat(() => performance.timeOrigin + performance.now());

export const systemClock: Clock = {
	nowMs: () => performance.now(),
	// Monotonic from the process's start, and on one base in all threads: ages are differences of this clock between threads.
	wallMs: () => performance.timeOrigin + performance.now(),
	after(delayMs, fn, options) {
		const timer = setTimeout(fn, delayMs);
		if (options?.unref === true) timer.unref();
		return { cancel: () => clearTimeout(timer) } satisfies Timer;
	},
	every(periodMs, fn, options) {
		if (periodMs >= BEAT_MS) return beat.every(periodMs, fn, options);
		const timer = setInterval(fn, periodMs);
		if (options?.unref === true) timer.unref();
		return { cancel: () => clearInterval(timer) } satisfies Timer;
	},
};

/** A generator seeded from the operating system. */
export function systemRandom(): SeededRandom {
	const seed = randomBytes(8);
	return new SeededRandom(seed.readUInt32LE(0), seed.readUInt32LE(4));
}
