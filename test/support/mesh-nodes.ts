// Owns real nodes of a mesh for tests: processes of the command line with state folders of their own, joined by a token, killed, stopped and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, type Teardown } from './mesh.js';
import { freePort } from './programs.js';

const command = fileURLToPath(new URL('../../../host/dist/src/cli/main.js', import.meta.url));

export interface NodeOptions {
	readonly roles?: readonly string[];
	readonly targets?: readonly Readonly<Record<string, unknown>>[];
	readonly zone?: string;
	readonly strategy?: string;
	/** Address that others are told instead of the one it listens on: a relay's. */
	readonly advertise?: string;
	/** `fabric.compat_level`: what an older version would speak. */
	readonly compatLevel?: number;
	readonly snapshotEntries?: number;
	/** Further keys of `consensus`. */
	readonly consensus?: Readonly<Record<string, unknown>>;
	/** Further keys of `fabric`. */
	readonly fabric?: Readonly<Record<string, unknown>>;
	/** Default: node-1, node-2 … */
	readonly name?: string;
	/** Further variables of the process's environment. */
	readonly env?: Readonly<Record<string, string>>;
	/** It answers after so long at the latest. Default 90,000. */
	readonly startMsMax?: number;
}

export interface Ended {
	readonly code: number | null;
	readonly out: string;
	readonly err: string;
}

export class MeshNode {
	readonly name: string;
	readonly admin: string;
	readonly data: string;
	readonly agent: string;
	/** Where other nodes reach it: agent, Raft and gossip. */
	readonly fabricPorts: readonly number[];
	/** Its configuration. */
	readonly file: string;
	readonly state: string;
	readonly #log: string;
	readonly #env: Readonly<Record<string, string>>;
	readonly #startMsMax: number;
	#child: ChildProcess | undefined;

	constructor(name: string, folder: string, ports: readonly number[], options: NodeOptions) {
		const [agent, raft, gossip, data, admin, wan] = ports;
		this.name = name;
		this.admin = `http://127.0.0.1:${admin}`;
		this.data = `http://127.0.0.1:${data}`;
		this.agent = `127.0.0.1:${agent}`;
		this.fabricPorts = ports.slice(0, 3);
		mkdirSync(folder, { recursive: true });
		this.file = path.join(folder, 'node.yaml');
		this.state = path.join(folder, 'state');
		this.#env = options.env ?? {};
		this.#startMsMax = options.startMsMax ?? 90_000;
		this.#log = path.join(folder, 'log.jsonl');
		const config = {
			state_dir: this.state,
			node: { id: name, zone: options.zone ?? 'a', region: 'r' },
			...(options.roles === undefined ? {} : { roles: options.roles }),
			fabric: {
				agent_port: agent,
				raft_port: raft,
				gossip_port: gossip,
				gossip_profile: 'local',
				lease_ttl_ms: 3000,
				compat_level: options.compatLevel ?? 0,
				...(options.advertise === undefined ? {} : { advertise: options.advertise }),
				wan_port: wan,
				...options.fabric,
			},
			consensus: {
				log_segment_bytes: 8 * 1024 * 1024,
				snapshot_entries: options.snapshotEntries ?? 10_000,
				...options.consensus,
			},
			data: { port: data, workers: 1, shutdown_grace_ms: 3000 },
			admin: { port: admin },
			strategy: { active: options.strategy ?? 'least_queue' },
			health: { period_ms: 200, healthy_after: 1 },
			targets: options.targets ?? [],
		};
		writeFileSync(this.file, JSON.stringify(config));
	}

	/** Changes parts of its configuration, by section; in force from the next start on. */
	configure(changes: Readonly<Record<string, Readonly<Record<string, unknown>>>>): void {
		const config = JSON.parse(readFileSync(this.file, 'utf8')) as Record<string, Record<string, unknown>>;
		for (const [section, values] of Object.entries(changes)) config[section] = { ...config[section], ...values };
		writeFileSync(this.file, JSON.stringify(config));
	}

	get pid(): number {
		return this.#child?.pid ?? 0;
	}

