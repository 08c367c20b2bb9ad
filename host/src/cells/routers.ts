// Owns where requests of other cells may come in: the routers of this cell that take some, as others can reach them.
import type { LifecycleState, NodeRecord } from '../records/kinds.js';

/** A data plane that listens everywhere is reached where the node's agent is. Sorted, so that a summary changes only when they do. */
export function routersOf(
	nodes: readonly NodeRecord[],
	isAlive: (nodeId: string) => boolean,
	lifecycleOf: (nodeId: string) => LifecycleState,
): readonly string[] {
	return nodes
		.flatMap(({ id, addresses }) => {
			const data = addresses.data === undefined ? undefined : URL.parse(addresses.data);
			if (data === undefined || data === null || !isAlive(id) || lifecycleOf(id) !== 'active') return [];
			if (data.hostname === '0.0.0.0' || data.hostname === '[::]')
				data.hostname = addresses.agent.slice(0, addresses.agent.lastIndexOf(':'));
			return [data.origin];
		})
		.sort();
}
