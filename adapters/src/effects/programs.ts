// Owns running programs that tell about the machine (`ethtool`, `rdma`): without a shell, bounded in time and output.
import { execFile } from 'node:child_process';
import type { RunProgram } from './ports.js';

export const runProgram: RunProgram = (program, args, { timeoutMs, bytesMax }) =>
	new Promise((resolve, reject) => {
		const options = { timeout: timeoutMs, maxBuffer: bytesMax, encoding: 'utf8' as const, windowsHide: true };
		execFile(program, [...args], options, (error, stdout) => (error === null ? resolve(stdout) : reject(error)));
	});
