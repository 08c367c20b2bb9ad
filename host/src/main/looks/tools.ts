// Owns running the tools of GPU vendors: without a shell, bounded in time and output. One that does not die when it is killed, as a tool that waits for
// a driver may not, is left behind rather than waited for.
import { execFile } from 'node:child_process';
import type { ReadNvml, RunTool } from '../../signals/source-poller.js';

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

export const readNvml: ReadNvml = () => Promise.reject(new Error('NVML is not built in'));
