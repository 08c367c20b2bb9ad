// Owns stopping: what the signals of a terminal or a supervisor mean, and waiting for them.
import type { EventEmitter } from 'node:events';
import type { Clock } from '@infermesh/proto';

/** A terminal sends Ctrl-C to every process in front, and npm and the launchers pass it on as well: what comes this soon is the same press. */
const SAME_PRESS_MS = 400;

/** Aborts at the first SIGINT, SIGTERM or SIGHUP of `source` (`process` fits); `again` is called when the user asks once more. */
export function stopOnSignals(
	source: Pick<EventEmitter, 'on'>,
	clock: Pick<Clock, 'nowMs'>,
	again: () => void,
): AbortSignal {
	const stop = new AbortController();
	let askedMs = 0;
	const ask = (): void => {
		if (!stop.signal.aborted) {
			askedMs = clock.nowMs();
			stop.abort();
		} else if (clock.nowMs() - askedMs > SAME_PRESS_MS) again();
	};
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) source.on(signal, ask);
	return stop.signal;
}

/** Resolves when `signal` aborts, at once if it has. */
export function aborted(signal: AbortSignal): Promise<void> {
	if (signal.aborted) return Promise.resolve();
	return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