	/** The process's log so far. */
	log(): string {
		return readFileSync(this.#log, 'utf8');
	}

	/** Resolves when the node answers. */
	async start(...joining: readonly string[]): Promise<void> {
		writeFileSync(this.#log, '');
		const child = spawn(process.execPath, [command, 'agent', '--config', this.file, ...joining], {
			stdio: ['ignore', 'pipe', 'pipe'],
			env: { ...process.env, ...this.#env },
		});
		this.#child = child;
		for (const stream of [child.stdout, child.stderr])
			stream?.on('data', (chunk: Buffer) => writeFileSync(this.#log, chunk, { flag: 'a' }));
		try {
			await eventually(
				`${this.name} answers`,
				async () => {
					if (child.exitCode !== null) throw new Error(`${this.name} has ended`);
					return (await this.get('/status').catch(() => undefined)) !== undefined;
				},
				{ withinMs: this.#startMsMax, everyMs: 50 },
			);
		} catch (cause) {
			throw new Error(`${this.name} did not come up; its log:\n${this.log()}`, { cause });
		}
	}

	/** Ends the process and resolves with its exit code when it has. */
	end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
		const child = this.#child;
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(null);
		return new Promise((resolve) => {
			child.once('exit', (code) => resolve(code));
			child.kill(signal);
		});
	}

	/** Everything it has on disk is gone. The process must have ended. */
	wipe(): void {
		rmSync(this.state, { recursive: true, force: true });
	}

	async get<T>(at: string): Promise<T> {
		return this.#call<T>('GET', at);
	}

	async post<T>(at: string, body: unknown): Promise<T> {
		return this.#call<T>('POST', at, body);
	}

	async delete<T>(at: string): Promise<T> {
		return this.#call<T>('DELETE', at);
	}

	async put<T>(at: string, body: unknown): Promise<T> {
		return this.#call<T>('PUT', at, body);
	}

	async #call<T>(method: string, at: string, body?: unknown): Promise<T> {
		const response = await fetch(`${this.admin}/api/v1${at}`, {
			method,
			...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
			signal: AbortSignal.timeout(30_000),
		});
		const text = await response.text();
		if (!response.ok) throw new Error(`${response.status} ${text}`);
		return JSON.parse(text) as T;
	}
}

/** Runs a command line to its end. */
export function infermesh(...args: readonly string[]): Promise<Ended> {
	return new Promise((resolve, reject) => {
		const child = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
		let out = '';
		let err = '';
		child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
		child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
		child.once('error', reject);
		child.once('close', (code) => resolve({ code, out, err }));
	});
}

/** As many tokens' worth of nodes join `first`, which runs. */
export async function joinNodes(first: MeshNode, others: readonly MeshNode[]): Promise<void> {
	const token = await joinToken(first, others.length);
	await Promise.all(others.map((node) => node.start('--join', first.agent, '--join-token', token)));
}

/** Nodes that have joined one mesh; all of them end with the test. `before` sees them when their ports are known and nothing runs. */
export async function startNodes(
	t: Teardown,
	options: readonly NodeOptions[],
	before: (nodes: readonly MeshNode[]) => Promise<void> = () => Promise.resolve(),
): Promise<readonly MeshNode[]> {
	const nodes = await prepareNodes(t, options);
	await before(nodes);
	const [first, ...others] = nodes as [MeshNode, ...MeshNode[]];
	await first.start();
	if (others.length > 0) await joinNodes(first, others);
	return nodes;
}

/** Votes given to nodes that have joined, by whoever led at the time. */
export function promotions(nodes: readonly MeshNode[]): number {
	return nodes.reduce((sum, node) => sum + (node.log().match(/"step":"promote"[^\n]*has changed/g) ?? []).length, 0);
}

/** Nodes with ports and folders, not yet running; they end with the test. */
export async function prepareNodes(t: Teardown, options: readonly NodeOptions[]): Promise<readonly MeshNode[]> {
	const root = mkdtempSync(path.join(tmpdir(), 'infermesh-nodes-'));
	const nodes: MeshNode[] = [];
	t.teardown(async () => {
		await Promise.all(nodes.map((node) => node.end('SIGKILL')));
		rmSync(root, { recursive: true, force: true });
	});
	for (const [index, one] of options.entries()) {
		const ports = await Promise.all(Array.from({ length: 6 }, freePort));
		nodes.push(new MeshNode(one.name ?? `node-${index + 1}`, path.join(root, String(index + 1)), ports, one));
	}
	return nodes;
}

/** A token for so many nodes, made where the authority is. */
export async function joinToken(authority: MeshNode, uses: number): Promise<string> {
	return (await authority.post<{ token: string }>('/join-tokens', { ttlMs: 600_000, uses })).token;
}
