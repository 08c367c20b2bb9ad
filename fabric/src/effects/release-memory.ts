// Owns giving back what a start has left behind: the code and the objects of starting are tens of megabytes that a thread which is idle afterwards would
// keep for hours, since V8 collects when something is allocated.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock, Timer } from '@infermesh/proto';

/** A thread has settled by then: what it needed once is garbage. */
const SETTLED_MS = 10_000;

type Collect = (options: {
	readonly type: 'major';
	readonly execution: 'sync';
	readonly flavor: 'last-resort';
}) => void;

/** Collects once, when this thread has settled. Takes 20 to 60 ms of it then, less than a heartbeat. */
export function releaseMemoryOnceSettled(clock: Pick<Clock, 'after'>): Timer {
	return clock.after(SETTLED_MS, collect, { unref: true });
}

function collect(): void {
	setFlagsFromString('--expose-gc');
	const gc = runInNewContext('gc') as Collect;
	// As if memory were short: pages are given back.
	gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
