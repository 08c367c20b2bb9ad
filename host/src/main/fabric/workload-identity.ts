// Owns an identity that comes from a SPIFFE Workload API in place of the built-in authority: waited for, checked to be a node's of this mesh, and from
// then on that node's only. Nothing of it is kept on disk.
import { type Identity, WorkloadApiSource } from '@infermesh/fabric';
import { type Clock, MeshError, type Random, type Timer } from '@infermesh/proto';
import { fabricNodeErrors } from './errors.js';
import type { NodeFolder } from './node-folder.js';

/** While there is no identity, why is logged this often. */
const COMPLAIN_MS = 5000;

export interface WorkloadIdentityParts {
	readonly endpoint: string;
	readonly trustDomain: string;
	readonly folder: NodeFolder;
	readonly clock: Clock;
	readonly random: Random;
	readonly log: (message: string, error: unknown) => void;
	/** The node is to stop: nothing is waited for any more. */
	readonly stopped: () => boolean;
}

/** Resolves with the first identity; waits for ever. IM_IDENTITY_WORKLOAD_API, IM_FABRIC_SPIFFE_ID, IM_FABRIC_NODE_ID, IM_FABRIC_STOPPED. */
export async function openWorkloadIdentity(parts: WorkloadIdentityParts): Promise<WorkloadApiSource> {
	const { endpoint, trustDomain, folder, clock, random, log, stopped } = parts;
	const first = Promise.withResolvers<void>();
	let uuid: string | undefined;
	const remembered = folder.hasNodeId() ? folder.nodeId() : undefined;
	const accept = (identity: Identity): void => {
		const fault = faultOf(identity, trustDomain, uuid);
		if (fault !== undefined) throw new MeshError(fabricNodeErrors, 'IM_FABRIC_SPIFFE_ID', fault, { where: endpoint });
		const { nodeUuid } = identity.svid;
		if (remembered !== undefined && nodeUuid !== remembered)
			throw new MeshError(fabricNodeErrors, 'IM_FABRIC_NODE_ID', `${remembered} and ${nodeUuid}`, {
				where: folder.root,
			});
	};
	// What is wrong at the start is a wrong registration, and told; later on the identity before is good until it expires.
	const onRefused = (why: MeshError): void => {
		if (why.code === 'IM_FABRIC_SPIFFE_ID' || why.code === 'IM_FABRIC_NODE_ID') first.reject(why);
	};
	const source = new WorkloadApiSource({ endpoint, clock, random, accept, onRefused });
	let complaining: Timer | undefined;
	try {
		complaining = clock.every(COMPLAIN_MS, () => {
			if (stopped()) first.reject(new MeshError(fabricNodeErrors, 'IM_FABRIC_STOPPED'));
			else log(`waiting for an identity from ${endpoint}`, source.health().lastError?.message ?? 'no answer yet');
		});
		source.ready().then(() => first.resolve(), first.reject);
		await first.promise;
		uuid = source.current().svid.nodeUuid ?? '';
		folder.setNodeId(uuid);
		return source;
	} catch (error) {
		source.close();
		throw error;
	} finally {
		complaining?.cancel();
	}
}

function faultOf({ svid }: Identity, trustDomain: string, expected: string | undefined): string | undefined {
	const { uri } = svid.id;
	if (svid.id.trustDomain !== trustDomain)
		return `${uri} is not of the trust domain ${trustDomain} (fabric.trust_domain)`;
	if (svid.nodeUuid === undefined) return `${uri} names no node`;
	if (expected !== undefined && svid.nodeUuid !== expected)
		return `${uri} is another node than ${expected}, which runs here`;
	return undefined;
}
