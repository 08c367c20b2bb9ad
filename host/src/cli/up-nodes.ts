// Owns `infermesh up --nodes N`: a development mesh of N real processes on this machine, each a node with all roles, ports ten apart. The first begins
// the mesh, the others join it with a token, just as on several hosts. State lies in `.infermesh/nodes` and is made anew at each start.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeshError } from '@infermesh/proto';
import { stringify } from 'yaml';
import type { JoinTokenMade } from '../admin/schemas.js';
import type { DevelopmentEngines } from '../main/development.js';
import { AdminClient } from './admin-client.js';
import type { CliContext } from './context.js';
import { cliErrors } from './errors.js';
import { aborted } from './signals.js';

export const NODES_MAX = 9;
const STEP = 10;
const START_TIMEOUT_MS = 90_000;
const LOOK_MS = 100;
const STOP_TIMEOUT_MS = 15_000;

export interface UpNodesOptions {
	readonly nodes: number;
	/** Ports of the first node. */
	readonly dataPort: number;
	readonly adminPort: number;
	readonly workers: number | undefined;
	readonly strategy: string | undefined;
	readonly stateDir: string;
	/** Fields of each engine as a target. */
	readonly targets: readonly Readonly<Record<string, unknown>>[];
}

export interface RunningNode {
	readonly name: string;
	readonly data: string;
	readonly admin: string;
	readonly agent: string;
	readonly pid: number;
	readonly log: string;
}

interface Started extends RunningNode {
	readonly child: ChildProcess;
	ended: boolean;
}

const command = fileURLToPath(new URL('./main.js', import.meta.url));

function configOf(options: UpNodesOptions, index: number, folder: string): Record<string, unknown> {
	const port = (first: number): number => first + STEP * index;
	const { workers, strategy } = options;
	return {
		state_dir: folder,
		node: { id: `node-${index + 1}`, zone: `zone-${String.fromCharCode(97 + (index % 3))}`, region: 'local' },
		fabric: {
			mode: 'mesh',
			agent_port: port(8082),
			raft_port: port(8083),
			gossip_port: port(8946),
			gossip_profile: 'local',
		},
		data: { port: port(options.dataPort), workers: workers ?? 1 },
		admin: { port: port(options.adminPort) },
		targets: options.targets.filter((_, at) => at % options.nodes === index),
		...(strategy === undefined ? {} : { strategy: { active: strategy } }),
	};
}

async function startNode(
	context: CliContext,
	options: UpNodesOptions,
	index: number,
	joining: readonly string[],
): Promise<Started> {
	const name = `node-${index + 1}`;
	const folder = path.join(options.stateDir, name);
	mkdirSync(folder, { recursive: true, mode: 0o700 });
	const file = path.join(folder, 'node.yaml');
	const config = configOf(options, index, path.join(folder, 'state'));
	writeFileSync(file, stringify(config), { mode: 0o600 });
	const log = path.join(folder, 'log.jsonl');
	const out = openSync(log, 'w', 0o600);
	const child = spawn(process.execPath, [command, 'agent', '--config', file, ...joining], {
		stdio: ['ignore', out, out],
	});
	const port = (first: number): number => first + STEP * index;
	const node: Started = {
		name,
		data: `http://127.0.0.1:${port(options.dataPort)}`,
		admin: `http://127.0.0.1:${port(options.adminPort)}`,
		agent: `127.0.0.1:${port(8082)}`,
		pid: child.pid ?? 0,
		log,
		child,
		ended: false,
	};
	child.once('exit', () => void (node.ended = true));
	await ready(context, node);
	return node;
}

/** Resolves when the node answers. Rejects when its process ends first, or it takes too long. */
async function ready(context: CliContext, node: Started): Promise<void> {
	const { clock, signal } = context;
	const deadline = clock.nowMs() + START_TIMEOUT_MS;
	const client = new AdminClient(context, { admin: node.admin });
	while (!signal.aborted) {
		if (node.ended || clock.nowMs() > deadline)
			throw new MeshError(
				cliErrors,
				'IM_CLI_NODE_FAILED',
				`${node.name} ${node.ended ? 'has ended' : 'does not answer'}`,
				{
					where: node.log,
				},
			);
		try {
			await client.get('/status');
			return;
		} catch {
			await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve));
		}
	}
}

async function stopAll(context: CliContext, nodes: readonly Started[]): Promise<void> {
	await Promise.all(
		nodes.map(async (node) => {
			if (node.ended) return;
			const ended = new Promise<void>((resolve) => node.child.once('exit', () => resolve()));
			const overdue = context.clock.after(STOP_TIMEOUT_MS, () => node.child.kill('SIGKILL'));
			node.child.kill('SIGTERM');
			await ended;
			overdue.cancel();
		}),
	);
}

/** Runs until interrupted. `announce` is called once all nodes are up. */
export async function upNodes(
	context: CliContext,
	options: UpNodesOptions,
	engines: DevelopmentEngines | undefined,
	announce: (nodes: readonly RunningNode[]) => void,
): Promise<void> {
	rmSync(options.stateDir, { recursive: true, force: true });
	const nodes: Started[] = [];
	try {
		nodes.push(await startNode(context, options, 0, []));
		const first = nodes[0] as Started;
		if (options.nodes > 1 && !context.signal.aborted) {
			const { token } = await new AdminClient(context, { admin: first.admin }).post<JoinTokenMade>('/join-tokens', {
				ttlMs: 600_000,
				uses: options.nodes - 1,
			});
			const joining = ['--join', first.agent, '--join-token', token];
			for (let index = 1; index < options.nodes && !context.signal.aborted; index++)
				nodes.push(await startNode(context, options, index, joining));
		}
		if (!context.signal.aborted)
			announce(nodes.map(({ name, data, admin, agent, pid, log }) => ({ name, data, admin, agent, pid, log })));
		await aborted(context.signal);
		context.stderr.write('stopping: streams may end first; Ctrl-C again stops at once\n');
	} finally {
		await stopAll(context, nodes);
		await engines?.close();
	}
}
