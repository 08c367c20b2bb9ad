// Owns the view of all pairs of nodes: each node is asked for its own links, a few at a time, and who does not answer is named. Whether one node gets
// through to another is only ever that node's own word; where it gives none, nothing stands in for it.
import type { LinkEstimate } from '@infermesh/fabric';
import type { TopologyView } from '../main/fabric.js';
import type { NodeRecord } from '../records/kinds.js';
import { askAll } from './ask-all.js';

export interface Pair {
	readonly from: NodeRecord;
	/** A node that is away has no record: only its UUID is known then. */
	readonly toId: string;
	readonly to: NodeRecord | undefined;
	readonly estimate: LinkEstimate;
}

export interface Pairs {
	readonly pairs: readonly Pair[];
	/** Nodes that could not be asked, and why. */
	readonly unanswered: readonly { readonly name: string; readonly error: string }[];
	/** More pairs than are shown. */
	readonly truncated: boolean;
}

/** Pairs shown; 100 nodes have 9,900. */
export const PAIRS_MAX = 10_000;

export async function allPairs(
	nodes: readonly NodeRecord[],
	linksOf: (nodeId: string) => Promise<TopologyView>,
	pairsMax = PAIRS_MAX,
): Promise<Pairs> {
	const byId = new Map(nodes.map((node) => [node.id, node]));
	const pairs: Pair[] = [];
	const unanswered: { name: string; error: string }[] = [];
	let truncated = false;
	const inOrder = [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
	await askAll(inOrder, async (from) => {
		try {
			const { links } = await linksOf(from.id);
			const room = pairsMax - pairs.length;
			truncated ||= links.length > room;
			for (const { nodeId, estimate } of links.slice(0, room))
				pairs.push({ from, toId: nodeId, to: byId.get(nodeId), estimate });
		} catch (error) {
			unanswered.push({ name: from.name, error: error instanceof Error ? error.message : String(error) });
		}
	});
	const order = ({ from, to, toId }: Pair): string => `${from.name} ${to?.name ?? toId}`;
	pairs.sort((a, b) => (order(a) < order(b) ? -1 : 1));
	unanswered.sort((a, b) => (a.name < b.name ? -1 : 1));
	return { pairs, unanswered, truncated };
}
