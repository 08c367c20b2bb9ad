// Owns what is shown of a drain under way: each router, and what it still has in flight because of the node.
import type { LifecycleState } from '../records/kinds.js';
import type { MeshMirrors } from './mirrors.js';
import type { NodeView } from './nodes.js';

export interface RouterShare {
	readonly id: string;
	readonly name: string;
	/** Undefined until it has answered this drain. */
	readonly inFlight: number | undefined;
}

export interface DrainProgress {
	readonly id: string;
	readonly name: string;
	readonly state: LifecycleState;
	/** Whether the node is there: it declares its drain over itself, so one that is away stays draining. */
	readonly present: boolean;
	/** By name. */
	readonly routers: readonly RouterShare[];
	/** Sum over the routers that have answered. */
	readonly inFlight: number;
}

export function drainProgress(
	node: NodeView,
	{ nodes, routers, drains }: Pick<MeshMirrors, 'nodes' | 'routers' | 'drains'>,
): DrainProgress {
	const shares = routers.all().map(({ id }) => {
		const said = drains.get(`${node.id}/${id}`)?.value;
		const answers = said !== undefined && said.decision === node.revision;
		return { id, name: nodes.get(id)?.value.name ?? id, inFlight: answers ? said.inFlight : undefined };
	});
	return {
		id: node.id,
		name: node.name,
		state: node.state,
		present: node.record !== undefined,
		routers: shares.sort((a, b) => (a.name < b.name ? -1 : 1)),
		inFlight: shares.reduce((sum, { inFlight }) => sum + (inFlight ?? 0), 0),
	};
}
