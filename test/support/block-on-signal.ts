// Preloaded into a node under test (NODE_OPTIONS=--import …): on SIGUSR2 its main loop computes for BLOCK_MS and does nothing else, as a runaway handler would. Signals
// are the main thread's; threads go on. It says on stderr for how long it did.
import process from 'node:process';
import { isMainThread } from 'node:worker_threads';

if (isMainThread)
	process.on('SIGUSR2', () => {
		const sinceMs = performance.now();
		const untilMs = sinceMs + Number(process.env['BLOCK_MS']);
		while (performance.now() < untilMs);
		process.stderr.write(`the main loop was blocked for ${Math.round(performance.now() - sinceMs)} ms\n`);
	});
