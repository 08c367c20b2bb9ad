// Owns who a node is: the authority it keeps, where it keeps one, and its identity, from that authority, from another node's, or from a
// Workload API; and the Workload API it serves in turn.
import path from 'node:path';
import { RotatingIdentity, serveWorkloadApi } from '@infermesh/fabric';
import type { Clock, Random } from '@infermesh/proto';
import { isLoopback } from '../../config/rules.js';
import type { MeshConfig } from '../../config/schema.js';
import type { Closer } from '../close-all.js';
import { authorityDirectory, authorityExists, authorityFolder } from './authority-folder.js';
import { AuthorityKeeper } from './authority-keeper.js';
import { openIdentity } from './identity.js';
import type { MeshMemory } from './mesh-memory.js';
import type { NodeFolder } from './node-folder.js';
import { openWorkloadIdentity } from './workload-identity.js';

export interface NodeIdentityPorts {
	readonly folder: NodeFolder;
	readonly memory: MeshMemory;
	readonly clock: Clock;
	readonly random: Random;
	/** Parts that have started, to be closed in turn. */
	readonly closers: Closer[];
	readonly failed: (what: string, error: unknown) => void;
	readonly stopped: () => boolean;
}

/** Rejects with IM_IDENTITY_*; what has started is among the closers. */
export async function openNodeIdentity(config: MeshConfig, ports: NodeIdentityPorts) {
	const { fabric } = config;
	const { closers } = ports;
	const workloadApi = fabric.spiffe_socket ?? process.env['SPIFFE_ENDPOINT_SOCKET'];
	const keeper = workloadApi === undefined ? await openAuthority(config, ports) : undefined;
	if (keeper !== undefined) closers.push(() => keeper.close());
	const identity = await (workloadApi === undefined
		? fromAuthority(config, ports, keeper)
		: fromWorkloadApi(config, ports, workloadApi));
	closers.push(() => identity.close());
	if (keeper !== undefined && identity instanceof RotatingIdentity)
		keeper.onChange(() => identity.updateBundle(keeper.authority.bundle));
	if (fabric.workload_socket !== undefined) {
		const served = await serveWorkloadApi(identity, path.resolve(fabric.workload_socket));
		closers.push(() => served.close());
	}
	return { identity, keeper, sharedTrustDomain: workloadApi !== undefined };
}

async function openAuthority(
	config: MeshConfig,
	{ folder, clock, failed }: NodeIdentityPorts,
): Promise<AuthorityKeeper | undefined> {
	const { fabric } = config;
	const root = authorityFolder(config);
	const ports = () => ({ directory: authorityDirectory(root, fabric.ca_passphrase), clock, failed });
	if (authorityExists(root)) return AuthorityKeeper.open(ports());
	// A mesh on this machine alone needs no ceremony; off loopback an operator decides where the authority lives. A node that has been someone before has
	// one elsewhere: one of its own would renew its certificate to what nobody trusts.
	const begins =
		fabric.join.length === 0 &&
		fabric.authorities.length === 0 &&
		!folder.hasNodeId() &&
		config.roles.includes('coordinator') &&
		isLoopback(fabric.host);
	return begins ? AuthorityKeeper.create(fabric.trust_domain, ports()) : undefined;
}

function fromAuthority(
	{ fabric }: MeshConfig,
	{ folder, memory, clock, random, failed, stopped }: NodeIdentityPorts,
	keeper: AuthorityKeeper | undefined,
) {
	return openIdentity({
		folder,
		clock,
		random,
		authority: keeper?.authority,
		join: fabric.authorities.length > 0 ? fabric.authorities : fabric.join,
		joinToken: fabric.join_token,
		authorities: () => memory.agents,
		log: failed,
		stopped,
	});
}

function fromWorkloadApi(
	{ fabric }: MeshConfig,
	{ folder, clock, random, failed, stopped }: NodeIdentityPorts,
	endpoint: string,
) {
	return openWorkloadIdentity({
		endpoint,
		trustDomain: fabric.trust_domain,
		folder,
		clock,
		random,
		log: failed,
		stopped,
	});
}
