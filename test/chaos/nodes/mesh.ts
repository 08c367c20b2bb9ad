// Owns the mesh of a run: folders, authority, relay, engines and nodes, joined as an operator would join them; who leads, what is alive, and a client of
// replicated state for each node with a certificate of the mesh.
import { randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import {
	generateNodeKey,
	IdentityHolder,
	joinMesh,
	nodeCredentials,
	RemoteEngine,
	RevocationList,
	SessionRegistry,
	type TransportContext,
	TransportCounters,
} from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import { MODEL } from '../../support/mesh.js';
import { run } from '../../support/programs.js';
import { realClock } from '../../support/real-clock.js';
import { keyOf } from '../../support/traffic.js';
import { Relay } from '../relay/relay.js';
import { Engines } from './engines.js';
import { ChaosNode, command, type NodePlace, startWithinMs } from './node.js';

export const strategies = ['least_queue', 'baseline_rr'] as const;

export interface Places {
	/** Where engines listen. */
	readonly engineHost: string;
	readonly ownAddresses: boolean;
	readonly places: readonly Omit<NodePlace, 'ports'>[];
}

/** All on loopback, each node with an address of its own there, and another at which the relay stands for it: so default ports do, and nobody else takes them. */
export function loopbackPlaces(nodes: number): Places {
	const [network = 0, run = 0] = randomBytes(2);
	const address = (last: number): string => `127.${16 + (network % 224)}.${run}.${last}`;
	return {
		engineHost: '127.0.0.1',
		ownAddresses: false,
		places: Array.from({ length: nodes }, (_, at) => ({ host: address(at + 1), front: address(101 + at), within: [] })),
	};
}

/** The defaults of the configuration. */
const ports = { agent: 8082, raft: 8083, gossip: 8946, data: 8080, admin: 8081 } as const;

export interface MeshOptions {
	readonly folder: string;
	readonly seed: number;
	readonly places: Places;
	readonly progress: (line: string) => void;
	readonly onDeath: (how: string) => void;
	/** Aborts a start. */
	readonly signal: AbortSignal;
}

interface RaftView {
	readonly leaderName: string | null;
	readonly quorum: boolean;
	readonly members: readonly { readonly id: string; readonly name: string; readonly role: string }[];
}

const joinTimeoutMs = 30_000;
const tokenTtlMs = 600_000;

export class ChaosMesh {
	readonly nodes: readonly ChaosNode[];
	readonly relay: Relay;
	readonly engines: Engines;
	readonly apiKey: string;
	/** A client of replicated state at each node, and only there. */
	readonly clients: readonly RemoteEngine[];
	/** Where the authority lives, whatever becomes of the state of its node. */
	readonly authority: ChaosNode;

	static async open(options: MeshOptions): Promise<ChaosMesh> {
		const { folder, places, progress, seed, signal } = options;
		const [adminToken, apiKey] = [randomBytes(24).toString('hex'), `chaos-${randomUUID()}`];
		const tokenFile = path.join(folder, 'admin.token');
		writeFileSync(tokenFile, adminToken, { mode: 0o600 });
		const engines = await Engines.open(places.places.length, places.engineHost);
		const pids = places.places.map(() => 0);
		const relay = await Relay.open({
			nodes: places.places.map(({ host, front }) => ({
				host,
				front,
				ports: { agent: ports.agent, raft: ports.raft, gossip: ports.gossip },
			})),
			seed,
			ownAddresses: places.ownAddresses,
		});
		const nodes = places.places.map((place, at) => {
			const name = `node-${at + 1}`;
			return new ChaosNode({
				...place,
				ports,
				name,
				folder: path.join(folder, name),
				adminToken,
				config: {
					fabric: {
						gossip_profile: 'local',
						lease_ttl_ms: 5_000,
						voters_max: places.places.length,
						...(at === 0 ? { ca_dir: path.join(folder, 'ca') } : {}),
					},
					consensus: { log_segment_bytes: 8 * 1024 * 1024, snapshot_entries: 3_000 },
					data: { workers: 1, shutdown_grace_ms: 30_000 },
					admin: { token: `file:${tokenFile}` },
					keys: [{ id: 'chaos', sha256: keyOf(apiKey).sha256 }],
					// A busy machine is no reason to refuse a strategy, and with it to end a node.
					strategy: { active: strategies[0], admission_timeout_ms: startWithinMs },
					health: { period_ms: 500, timeout_ms: 5_000, healthy_after: 1 },
					targets: [{ id: `engine-${at + 1}`, url: engines.urls[at], models: [MODEL], node: name }],
				},
				onProcess: (pid) => {
					pids[at] = pid;
					return relay.processes([...pids]);
				},
				onDeath: options.onDeath,
			});
		});
		const [first, ...others] = nodes as [ChaosNode, ...ChaosNode[]];
		const closeNodes = (): Promise<unknown> => Promise.all(nodes.map((node) => node.close()));
		signal.addEventListener('abort', () => void closeNodes());
		try {
			const made = await run(process.execPath, [command, 'ca', 'init', '--config', first.configFile]);
			if (made.code !== 0) throw new Error(`infermesh ca init: ${made.output}`);
			progress('the first node begins the mesh');
			await first.start();
			const token = await joinToken(first, others.length);
			progress('the others join');
			await Promise.all(others.map((node) => node.start('--join', first.agent, '--join-token', token)));
			const clients = await clientsOf(nodes, first, seed);
			return new ChaosMesh(nodes, relay, engines, apiKey, clients);
		} catch (error) {
			await closeNodes();
			await engines.close();
			await relay.close();
			throw error;
		}
	}

	private constructor(
		nodes: readonly ChaosNode[],
		relay: Relay,
		engines: Engines,
		apiKey: string,
		clients: readonly RemoteEngine[],
	) {
		this.nodes = nodes;
		this.relay = relay;
		this.engines = engines;
		this.apiKey = apiKey;
		this.clients = clients;
		this.authority = nodes[0] as ChaosNode;
	}

	node(at: number): ChaosNode {
		return this.nodes[at] as ChaosNode;
	}

	client(at: number): RemoteEngine {
		return this.clients[at] as RemoteEngine;
	}

	raft(node: ChaosNode): Promise<RaftView> {
		return node.admin.call<RaftView>('GET', '/api/v1/raft');
	}

	/** Number of the node that leads, as the first that answers says. */
	async leader(): Promise<number | undefined> {
		for (const node of this.nodes.filter(({ up, paused }) => up && !paused)) {
			const name = await this.raft(node).then(
				({ leaderName }) => leaderName,
				() => null,
			);
			const at = this.nodes.findIndex((one) => one.name === name);
			if (at !== -1) return at;
		}
		return undefined;
	}

	joinToken(): Promise<string> {
		return joinToken(this.authority, 1);
	}

	async close(): Promise<void> {
		await Promise.all(this.nodes.map((node) => node.close()));
		await Promise.all(this.clients.map((client) => client.close()));
		await this.engines.close();
		await this.relay.close();
	}
}

async function joinToken(node: ChaosNode, uses: number): Promise<string> {
	const { token } = await node.admin.call<{ token: string }>('POST', '/api/v1/join-tokens', {
		ttlMs: tokenTtlMs,
		uses,
	});
	return token;
}

/** Joins as a node without a process would: by a token, with a key of its own. */
async function clientsOf(nodes: readonly ChaosNode[], at: ChaosNode, seed: number): Promise<readonly RemoteEngine[]> {
	const { identity } = await joinMesh(
		`${at.place.host}:${ports.agent}`,
		await joinToken(at, 1),
		await generateNodeKey(),
		{
			clock: realClock,
			timeoutMs: joinTimeoutMs,
		},
	);
	const [revocations, counters] = [new RevocationList(), new TransportCounters()];
	const context: TransportContext = {
		identity: new IdentityHolder(identity),
		revocations,
		counters,
		clock: realClock,
		sessions: new SessionRegistry(revocations, counters, realClock),
	};
	return nodes.map(
		(node, index) =>
			new RemoteEngine({
				addresses: [node.raft],
				credentials: nodeCredentials(context, { timeoutMs: 3_000, acceptNode: () => true }),
				clock: realClock,
				random: new SeededRandom(seed + index + 1),
				fault: () => undefined,
			}),
	);
}
