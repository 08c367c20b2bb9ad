// Owns the processes of the router benches: starting them, what they have used of the machine (Linux's /proc), and ending them by their id.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Running {
	readonly pid: number;
	/** What the process said when it was ready. */
	readonly ready: unknown;
	close(): Promise<void>;
}

const READY_TIMEOUT_MS = 90_000;

/** Forks a module beside this one and waits for its first message. */
export function forkModule(name: string, args: readonly string[]): Promise<Running> {
	const child = fork(fileURLToPath(new URL(name, import.meta.url)), args, {
		stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
	});
	return whenReady(child, name, (ready) => child.once('message', ready));
}

/** Spawns a command and waits for `isReady` to find something in what it has printed. */
export function spawnCommand(
	command: string,
	args: readonly string[],
	isReady: (printed: string) => unknown,
): Promise<Running> {
	const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
	let printed = '';
	return whenReady(child, command, (ready) => {
		for (const stream of [child.stdout, child.stderr])
			stream.on('data', (chunk: Buffer) => {
				if (printed.length > 1 << 20) return;
				printed += chunk.toString('utf8');
				const found = isReady(printed);
				if (found !== undefined) ready(found);
			});
	});
}

function whenReady(
	child: ChildProcess,
	name: string,
	listen: (ready: (value: unknown) => void) => void,
): Promise<Running> {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => {
			child.kill('SIGKILL');
			reject(new Error(`${name} was not ready in ${READY_TIMEOUT_MS} ms`));
		}, READY_TIMEOUT_MS);
		const settle = (act: () => void): void => {
			clearTimeout(timer);
			act();
		};
		child.once('error', (error) => settle(() => reject(error)));
		child.once('exit', (code) => settle(() => reject(new Error(`${name} ended with ${code}`))));
		listen((ready) => settle(() => resolve({ pid: child.pid ?? 0, ready, close: () => end(child) })));
	});
}

function end(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
	return new Promise((resolve) => {
		const overdue = setTimeout(() => child.kill('SIGKILL'), 5000);
		child.once('exit', () => {
			clearTimeout(overdue);
			resolve();
		});
		child.kill('SIGTERM');
	});
}

/** Processor time (user + system) of a process and its direct children so far, ms: all threads, from the scheduler's own count. */
export function cpuMs(pid: number): number {
	let ns = 0;
	for (const each of [pid, ...childrenOf(pid)])
		for (const task of readdirSync(`/proc/${each}/task`))
			ns += Number(readFileSync(`/proc/${each}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
	return ns / 1e6;
}

/** Resident memory of a process and its direct children, bytes. */
export function residentBytes(pid: number): number {
	let kib = 0;
	for (const each of [pid, ...childrenOf(pid)])
		kib += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${each}/status`, 'utf8'))?.[1] ?? 0);
	return kib * 1024;
}

function childrenOf(pid: number): string[] {
	return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
		.trim()
		.split(' ')
		.filter((each) => each !== '');
}
