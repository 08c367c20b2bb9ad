// Owns how much processor time another process has used: what a limit on its work is counted in, so that a busy machine convicts no innocent. Linux.
import { readFileSync } from 'node:fs';

/** Kernel ticks of `/proc/PID/stat`: 100 a second on every Linux that Node runs on. */
const TICK_MS = 10;
/** Fields after the command's name, which is in brackets and may hold anything: user time is the 14th of all, system time the 15th. */
const USER_FIELD = 11;

/** Processor time of all threads of a process, ms, to 10 ms; undefined when it is gone or the system does not tell. */
export function processTimeMs(pid: number): number | undefined {
	try {
		const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
		const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
		const ticks = Number(fields[USER_FIELD]) + Number(fields[USER_FIELD + 1]);
		return Number.isFinite(ticks) ? ticks * TICK_MS : undefined;
	} catch {
		return undefined;
	}
}
