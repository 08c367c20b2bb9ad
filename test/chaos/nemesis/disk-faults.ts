// Owns faults of disks: syncs that fail or take long, by injection into the system calls of a running node (strace), and a file system without room.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '../../support/mesh.js';
import { program } from '../../support/programs.js';
import { anyNode, between, type Fault, type FaultContext, othersThan, type Struck } from './fault.js';

const stopsWithinMs = 30_000;
const ballastPieceBytes = 256 * 1024;
/** Written through the group until the full disk is felt; of one key, so that it does not add up. */
const bulkValueBytes = 200 * 1024;
const bulkWritesMax = 200;

/** strace on all threads of a running process. */
class Injection {
	readonly #child: ChildProcess;
	readonly #file: string;

	constructor(pid: number, inject: string, file: string) {
		rmSync(file, { force: true });
		this.#file = file;
		const what = ['-e', 'trace=fdatasync', '-e', `inject=fdatasync:${inject}`];
		this.#child = spawn(program('strace', 'strace'), ['-f', '-qq', '-o', file, ...what, '-p', String(pid)], {
			stdio: 'ignore',
			detached: true,
		});
	}

	/** Calls that were changed. */
	get count(): number {
		if (!existsSync(this.#file)) return 0;
		return (readFileSync(this.#file, 'latin1').match(/\((INJECTED|DELAYED)\)/g) ?? []).length;
	}

	async end(): Promise<void> {
		if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
		const ended = once(this.#child, 'exit');
		this.#child.kill('SIGINT');
		await ended;
	}
}

const noStrace = (): string | undefined => {
	try {
		program('strace', 'strace');
		return undefined;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
};

async function failingSync(context: FaultContext): Promise<Struck> {
	const { mesh, random, folder } = context;
	const at = anyNode(context);
	const node = mesh.node(at);
	const from = node.log.position;
	node.expectEnd();
	const injection = new Injection(node.pid, 'error=EIO:when=1', path.join(folder, `strace-${node.name}`));
	// A member that cannot trust its disk stops by name, and only that member.
	const stopped = (): boolean => node.log.has(/IM_LOG_DISK_FAILED/, from);
	await eventually(`${node.name} stops by name`, stopped, { withinMs: stopsWithinMs, everyMs: 50 });
	const injected = injection.count;
	await injection.end();
	return {
		what: node.name,
		holdMs: between(random, 500, 3_000),
		fired: () => injected > 0 && stopped(),
		able: othersThan(context, at),
		restarts: true,
		heal: async () => {
			await node.end('SIGKILL');
			await node.start();
		},
	};
}

async function slowSync(context: FaultContext): Promise<Struck> {
	const { mesh, random, folder } = context;
	const node = mesh.node(anyNode(context));
	const delayMs = Math.round(between(random, 50, 600));
	const injection = new Injection(node.pid, `delay_enter=${delayMs * 1_000}`, path.join(folder, `strace-${node.name}`));
	return {
		what: `${node.name}, ${delayMs} ms each`,
		holdMs: between(random, 4_000, 8_000),
		fired: () => injection.count > 0,
		heal: () => injection.end(),
	};
}

/** Takes all the room there is. */
function fill(file: string): number {
	const ballast = openSync(file, 'w');
	let bytes = 0;
	try {
		for (let size = ballastPieceBytes; size >= 512; size /= 2) {
			const piece = Buffer.alloc(size, 1);
			try {
				for (;;) bytes += writeSync(ballast, piece);
			} catch (error) {
				if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
			}
		}
	} finally {
		closeSync(ballast);
	}
	return bytes;
}

async function fullDisk(context: FaultContext): Promise<Struck> {
	const { mesh, random, smallDisk = 0 } = context;
	const node = mesh.node(smallDisk);
	const file = path.join(node.stateFolder, 'ballast');
	const bytes = fill(file);
	const [other = 0] = othersThan(context, smallDisk);
	const value = Buffer.alloc(bulkValueBytes, 7);
	const full = async (): Promise<boolean> => (await node.metric('infermesh_consensus_disk_full')) === 1;
	for (let write = 0; write < bulkWritesMax && !(await full()); write++)
		await mesh
			.client(other)
			.transact({ when: [], then: [{ put: 'bulk/value', value }] })
			.catch(() => undefined);
	return {
		what: `${node.name}, ${Math.round(bytes / 1024 / 1024)} MiB of ballast`,
		holdMs: between(random, 2_000, 5_000),
		fired: full,
		able: othersThan(context, smallDisk),
		heal: async () => {
			rmSync(file, { force: true });
			await eventually(`${node.name} has room again`, async () => !(await full()), { withinMs: 15_000, everyMs: 100 });
		},
	};
}

export const diskFaults: readonly Fault[] = [
	{ name: 'a sync fails', missing: noStrace, strike: failingSync },
	{ name: 'syncs take long', missing: noStrace, strike: slowSync },
	{
		name: 'disk full',
		missing: ({ smallDisk }) => (smallDisk === undefined ? 'mounting a small file system needs root' : undefined),
		strike: fullDisk,
	},
];
