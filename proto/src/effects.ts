// Owns the interfaces through which everything below a composition root touches the world: time and randomness.
// Only host/src/main, the CLI and tests construct real ones.

/** Monotonic and wall time, and timers. */
export interface Clock {
	/** Monotonic milliseconds with a fraction; the origin is arbitrary. */
	nowMs(): number;
	/** Milliseconds since the Unix epoch. */
	wallMs(): number;
	/** Runs `fn` once after `delayMs`. The timer does not keep a process alive when `unref` is true. */
	after(delayMs: number, fn: () => void, options?: { readonly unref?: boolean }): Timer;
	/** Runs `fn` every `periodMs` until cancelled. */
	every(periodMs: number, fn: () => void, options?: { readonly unref?: boolean }): Timer;
}

export interface Timer {
	cancel(): void;
}

/** A stream of uniform random numbers. */
export interface Random {
	/** An unsigned 32-bit integer. */
	nextU32(): number;
	/** A float in [0, 1) with 32 bits of randomness. */
	nextFloat(): number;
}
