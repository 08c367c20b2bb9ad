// Owns what is shown of consensus: the engine's own words with the names of nodes.
import type { EngineStatus } from '@infermesh/fabric';

export interface RaftMemberView {
	readonly id: string;
	readonly name: string;
	readonly address: string;
	readonly role: 'voter' | 'learner';
	readonly leader: boolean;
	/** Highest index known to be on it, as the leader sees it; undefined elsewhere. */
	readonly matchIndex: number | undefined;
}

export interface RaftView extends Omit<EngineStatus, 'members'> {
	readonly leaderName: string | undefined;
	readonly members: readonly RaftMemberView[];
}

export function raftView({ members, ...status }: EngineStatus, nameOf: (id: string) => string): RaftView {
	const rows = members.map((member) => ({ ...member, name: nameOf(member.id), leader: member.id === status.leader }));
	return {
		...status,
		leaderName: status.leader === undefined ? undefined : nameOf(status.leader),
		members: rows.sort((a, b) => (a.name < b.name ? -1 : 1)),
	};
}
