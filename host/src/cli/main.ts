// Owns the process of a command: real streams, signals, environment and the exit code. The only file of the CLI that touches `process`
// beside facts of the platform.
import { randomBytes } from 'node:crypto';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { systemClock } from '../main/clock.js';
import { routes } from '../main/options.js';
import { setThriftyFlags } from '../main/thrifty-flags.js';
import { meshVersion } from '../main/version.js';
import type { CliContext } from './context.js';
import { EXIT_INTERRUPTED } from './errors.js';
import { runCli } from './program.js';
import { saveStream } from './save-stream.js';
import { stopOnSignals } from './signals.js';

const stop = stopOnSignals(process, systemClock, () => process.exit(EXIT_INTERRUPTED));
// A reader that has seen enough (`infermesh … | head`) ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
	if (error.code === 'EPIPE') process.exit(0);
	throw error;
});

const context: CliContext = {
	stdout: process.stdout,
	stderr: process.stderr,
	stdin: process.stdin,
	env: process.env,
	clock: systemClock,
	version: meshVersion,
	signal: stop,
	// The mesh sets engine flags and loads much: only commands that start one pay for it.
	startMesh: async (loaded, deps) => {
		if (!routes(loaded.config)) setThriftyFlags();
		return (await import('../main/meshd.js')).startMesh(loaded, deps);
	},
	readText: (path) => readFileSync(path, 'utf8'),
	readPieces: (path) => createReadStream(path),
	writeFile: (path, content) => writeFileSync(path, content),
	saveStream,
	randomBytes,
};

process.exitCode = await runCli(process.argv.slice(2), context);
