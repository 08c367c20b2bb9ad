// Owns the question whether the coordinators would still have a quorum without one of them: asked before a node is drained or quarantined, so that
// no such decision ever stops the control plane.
import type { EngineStatus } from '@infermesh/fabric';
import type { LifecycleState } from '../records/kinds.js';
import type { MeshMirrors } from './mirrors.js';

/** A coordinator in one of these is about to go, or not to be trusted: nobody may count on it. */
const leaving: ReadonlySet<LifecycleState> = new Set(['draining', 'drained', 'quarantined']);

/**
 * Whether the voters other than `nodeId` that are there and to stay make a majority of all voters; undefined where the question does not arise: the
 * node has no vote, or the mesh is that one node.
 */
export function quorumWithout(
	status: Pick<EngineStatus, 'members'>,
	{ nodes, lifecycle }: Pick<MeshMirrors, 'nodes' | 'lifecycle'>,
	nodeId: string,
): boolean | undefined {
	const voters = status.members.filter(({ role }) => role === 'voter').map(({ id }) => id);
	if (!voters.includes(nodeId)) return undefined;
	if (voters.length === 1 && nodes.all().every(({ id }) => id === nodeId)) return undefined;
	const counted = voters.filter((id) => {
		if (id === nodeId || nodes.get(id) === undefined) return false;
		return !leaving.has(lifecycle.get(id)?.value.state ?? 'active');
	});
	return counted.length > voters.length / 2;
}
