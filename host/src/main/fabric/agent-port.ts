// Owns what the agent's port offers to nodes before the rest of meshd adds its own: where the mesh is, measuring of links, blobs where they are held, and
// certificates where the authority is kept.
import {
	type Address,
	addIdentityEndpoint,
	type CertificateAuthority,
	type ConsensusEngine,
	createBlobService,
	type DiskBlobs,
	IdentityService,
	JoinTokens,
	type RevocationList,
	SecureServer,
	type TransportContext,
} from '@infermesh/fabric';
import { BlobsService, CoordinationService, type DiscoverReply } from '@infermesh/proto/grpc/agent/v1/agent';
import { TopologyService } from '@infermesh/proto/grpc/topology/v1/topology';
import type { Closer } from '../close-all.js';
import { discoverHandler } from './discovery.js';
import { EngineRecords } from './engine-records.js';
import type { TopologyPart } from './topology-part.js';

const CLOSE_MS = 1000;

export interface AgentPortParts {
	readonly context: TransportContext;
	readonly engine: ConsensusEngine;
	readonly topology: TopologyPart;
	readonly blobs: DiskBlobs | undefined;
	readonly authority: CertificateAuthority | undefined;
	readonly revocations: RevocationList;
	readonly isRemoved: (nodeId: string) => boolean;
	/** Where the mesh is, for a node that asks. */
	readonly tell: () => DiscoverReply;
	readonly closers: Closer[];
}

/** Listens at `at`; returns the server and the address that was bound. */
export async function openAgentPort(
	at: Address,
	{ context, engine, topology, blobs, authority, revocations, isRemoved, tell, closers }: AgentPortParts,
): Promise<{ readonly server: SecureServer; readonly bound: Address }> {
	const server = new SecureServer(context, { joining: authority !== undefined });
	server.addService(CoordinationService, { discover: discoverHandler(tell) });
	server.addService(TopologyService, { ...topology.handlers() });
	if (blobs !== undefined) server.addService(BlobsService, { ...createBlobService(blobs) });
	if (authority !== undefined) {
		const service = new IdentityService({
			authority,
			tokens: joinTokens(engine),
			issuances: new EngineRecords(engine, 'identity/issuances/'),
			revocations,
			removed: isRemoved,
			clock: context.clock,
		});
		addIdentityEndpoint(server, service);
	}
	const bound = await server.listen(at);
	closers.push(() => server.close(CLOSE_MS));
	return { server, bound };
}

/** The tokens to join with, as replicated state has them. */
export function joinTokens(engine: ConsensusEngine): JoinTokens {
	return new JoinTokens(new EngineRecords(engine, 'identity/tokens/'));
}
