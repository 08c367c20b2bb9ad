// Owns the wait between two questions of a command that watches something: it ends at once when the command is told to stop.
import type { CliContext } from './context.js';

/** Resolves after `ms`, or at once when the signal aborts. */
export function pause(context: CliContext, ms: number): Promise<void> {
	return new Promise((resolve) => {
		if (context.signal.aborted) return resolve();
		const done = (): void => {
			timer.cancel();
			context.signal.removeEventListener('abort', done);
			resolve();
		};
		const timer = context.clock.after(ms, done);
		context.signal.addEventListener('abort', done);
	});
}
