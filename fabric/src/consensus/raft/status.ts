// Owns what a member tells of itself and its group.
import type { RaftCore } from '../../raft/core.js';
import { isJoint, members } from '../../raft/membership.js';
import type { PeerId } from '../../raft/messages.js';
import type { Role } from '../../raft/ready.js';
import type { MemberStatus } from '../engine.js';
import type { ReplicatorStatus } from '../replicator.js';

export interface RaftGroupStatus extends ReplicatorStatus {
	readonly role: Role;
	readonly commitIndex: number;
	readonly appliedIndex: number;
	readonly lastIndex: number;
	readonly snapshotIndex: number;
	/** While several voters are being changed at once. */
	readonly joint: boolean;
	readonly callsUnderWay: number;
	/** Why this member has stopped for good. */
	readonly failed: Error | undefined;
}

export interface StatusParts {
	readonly addressOf: (id: PeerId) => string | undefined;
	readonly ended: boolean;
	readonly failed: Error | undefined;
	readonly snapshotIndex: number;
	readonly callsUnderWay: number;
}

function memberStatus(core: RaftCore, addressOf: StatusParts['addressOf']): MemberStatus[] {
	const matches = new Map(core.peers().map(({ id, match }) => [id, match]));
	if (core.role === 'leader') matches.set(core.id, core.durableIndex);
	return members(core.membership).map((id) => ({
		id,
		address: addressOf(id) ?? '',
		role: core.membership.learners.includes(id) ? 'learner' : 'voter',
		matchIndex: matches.get(id),
	}));
}

/** A leader has a quorum when it has heard of one lately; a follower believes the leader it hears. */
function seesQuorum(core: RaftCore): boolean {
	return core.role === 'leader' ? core.quorumHeard() : core.leader !== undefined;
}

export function groupStatus(core: RaftCore, parts: StatusParts): RaftGroupStatus {
	return {
		self: core.id,
		leader: core.leader,
		role: core.role,
		term: core.term,
		members: memberStatus(core, parts.addressOf),
		quorum: !parts.ended && seesQuorum(core),
		commitIndex: core.commitIndex,
		appliedIndex: core.appliedIndex,
		lastIndex: core.lastIndex,
		snapshotIndex: parts.snapshotIndex,
		joint: isJoint(core.membership),
		callsUnderWay: parts.callsUnderWay,
		failed: parts.failed,
	};
}
