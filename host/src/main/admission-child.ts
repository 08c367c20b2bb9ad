// Owns the child process in which one module is admitted: it gets bytes and options, sends one answer, and ends. Its parent limits its heap
// and kills it when it takes too long, so whatever the bytes contain happens here.
import { setFlagsFromString } from 'node:v8';
import { inspectModule } from '../strategy/admission/inspect.js';
import type { Inspection, InspectOptions } from '../strategy/admission/try-out.js';
import { systemClock } from './clock.js';

// As in meshd: the whole module is compiled here, optimised, within this process's limits, before the mesh compiles it again.
setFlagsFromString('--no-liftoff');
setFlagsFromString('--no-wasm-lazy-compilation');

// Listens on after its one message: the channel keeps it alive until the parent has read the answer and disconnects. A child that ended by
// itself could be seen to exit before its answer is.
process.on('message', (message: { readonly bytes: Uint8Array; readonly options: InspectOptions }) => {
	const inspection = inspectModule(message.bytes, message.options, systemClock);
	const { user, system } = process.cpuUsage();
	const answer: Inspection = { ...inspection, report: { ...inspection.report, cpuMs: (user + system) / 1000 } };
	process.send?.(answer);
});
