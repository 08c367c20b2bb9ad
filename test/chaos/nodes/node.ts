// Owns one node of a run: a real `infermesh agent` from a real configuration, started, stopped, killed and paused by its process id, and when it was not
// itself, which says what may be blamed on it.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdminClient, AdminError } from '../../support/admin.js';
import { eventually } from '../../support/mesh.js';
import { NodeLog } from './node-log.js';

export const command = fileURLToPath(new URL('../../../../host/dist/src/cli/main.js', import.meta.url));

export const startWithinMs = 120_000;
const callTimeoutMs = 15_000;
const looksMs = 50;

export interface NodePlace {
	/** Where it listens. */
	readonly host: string;
	/** Where the other nodes are told to reach it. */
	readonly front: string;
	readonly ports: {
		readonly agent: number;
		readonly raft: number;
		readonly gossip: number;
		readonly data: number;
		readonly admin: number;
	};
	/** What to start before the command, to be where it is to be. */
	readonly within: readonly string[];
}

export interface NodeOptions extends NodePlace {
	readonly name: string;
	readonly folder: string;
	/** Parts of the configuration that are the same on all. */
	readonly config: Readonly<Record<string, unknown>>;
	readonly adminToken: string;
	/** Called when the process has begun (its id) or ended (0). */
	readonly onProcess: (pid: number) => Promise<void>;
	/** Called when it has ended and nobody had asked for it. */
	readonly onDeath: (how: string) => void;
}

export class ChaosNode {
	readonly name: string;
	readonly place: NodePlace;
	readonly admin: AdminClient;
	readonly data: string;
	readonly log: NodeLog;
	readonly stateFolder: string;
	readonly #options: NodeOptions;
	readonly #file: string;
	#child: ChildProcess | undefined;
	#pid = 0;
	#changedMs = Number.NEGATIVE_INFINITY;
	#killedMs = Number.NEGATIVE_INFINITY;
	#ready = false;
	#closed = false;
	#asked = true;
	#gently = false;

