// Owns what it means for a node that its part in the group of coordinators has ended.
import { hasCode } from '@infermesh/fabric';
import type { MeshError } from '@infermesh/proto';

export interface MemberSigns {
	/** Why the node is not ready. */
	readonly reasons: readonly string[];
	/** What it does without. */
	readonly degraded: readonly string[];
}

/** Other coordinators do the work of one that has failed; to a node of another cluster they answer nothing. */
export function memberSigns(ended: MeshError | undefined): MemberSigns {
	if (ended === undefined) return { reasons: [], degraded: [] };
	const sign = [`this node’s part in the group of coordinators has ended: ${ended.code}`];
	return hasCode(ended, 'IM_CONSENSUS_OTHER_CLUSTER')
		? { reasons: sign, degraded: [] }
		: { reasons: [], degraded: sign };
}
