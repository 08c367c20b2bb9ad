// Owns how members tell which cluster they are of, and the refusal of who is of another one: after a restore or a recovery the members of the cluster
// before may come back, with certificates that are still good. Whoever has no state yet says nothing and is of any.
import { Metadata } from '@grpc/grpc-js';
import type { MeshError } from '@infermesh/proto';
import { consensusError } from './errors.js';

const clusterKey = 'x-infermesh-cluster';

/** What a caller of cluster `id` sends along; nothing where it is of none yet. */
export function clusterMetadata(id: string): Metadata {
	const metadata = new Metadata();
	if (id !== '') metadata.set(clusterKey, id);
	return metadata;
}

/** Why a caller is refused by a member of cluster `own`; undefined when it is not. */
export function foreignCaller(own: string, metadata: Metadata): MeshError | undefined {
	const [theirs] = metadata.get(clusterKey);
	if (own === '' || theirs === undefined || theirs === own) return undefined;
	return consensusError('IM_CONSENSUS_OTHER_CLUSTER', `this is cluster ${own}, the caller is of ${theirs.toString()}`);
}
