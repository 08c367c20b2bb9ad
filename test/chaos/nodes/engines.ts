// Owns the emulated engines of a run: a process of `infermesh engine` for each node, and one quick engine in this process that knows what answers say.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type EngineHandle, startEngine, systemClock } from '@infermesh/host';
import { MODEL } from '../../support/mesh.js';
import { Oracle } from '../../support/traffic.js';
import { command } from './node.js';

/** So slow that a stream lasts through a fault. */
const speed = 0.25;
const oracleSpeed = 1_000;

export class Engines {
	readonly urls: readonly string[];
	readonly oracle: Oracle;
	readonly #children: readonly ChildProcess[];
	readonly #quick: EngineHandle;

	static async open(count: number, host: string): Promise<Engines> {
		const children: ChildProcess[] = [];
		const urls: string[] = [];
		for (let at = 0; at < count; at++) {
			const options = ['--json', '--port', '0', '--host', host, '--seed', String(at + 1), '--speed', String(speed)];
			const child = spawn(process.execPath, [command, 'engine', ...options], {
				stdio: ['ignore', 'pipe', 'inherit'],
				detached: true,
			});
			children.push(child);
			let text = '';
			for await (const line of createInterface(child.stdout)) {
				text += line;
				const url = /"url":\s*"([^"]+)"/.exec(text)?.[1];
				if (url === undefined) continue;
				urls.push(url);
				break;
			}
			child.stdout.resume();
		}
		const quick = await startEngine({ clock: systemClock, models: [MODEL], speed: oracleSpeed, drainTimeoutMs: 0 });
		return new Engines(children, urls, quick);
	}

	private constructor(children: readonly ChildProcess[], urls: readonly string[], quick: EngineHandle) {
		this.#children = children;
		this.urls = urls;
		this.#quick = quick;
		this.oracle = new Oracle(quick.url);
	}

	async close(): Promise<void> {
		await Promise.all(
			this.#children.map(async (child) => {
				child.kill('SIGKILL');
				if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
			}),
		);
		await this.#quick.close();
	}
}
