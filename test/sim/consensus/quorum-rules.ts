// Owns the arithmetic of quorums as the paper has it, written anew so that the checks do not share the core's mistakes.
import type { Membership, PeerId } from '@infermesh/fabric';

/** More than half of `voters` satisfy `has`. */
function majorityHas(voters: readonly PeerId[], has: (id: PeerId) => boolean): boolean {
	return voters.filter(has).length * 2 > voters.length;
}

/** Both majorities of a joint membership, one of a plain one; never of none (dissertation §4.3). */
export function quorumHas(membership: Membership, has: (id: PeerId) => boolean): boolean {
	const { voters, outgoing } = membership;
	return majorityHas(voters, has) && (outgoing.length === 0 || majorityHas(outgoing, has));
}

function sameSet(a: readonly PeerId[], b: readonly PeerId[]): boolean {
	return a.length === b.length && a.every((id) => b.includes(id));
}

/** Whether any two quorums of a membership and of the one that follows it meet. */
export function mayFollow(before: Membership, after: Membership): boolean {
	if (before.outgoing.length > 0) return after.outgoing.length === 0 && sameSet(before.voters, after.voters);
	if (after.outgoing.length > 0) return sameSet(after.outgoing, before.voters);
	const changed =
		before.voters.filter((id) => !after.voters.includes(id)).length +
		after.voters.filter((id) => !before.voters.includes(id)).length;
	return changed <= 1;
}
