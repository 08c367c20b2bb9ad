// Owns an emulated engine in a process of its own: it can be killed as a real one dies, and comes back on the same port.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { FaultSettings } from '@infermesh/host';

const command = fileURLToPath(new URL('../../../host/dist/src/cli/main.js', import.meta.url));

export interface EngineProcessOptions {
	readonly seed: number;
	readonly speed: number;
	readonly host?: string;
}

export class EngineProcess {
	readonly #options: EngineProcessOptions;
	#child: ChildProcess | undefined;
	#url = '';

	constructor(options: EngineProcessOptions) {
		this.#options = options;
	}

	get url(): string {
		return this.#url;
	}

	/** Resolves when it serves. Started again it takes the port it had. */
	async start(): Promise<void> {
		const { seed, speed, host = '127.0.0.1' } = this.#options;
		const port = this.#url === '' ? '0' : new URL(this.#url).port;
		const args = ['--json', '--port', port, '--host', host, '--seed', String(seed), '--speed', String(speed)];
		// A group of its own: what is typed at the terminal is not for it.
		const child = spawn(process.execPath, [command, 'engine', ...args], {
			stdio: ['ignore', 'pipe', 'inherit'],
			detached: true,
		});
		this.#child = child;
		let text = '';
		for await (const line of createInterface(child.stdout)) {
			text += line;
			const url = /"url":\s*"([^"]+)"/.exec(text)?.[1];
			if (url === undefined) continue;
			this.#url = url;
			child.stdout.resume();
			return;
		}
		throw new Error(`an engine did not come up: ${text}`);
	}

	async kill(): Promise<void> {
		const child = this.#child;
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
		child.kill('SIGKILL');
		await once(child, 'exit');
	}

	async fault(settings: FaultSettings): Promise<void> {
		const answer = await fetch(`${this.#url}/_fault`, { method: 'POST', body: JSON.stringify(settings) });
		if (!answer.ok) throw new Error(`the engine took no fault: ${answer.status} ${await answer.text()}`);
	}
}
