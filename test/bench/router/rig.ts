// Owns the set-up of the router benches: one upstream and, each in its own process, the ways to it: direct, nginx, bare proxy, meshd.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Mesh, startMeshProcess } from './mesh-process.js';
import { startNginx } from './nginx.js';
import { PORTKEY_PACKAGE, portkeyHeaders, startPortkey } from './portkey.js';
import { forkModule, type Running } from './processes.js';

export interface Way {
	readonly name: string;
	readonly port: number;
	/** Process that is measured: the proxy, or the upstream itself for the direct way. */
	readonly pid: number;
	/** Header lines its requests need besides, each ended by CRLF. */
	readonly extra?: string;
}

export interface RouterRig {
	readonly ways: readonly Way[];
	readonly mesh: Mesh;
	readonly notes: readonly string[];
	close(): Promise<void>;
}

export const DIRECT = 'direct';
export const NGINX = 'nginx';
export const BARE = 'bare proxy';
export const MESH = 'meshd';
export const PORTKEY = 'portkey';

/** Targets of the mesh; as many as the development mesh has engines. */
const TARGETS = 3;

const portOf = (running: Running): number => (running.ready as { readonly port: number }).port;

export async function openRig(nodeArgs: readonly string[] = []): Promise<RouterRig> {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-bench-'));
	const open: Running[] = [];
	const close = async (): Promise<void> => {
		await Promise.all(open.map((each) => each.close()));
		rmSync(folder, { recursive: true, force: true });
	};
	const keep = <T extends Running>(running: T): T => {
		open.unshift(running);
		return running;
	};
	try {
		const upstream = keep(await forkModule('./upstream.js', []));
		const upstreamPort = portOf(upstream);
		const nginx = await startNginx(folder, upstreamPort);
		if (nginx !== undefined) keep(nginx);
		const portkey = await startPortkey(upstreamPort);
		if (portkey !== undefined) keep(portkey);
		const bare = keep(await forkModule('./bare-proxy.js', [`http://127.0.0.1:${upstreamPort}`]));
		const mesh = keep(await startMeshProcess({ folder, upstreamPort, targets: TARGETS, nodeArgs }));
		const ways: Way[] = [
			{ name: DIRECT, port: upstreamPort, pid: upstream.pid },
			...(nginx === undefined ? [] : [{ name: NGINX, port: nginx.port, pid: nginx.pid }]),
			{ name: BARE, port: portOf(bare), pid: bare.pid },
			{ name: MESH, port: mesh.port, pid: mesh.pid },
			...(portkey === undefined
				? []
				: [{ name: PORTKEY, port: portkey.port, pid: portkey.pid, extra: portkeyHeaders(upstreamPort) }]),
		];
		const notes = [
			...(nginx === undefined ? ['nginx is not installed (Debian: apt-get install nginx-light): left out'] : []),
			...(portkey === undefined ? [`${PORTKEY_PACKAGE} is not installed (npm install --no-save): left out`] : []),
		];
		return { ways, mesh, notes, close };
	} catch (error) {
		await close();
		throw error;
	}
}
