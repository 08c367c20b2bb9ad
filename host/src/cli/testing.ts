// Owns a context for tests of the command line: streams that are kept, files in a map, a signal that the test aborts.
import { PassThrough, Writable } from 'node:stream';
import { systemClock } from '../main/clock.js';
import type { CliContext, StartMesh } from './context.js';
import { runCli } from './program.js';

class Kept extends Writable {
	text = '';

	override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
		this.text += chunk.toString();
		done();
	}
}

export interface Ran {
	readonly code: number;
	readonly out: string;
	readonly err: string;
	/** Standard output as JSON; undefined when it is none. */
	readonly json: unknown;
}

export interface RunOptions {
	readonly env?: Readonly<Record<string, string>>;
	readonly files?: Readonly<Record<string, string>>;
	readonly startMesh?: StartMesh;
	/** What comes in on standard input. */
	readonly stdin?: string;
	/** Aborted by the test; by default already aborted, so that foreground commands end at once. */
	readonly signal?: AbortSignal;
	readonly written?: Map<string, string>;
	/** Told what was printed so far, at each write to standard output. */
	readonly onOutput?: (text: string) => void;
}

function parse(text: string): unknown {
	try {
		return JSON.parse(text) as unknown;
	} catch {
		return undefined;
	}
}

/** Runs one command line in process. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
	const stdout = new Kept();
	const stderr = new Kept();
	const context: CliContext = {
		stdout: {
			write: (text) => {
				stdout.write(text);
				options.onOutput?.(stdout.text);
			},
		},
		stderr,
		stdin: new PassThrough().end(options.stdin ?? ''),
		env: options.env ?? {},
		clock: systemClock,
		version: '0.1.0',
		signal: options.signal ?? AbortSignal.abort(),
		startMesh: options.startMesh ?? (() => Promise.reject(new Error('no mesh in this test'))),
		readText: (path) => {
			const found = options.files?.[path];
			if (found === undefined)
				throw Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' });
			return found;
		},
		readPieces: async function* (path) {
			const found = options.files?.[path];
			if (found === undefined)
				throw Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' });
			yield Buffer.from(found, 'latin1');
		},
		writeFile: (path, content) => void options.written?.set(path, content.toString()),
		saveStream: async (path, pieces) => {
			const parts: Uint8Array[] = [];
			for await (const piece of pieces) parts.push(Uint8Array.from(piece));
			options.written?.set(path, Buffer.concat(parts).toString('latin1'));
		},
		randomBytes: (count) => new Uint8Array(count).fill(7),
	};
	const code = await runCli(argv, context);
	return { code, out: stdout.text, err: stderr.text, json: parse(stdout.text) };
}
