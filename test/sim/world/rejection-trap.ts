// Owns what happens to a promise that is rejected inside a simulation with nobody to take it: it is the run's failure and nobody else's. Node tells of
// it while microtasks are drained, so listeners from outside are set aside only as long as events happen.
import process from 'node:process';

type Listener = (reason: unknown, promise: Promise<unknown>) => void;

export class RejectionTrap {
	readonly #others: readonly Listener[];
	readonly #own: Listener;
	first: Error | undefined;

	constructor() {
		this.#others = process.listeners('unhandledRejection');
		process.removeAllListeners('unhandledRejection');
		this.#own = (reason): void => {
			this.first ??= new Error('a promise was rejected inside the simulation and nobody took it', { cause: reason });
		};
		process.on('unhandledRejection', this.#own);
	}

	close(): void {
		process.off('unhandledRejection', this.#own);
		for (const listener of this.#others) process.on('unhandledRejection', listener);
	}
}
