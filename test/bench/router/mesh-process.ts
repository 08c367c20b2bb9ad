// Owns meshd as the router benches run it: its own process, one worker, an API key, everything else at its defaults.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Running, spawnCommand } from './processes.js';

export const MODEL = 'bench-model';
export const KEY = 'bench-key-0123456789';

export interface Mesh extends Running {
	readonly port: number;
	readonly adminUrl: string;
}

export interface MeshOptions {
	/** Folder for the configuration file; the caller's to remove. */
	readonly folder: string;
	readonly upstreamPort: number;
	/** Targets, all at the one upstream. */
	readonly targets: number;
	/** Port at which all of them speak gRPC. */
	readonly grpcPort?: number;
	/** Arguments for Node, such as `--cpu-prof`. */
	readonly nodeArgs?: readonly string[];
}

const cli = fileURLToPath(new URL('../../../../host/dist/src/cli/main.js', import.meta.url));

export async function startMeshProcess(options: MeshOptions): Promise<Mesh> {
	const config = {
		state_dir: path.join(options.folder, 'state'),
		fabric: { agent_port: 0, raft_port: 0, gossip_port: 0 },
		// All targets are one server, and connections are counted by server: room for all streams of the benches.
		data: { port: 0, workers: 1, inflight_max: 8192, upstream: { connections_max: 8192 } },
		admin: { port: 0 },
		keys: [{ id: 'bench', sha256: createHash('sha256').update(KEY).digest('hex') }],
		targets: Array.from({ length: options.targets }, (_, index) => ({
			id: `fixed-${index}`,
			url: `http://127.0.0.1:${options.upstreamPort}`,
			models: [MODEL],
			runtime: 'vllm',
			...(options.grpcPort === undefined ? {} : { grpc: `http://127.0.0.1:${options.grpcPort}` }),
		})),
	};
	const file = path.join(options.folder, 'mesh.yaml');
	writeFileSync(file, JSON.stringify(config));
	return startMeshAgent(file, options.nodeArgs);
}

/** A mesh with the configuration in `file`, once all its targets are healthy. */
export async function startMeshAgent(file: string, nodeArgs: readonly string[] = []): Promise<Mesh> {
	const args = [...nodeArgs, cli, 'agent', '--config', file];
	const running = await spawnCommand(process.execPath, args, addresses);
	const { data, admin } = running.ready as { readonly data: string; readonly admin: string };
	await healthy(admin);
	return { ...running, port: Number(new URL(data).port), adminUrl: admin };
}

/** The addresses in the log line that says the mesh has started. */
function addresses(printed: string): unknown {
	const line = printed.split('\n').find((each) => each.includes('mesh started') && each.endsWith('}'));
	return line === undefined ? undefined : JSON.parse(line);
}

/** Waits until every target has been found healthy. */
async function healthy(adminUrl: string): Promise<void> {
	for (let tries = 0; tries < 200; tries++) {
		const answer = await fetch(`${adminUrl}/readyz`);
		await answer.arrayBuffer();
		if (answer.ok) return;
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
	throw new Error('the mesh did not get ready');
}

/** Sum and count of each stage of the pipeline so far, from `/metrics`. */
export async function stageTotals(
	adminUrl: string,
): Promise<ReadonlyMap<string, { readonly s: number; readonly n: number }>> {
	const text = await (await fetch(`${adminUrl}/metrics`)).text();
	const totals = new Map<string, { s: number; n: number }>();
	for (const match of text.matchAll(/^infermesh_\w*stage\w*_(sum|count)\{[^}]*stage="(\w+)"[^}]*\} (\S+)$/gm)) {
		const [, kind, stage, value] = match as unknown as [string, string, string, string];
		const entry = totals.get(stage) ?? { s: 0, n: 0 };
		if (kind === 'sum') entry.s += Number(value);
		else entry.n += Number(value);
		totals.set(stage, entry);
	}
	return totals;
}
