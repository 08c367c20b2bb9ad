// Owns the engine flags of meshd. Imported before anything that compiles WebAssembly. Without the baseline compiler a module's code is
// optimised at once: no tier-up jitter in decisions, and a loop's interrupt check is never folded into a tier-up budget.
import { setFlagsFromString } from 'node:v8';
import type { Worker } from 'node:worker_threads';

setFlagsFromString('--no-liftoff');
setFlagsFromString('--no-wasm-lazy-compilation');
// Bodies lie outside the JavaScript heap. By default V8 marks the whole heap for every few megabytes of them; counted with the rest, they start a collection when
// heap and bodies together have grown by as much as is worth one.
setFlagsFromString('--external-memory-accounted-in-global-limit');
// How much that is follows by default from how fast a thread has allocated lately: after a pause of seconds it is a tenth of what lives, a few bodies, and most
// of them would have gone with the young generation. Measured with prompts of 400 KB and pauses of 9 s: a collection for every 24 requests, 2.4 ms of
// V8's helper threads a request; at three times what lives none, and 0.2 ms. V8 itself goes as far as four times.
setFlagsFromString('--heap-growing-percent=200');

/**
 * MiB of each half of a data-plane worker's young generation, at the least and at the most. V8 shrinks it to one or two when a thread has been quiet, and grows it
 * again only for what survives: a request leaves little, so a worker collected every fifty requests from then on, promoted a part of each, and marked its old
 * generation for it. Measured at 1,000 requests/s of 2 KB: 200 collections, and 39 with this. Where much survives, as when thousands of streams are opened, V8
 * grows each half to 64 MiB and keeps both while anything is sent: 96 MiB more, as much as 5,000 open streams keep besides.
 */
const ROUTING_HALF_MIB = 16;

let starting = 0;

/** Starts a data-plane worker with a young generation fit for requests. A thread's heap is laid out as it starts, by the flags of that time. */
export function withRoomForRequests(start: () => Worker): Worker {
	setHalves(ROUTING_HALF_MIB);
	const thread = start();
	starting++;
	let begun = false;
	const begin = (): void => {
		if (begun) return;
		begun = true;
		if (--starting === 0) setHalves(0);
	};
	thread.once('online', begin);
	thread.once('exit', begin);
	return thread;
}

/** For threads that start from now on; 0 = as V8 would have it. */
function setHalves(mib: number): void {
	setFlagsFromString(`--min-semi-space-size=${mib}`);
	setFlagsFromString(`--max-semi-space-size=${mib}`);
}
