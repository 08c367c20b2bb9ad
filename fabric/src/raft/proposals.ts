// Owns what a caller asks of the group: commands, membership changes and reads, taken on by the leader and forwarded to it by followers.
import { invariant } from './invariant.js';
import { type ChangeStep, change, isVoter } from './membership.js';
import type { MessageOf } from './messages.js';
import { addRead } from './reads.js';
import type { MembershipResult, ProposeResult, ReadResult } from './ready.js';
import { appendMembership, appendOwn, broadcastAppend, broadcastHeartbeat } from './replication.js';
import type { RaftState } from './state.js';

export function propose(state: RaftState, data: readonly Uint8Array[]): ProposeResult {
	invariant(data.length > 0, 'a proposal without commands');
	if (state.role !== 'leader') {
		const to = state.leader;
		if (to === undefined) return { kind: 'no-leader' };
		state.send({ kind: 'propose', from: state.id, to, term: state.term, data });
		return { kind: 'forwarded', to };
	}
	if (state.transferee !== undefined || !isVoter(state.membership, state.id)) return { kind: 'transferring' };
	if (data.some(({ length }) => length > state.limits.entryBytesMax)) return { kind: 'too-large' };
	let bytes = state.uncommittedBytes;
	for (const { length } of data) bytes += length;
	if (bytes > state.limits.uncommittedBytesMax && state.uncommittedBytes > 0) return { kind: 'too-much-uncommitted' };
	const index = appendOwn(state, 'command', data);
	broadcastAppend(state);
	return { kind: 'accepted', term: state.term, index };
}

export function proposeMembership(state: RaftState, steps: readonly ChangeStep[]): MembershipResult {
	if (state.role !== 'leader') return { kind: 'not-leader' };
	if (state.transferee !== undefined || !isVoter(state.membership, state.id)) return { kind: 'transferring' };
	const open = state.log.commit < state.pendingConfigIndex;
	if (open && !state.has('change-while-pending')) return { kind: 'pending' };
	const next = change(state.membership, steps, state.has('skip-joint'));
	if (!next.ok) return { kind: 'refused', reason: next.reason };
	const index = appendMembership(state, next.membership);
	broadcastAppend(state);
	return { kind: 'accepted', term: state.term, index };
}

export function readIndex(state: RaftState, context: number): ReadResult {
	if (state.role === 'leader') return addRead(state, { context, from: state.id }, broadcastHeartbeat);
	const to = state.leader;
	if (to === undefined) return 'no-leader';
	state.send({ kind: 'readIndex', from: state.id, to, term: state.term, context });
	return 'forwarded';
}

/** A follower's call counts whatever term it believes in. It is dropped where nobody leads, or the leader takes nothing on: the caller asks again. */
export function onForwarded(state: RaftState, message: MessageOf<'propose' | 'readIndex'>): void {
	if (state.role !== 'leader') state.ignoredMessages++;
	else if (message.kind === 'propose') propose(state, message.data);
	else addRead(state, { context: message.context, from: message.from }, broadcastHeartbeat);
}