	constructor(options: NodeOptions) {
		const { name, folder, host, front, ports, config, adminToken } = options;
		this.name = name;
		this.place = options;
		this.#options = options;
		this.admin = new AdminClient(`http://${host}:${ports.admin}`, adminToken, callTimeoutMs);
		this.data = `http://${host}:${ports.data}`;
		this.stateFolder = path.join(folder, 'state');
		mkdirSync(this.stateFolder, { recursive: true });
		this.log = new NodeLog(path.join(folder, 'log.jsonl'));
		this.#file = path.join(folder, 'node.yaml');
		const own = {
			...config,
			state_dir: this.stateFolder,
			node: { id: name, zone: `zone-${name}`, region: 'r' },
			fabric: {
				...(config['fabric'] as object),
				host,
				advertise: front,
				agent_port: ports.agent,
				raft_port: ports.raft,
				gossip_port: ports.gossip,
			},
			data: { ...(config['data'] as object), host, port: ports.data },
			// The namespaces are on this machine: nobody else is on the way.
			admin: { ...(config['admin'] as object), host, port: ports.admin, allow_cleartext: true },
		};
		writeFileSync(this.#file, JSON.stringify(own, undefined, '\t'));
	}

	get configFile(): string {
		return this.#file;
	}

	/** 0 while it is down. */
	get pid(): number {
		return this.#pid;
	}

	get up(): boolean {
		return this.#pid > 0;
	}

	/** It has answered since its process began. */
	get ready(): boolean {
		return this.#ready;
	}

	/** Where other nodes join. */
	get agent(): string {
		return `${this.place.front}:${this.place.ports.agent}`;
	}

	/** Where clients of replicated state reach it, past the relay. */
	get raft(): string {
		return `${this.place.host}:${this.place.ports.raft}`;
	}

	/** Whether it was down, or had not come up yet, at some time since: it need not have answered. */
	awaySince(atMs: number): boolean {
		return !this.#ready || this.#changedMs >= atMs;
	}

	/** Whether it ended without being asked to, at some time since: what it had begun may be cut. */
	killedSince(atMs: number): boolean {
		return this.#killedMs >= atMs;
	}

	/** Resolves when it answers. */
	async start(...joining: readonly string[]): Promise<void> {
		if (this.#closed) throw new Error(`${this.name} is not started any more`);
		const line = [...this.#options.within, process.execPath, command, 'agent', '--config', this.#file, ...joining];
		const child = spawn(line[0] ?? '', line.slice(1), {
			stdio: ['ignore', 'pipe', 'pipe'],
			// Ctrl-C is for the run, which ends its nodes itself.
			detached: true,
		});
		this.#child = child;
		this.#pid = child.pid ?? 0;
		this.#asked = false;
		this.#gently = false;
		this.#changedMs = performance.now();
		for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => this.log.append(chunk));
		child.once('exit', (code, signal) => this.#gone(child, code, signal));
		await this.#options.onProcess(this.#pid);
		await eventually(
			`${this.name} answers`,
			async () => {
				if (this.#child !== child || !this.up) throw new Error(`${this.name} has ended; see ${this.log.file}`);
				return this.admin.status().then(
					() => true,
					(error: unknown) => error instanceof AdminError && error.status < 500,
				);
			},
			{ withinMs: startWithinMs, everyMs: looksMs },
		);
		this.#changedMs = performance.now();
		this.#ready = true;
	}

	/** Ends the process, which then is no surprise, and resolves with its exit code when it has; undefined when it was not running. */
	end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null | undefined> {
		const child = this.#child;
		if (child === undefined || !this.up) return Promise.resolve(undefined);
		this.#asked = true;
		this.#ready = false;
		this.#gently = signal === 'SIGTERM';
		if (!this.#gently) this.#killedMs = performance.now();
		const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
		this.#send(signal);
		// A process that is stopped takes no other signal.
		if (signal === 'SIGTERM') this.#send('SIGCONT');
		return ended;
	}

	/** Ends the process for good: nothing starts it again. */
	async close(): Promise<void> {
		this.#closed = true;
		await this.end('SIGKILL');
	}

	/** Its end, should it come now, is expected: its disk is being broken. */
	expectEnd(): void {
		this.#asked = true;
	}

	pause(): void {
		this.#send('SIGSTOP');
	}

	resume(): void {
		this.#send('SIGCONT');
	}

	/** Stopped by a signal, as the kernel says (proc(5)). */
	get paused(): boolean {
		if (!this.up) return false;
		const stat = readFileSync(`/proc/${this.#pid}/stat`, 'latin1');
		return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
	}

	/** Forgets all it knew. The folder itself stays: it may be a file system. */
	wipe(): void {
		for (const name of readdirSync(this.stateFolder))
			rmSync(path.join(this.stateFolder, name), { recursive: true, force: true });
	}

	/** A sample without labels; undefined when the node has none, or does not answer. */
	async metric(name: string): Promise<number | undefined> {
		const text = await fetch(`${this.admin.url}/metrics`, {
			headers: { authorization: `Bearer ${this.#options.adminToken}` },
			signal: AbortSignal.timeout(callTimeoutMs),
		}).then(
			(response) => response.text(),
			() => '',
		);
		const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1];
		return found === undefined ? undefined : Number(found);
	}

	#send(signal: NodeJS.Signals): void {
		if (this.up) this.#child?.kill(signal);
	}

	#gone(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
		if (this.#child !== child) return;
		this.#pid = 0;
		this.#ready = false;
		this.#changedMs = performance.now();
		if (!this.#gently) this.#killedMs = this.#changedMs;
		void this.#options.onProcess(0);
		if (!this.#asked) this.#options.onDeath(`${this.name} ended by itself: ${signal ?? `code ${code}`}`);
	}
}
