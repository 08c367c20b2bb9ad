// Owns running the tools of GPU vendors: without a shell, bounded in time and output. One that does not die when it is killed, as a tool that waits for
// a driver may not, is left behind rather than waited for.
import { execFile } from 'node:child_process';
import { buildNvmlAddon, NvmlLibrary } from '@infermesh/adapters';
import type { ReadNvml, RunTool } from '../../signals/source-poller.js';
import { systemClock } from '../clock.js';

export const runTool: RunTool = (command, args, { timeoutMs, bytesMax }) =>
	new Promise((resolve, reject) => {
		const options = { maxBuffer: bytesMax, encoding: 'utf8' as const, windowsHide: true };
		const child = execFile(command, [...args], options, (error, stdout, stderr) => {
			clearTimeout(deadline);
			const code = error === null ? 0 : typeof error.code === 'number' ? error.code : undefined;
			if (code === undefined) reject(error ?? new Error('it ended without a code'));
			else if (code !== 0 && stdout.trim() === '')
				reject(new Error(`it ended with ${code}: ${stderr.trim().slice(0, 200)}`));
			else resolve({ code, output: stdout });
		});
		const deadline = setTimeout(() => {
			child.kill('SIGKILL');
			child.unref();
			reject(new DOMException(`${command} did not answer in ${timeoutMs} ms`, 'TimeoutError'));
		}, timeoutMs);
		deadline.unref();
	});

/** Libraries that are open, or on the way to it; one that could not be built or opened is tried again. */
const libraries = new Map<string, Promise<NvmlLibrary>>();

export const readNvml: ReadNvml = async (library, { timeoutMs, ...look }) => {
	let opening = libraries.get(library);
	if (opening === undefined) {
		opening = buildNvmlAddon().then((addon) => new NvmlLibrary(addon, library, systemClock));
		libraries.set(library, opening);
		opening.catch(() => libraries.delete(library));
	}
	return await (await opening).look(look, timeoutMs);
};
