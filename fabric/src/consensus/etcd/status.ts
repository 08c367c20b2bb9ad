// Owns what of etcd's own status the contract tells.
import type { MemberListResponse, StatusResponse } from '@infermesh/proto/etcd/etcdserverpb/rpc';
import type { EngineStatus } from '../engine.js';

export function etcdStatus(
	status: StatusResponse,
	list: MemberListResponse,
	seen: Pick<EngineStatus, 'revision' | 'compactedRevision' | 'quorum'>,
): EngineStatus {
	return {
		engine: 'etcd',
		clusterId: hex(status.header?.clusterId ?? 0n),
		self: undefined,
		leader: status.leader === 0n ? undefined : hex(status.leader),
		term: Number(status.raftTerm),
		members: list.members.map((member) => ({
			id: hex(member.ID),
			address: member.clientURLs[0] ?? '',
			role: member.isLearner ? 'learner' : 'voter',
			matchIndex: undefined,
		})),
		noSpace: noSpaceIn(status.errors),
		...seen,
	};
}

/** Alarms are listed as text: `memberID:1 alarm:NOSPACE`. */
export function noSpaceIn(errors: readonly string[]): boolean {
	return errors.some((error) => error.includes('NOSPACE'));
}

/** As etcdctl prints ids. */
function hex(id: bigint): string {
	return id.toString(16);
}
