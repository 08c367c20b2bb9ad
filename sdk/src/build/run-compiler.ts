// Owns running a compiler as a program: what it said, and that it ends. One that takes too long is ended and named, so that a machine that is too busy is no mistake in the source.
import { execFile } from 'node:child_process';
import { MeshError } from '@infermesh/proto';
import { buildErrors } from './errors.js';

const TIMEOUT_MS = 600_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export interface Said {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Resolves to what a program said; undefined when there is no such program. Rejects with IM_BUILD_TIMEOUT after `timeoutMs`. */
export function run(
	file: string,
	args: readonly string[],
	cwd: string,
	timeoutMs: number = TIMEOUT_MS,
): Promise<Said | undefined> {
	return new Promise((resolve, reject) => {
		const options = { cwd, timeout: timeoutMs, maxBuffer: OUTPUT_BYTES_MAX, encoding: 'utf8' } as const;
		execFile(file, [...args], options, (error, stdout, stderr) => {
			if (error?.code === 'ENOENT') resolve(undefined);
			else if (error?.killed === true && error.signal === 'SIGTERM')
				reject(
					new MeshError(buildErrors, 'IM_BUILD_TIMEOUT', `\`${file}\` did not end within ${timeoutMs / 1000} s`, {
						where: cwd,
						cause: error,
					}),
				);
			else resolve({ code: error === null ? 0 : 1, stdout, stderr });
		});
	});
}
