// Owns network namespaces for the nodes of a run: one for each, joined by a bridge in the namespace of the run itself, where the relay listens. Packets are
// lost by the kernel's own packet filter. All of it ends with the processes that hold it; nothing is done to the machine's own network.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import process from 'node:process';
import { eventually } from '../../support/mesh.js';
import { program, run } from '../../support/programs.js';
import type { Places } from './mesh.js';

const hub = '10.77.0.254';
const hostOf = (at: number): string => `10.77.0.${at + 1}`;
const frontOf = (at: number): string => `10.77.1.${at + 1}`;
/** Set in the environment of a run that has a namespace of its own. */
const inside = 'INFERMESH_CHAOS_NAMESPACE';

/** Why it cannot be had here; undefined when it can. */
function missing(): string | undefined {
	if (process.getuid?.() !== 0) return 'making network namespaces needs root';
	try {
		for (const [name, debianPackage] of [
			['unshare', 'util-linux'],
			['nsenter', 'util-linux'],
			['ip', 'iproute2'],
			['iptables', 'iptables'],
		] as const)
			program(name, debianPackage);
		return undefined;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

/** Whether this process has a namespace of its own already. */
export function isInside(): boolean {
	return process.env[inside] !== undefined;
}

/** Runs this command line once more, in a namespace of its own, to its end; answers its exit code. Throws when that is impossible. */
export async function runInside(): Promise<number> {
	const why = missing();
	if (why !== undefined) throw new Error(`--netns cannot be had: ${why}`);
	const line = ['--net', process.execPath, ...process.execArgv, ...process.argv.slice(1)];
	const child = spawn(program('unshare', 'util-linux'), line, {
		stdio: 'inherit',
		env: { ...process.env, [inside]: '1' },
	});
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
	const [code] = (await once(child, 'exit')) as [number | null];
	return code ?? 1;
}

async function must(file: string, ...args: readonly string[]): Promise<string> {
	const { code, output } = await run(file, args);
	if (code !== 0) throw new Error(`${file} ${args.join(' ')}: ${output.trim()}`);
	return output;
}

export class Namespaces {
	/** Processes that do nothing but keep a namespace. */
	readonly #keepers: readonly ChildProcess[];

	static async open(nodes: number): Promise<Namespaces> {
		const ip = program('ip', 'iproute2');
		await must(ip, 'link', 'set', 'lo', 'up');
		await must(ip, 'link', 'add', 'mesh', 'type', 'bridge');
		await must(ip, 'addr', 'add', `${hub}/16`, 'dev', 'mesh');
		await must(ip, 'link', 'set', 'mesh', 'up');
		const own = readlinkSync('/proc/self/ns/net');
		const keepers: ChildProcess[] = [];
		const made = new Namespaces(keepers);
		try {
			for (let at = 0; at < nodes; at++) {
				const keeper = spawn(program('unshare', 'util-linux'), ['--net', program('sleep', 'coreutils'), 'infinity'], {
					stdio: 'ignore',
					detached: true,
				});
				keepers.push(keeper);
				await eventually('a namespace is there', () => readlinkSync(`/proc/${keeper.pid}/ns/net`) !== own);
				await must(ip, 'addr', 'add', `${frontOf(at)}/16`, 'dev', 'mesh');
				await must(ip, 'link', 'add', `hub${at}`, 'type', 'veth', 'peer', 'name', `node${at}`);
				await must(ip, 'link', 'set', `node${at}`, 'netns', String(keeper.pid));
				await must(ip, 'link', 'set', `hub${at}`, 'master', 'mesh', 'up');
				await made.#in(at, ip, 'addr', 'add', `${hostOf(at)}/16`, 'dev', `node${at}`);
				await made.#in(at, ip, 'link', 'set', `node${at}`, 'up');
				await made.#in(at, ip, 'link', 'set', 'lo', 'up');
			}
		} catch (error) {
			await made.close();
			throw error;
		}
		return made;
	}

	private constructor(keepers: readonly ChildProcess[]) {
		this.#keepers = keepers;
	}

	get places(): Places {
		return {
			engineHost: hub,
			ownAddresses: true,
			places: this.#keepers.map((_, at) => ({ host: hostOf(at), front: frontOf(at), within: this.#enter(at) })),
		};
	}

	/** Packets from other nodes to this one are lost, as many as `share`; answers of its own clients are not touched. */
	async lose(at: number, share: number): Promise<void> {
		const statistic = ['-m', 'statistic', '--mode', 'random', '--probability', share.toFixed(3)];
		for (const direction of ['INPUT', 'OUTPUT'])
			await this.#in(
				at,
				program('iptables', 'iptables'),
				'-A',
				direction,
				...this.#between(direction),
				...statistic,
				'-j',
				'DROP',
			);
	}

	/** Packets lost so far by the rules in force. */
	async lost(at: number): Promise<number> {
		const listing = await this.#in(at, program('iptables', 'iptables'), '-L', '-v', '-x', '-n');
		return [...listing.matchAll(/^\s*(\d+)\s+\d+\s+DROP/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
	}

	async heal(): Promise<void> {
		for (const at of this.#keepers.keys()) await this.#in(at, program('iptables', 'iptables'), '-F');
	}

	async close(): Promise<void> {
		for (const keeper of this.#keepers) {
			if (keeper.exitCode !== null || keeper.signalCode !== null) continue;
			const ended = once(keeper, 'exit');
			keeper.kill('SIGKILL');
			await ended;
		}
	}

	/** All between nodes goes by the addresses of the relay's fronts; what is the run's own does not. */
	#between(direction: string): readonly string[] {
		return [direction === 'INPUT' ? '-s' : '-d', '10.77.1.0/24'];
	}

	#enter(at: number): readonly string[] {
		return [program('nsenter', 'util-linux'), `--net=/proc/${this.#keepers[at]?.pid}/ns/net`];
	}

	#in(at: number, ...line: readonly string[]): Promise<string> {
		const [file = '', ...args] = [...this.#enter(at), ...line];
		return must(file, ...args);
	}
}
