// Owns how a group begins: every founding member starts from the same first entry, which holds the founding membership. Everyone else starts with
// nothing and learns all from the leader.
import type { LogWrite, RecoveredGroup } from '../../log/ports.js';
import { votersOnly } from '../../raft/membership.js';
import { encodeMembership } from '../../raft/membership-codec.js';
import type { PeerId } from '../../raft/messages.js';

/** Nothing on disk: a node that waits to be added. */
export const emptyGroup: RecoveredGroup = {
	hardState: { term: 0, votedFor: undefined, commit: 0 },
	snapshot: undefined,
	entries: [],
};

/** What a founding member has before its first run. The same on all of them, whatever the order of `voters`. */
export function foundedGroup(voters: readonly PeerId[]): RecoveredGroup {
	const data = encodeMembership(votersOnly(voters));
	return {
		hardState: { term: 1, votedFor: undefined, commit: 1 },
		snapshot: undefined,
		entries: [{ term: 1, index: 1, kind: 'config', data }],
	};
}

/** The write that makes it durable; to be done before the group runs. */
export function foundingWrite(group: number, founded: RecoveredGroup): LogWrite {
	return { group, snapshot: undefined, entries: founded.entries, hardState: founded.hardState };
}
