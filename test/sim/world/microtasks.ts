// Owns the draining of microtasks between simulated events. Node's own `process._tickCallback` runs next-tick callbacks and promise reactions until none
// is left, at once and from where it is called: about 40 ns when there are none. It does nothing while microtasks already run, so a world runs
// inside a `setImmediate` callback.
import process from 'node:process';

const tickCallback = (process as unknown as { readonly _tickCallback?: () => void })._tickCallback;

/** Runs every pending microtask and all that they lead to. */
export function drainMicrotasks(): void {
	if (tickCallback === undefined)
		throw new Error('this Node has no process._tickCallback; the simulation needs another way');
	tickCallback.call(process);
}

/** Proves, from where a world will run, that draining works there. */
export function assertDrains(): void {
	let drained = false;
	const chain = async (): Promise<void> => {
		for (let hop = 0; hop < 3; hop++) await Promise.resolve();
		drained = true;
	};
	void chain();
	drainMicrotasks();
	if (!drained) throw new Error('microtasks cannot be drained here: a world was started from inside a microtask');
}

/** Real `setImmediate`, taken before any world can trap it. */
const realSetImmediate = setImmediate;

/** Runs `body` where microtasks can be drained. */
export function outsideMicrotasks<T>(body: () => T): Promise<T> {
	return new Promise((resolve, reject) => {
		realSetImmediate(() => {
			try {
				resolve(body());
			} catch (error) {
				reject(error instanceof Error ? error : new Error(String(error)));
			}
		});
	});
}
