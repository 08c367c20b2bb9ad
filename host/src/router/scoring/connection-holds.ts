// Owns the connections that hold admissions: when one breaks, what it holds is given back, for nobody is left to report. A connection that this router has told to go, for its
// age or for doing nothing, breaks nothing: its caller is there and has another.
import type { RouterEnv } from '../env.js';

/** What tells of a connection's end: a socket of HTTP/1.1, or a session of HTTP/2. */
export interface Closing {
	once(event: 'close' | 'timeout', listener: () => void): unknown;
}

export class ConnectionHolds {
	readonly #env: RouterEnv;
	readonly #released: (connection: object) => void;
	/** Connections that have broken, and those whose end is waited for. */
	readonly #gone = new WeakSet<object>();
	readonly #watched = new WeakSet<object>();

	/** `released` is called once for each connection that breaks. */
	constructor(env: RouterEnv, released: (connection: object) => void) {
		this.#env = env;
		this.#released = released;
	}

	isGone(connection: object): boolean {
		return this.#gone.has(connection);
	}

	/** `connection` holds something from now on; `closing` tells of its end. `idles`: Node closes it when it does nothing, and tells of that before. */
	watch(connection: object, closing: Closing | undefined, idles = false): void {
		if (this.#watched.has(connection)) return;
		this.#watched.add(connection);
		if (idles) closing?.once('timeout', () => void this.#env.dismissed.add(connection));
		closing?.once('close', () => {
			if (this.#env.dismissed.has(connection)) return;
			this.#gone.add(connection);
			this.#released(connection);
		});
	}
}
