// Owns the follower's half of replication: appends, heartbeats and snapshots from the leader of the term (paper figure 2, receiver rules).

import { invariant } from './invariant.js';
import type { MessageOf, PeerId } from './messages.js';
import { adoptMemberships } from './replication.js';
import type { RaftState } from './state.js';

/** Whoever sends these in our term leads it. */
function followLeader(state: RaftState, message: MessageOf<'append' | 'heartbeat' | 'snapshot'>): void {
	invariant(state.role !== 'leader', 'two leaders in one term');
	if (state.role !== 'follower') state.becomeFollower(message.term, message.from);
	invariant(state.leader === undefined || state.leader === message.from, 'two leaders in one term');
	state.leader = message.from;
	state.electionElapsed = 0;
}

function reply(state: RaftState, to: PeerId, index: number): void {
	const { id: from, term } = state;
	state.sendAfterPersist({ kind: 'appendReply', from, to, term, index, rejected: false, hintIndex: 0, hintTerm: 0 });
}

function commitAsFollower(state: RaftState, index: number): void {
	if (index > state.log.commit) adoptMemberships(state, state.log.commitTo(index));
}

export function onAppend(state: RaftState, message: MessageOf<'append'>): void {
	followLeader(state, message);
	const { log } = state;
	const { previousIndex, previousTerm, entries } = message;
	if (previousIndex < log.commit && !state.has('truncate-committed')) {
		// An old message: what it carries may be compacted away, and all up to the commit index is agreed.
		reply(state, message.from, log.commit);
		return;
	}
	const blind = state.has('accept-append-without-previous-check') && previousIndex <= log.lastIndex;
	if (!log.matches(previousIndex, previousTerm) && !blind) {
		const hint = log.lastAtMost(Math.min(previousIndex, log.lastIndex), previousTerm);
		// It promises nothing, so it need not wait for the disk.
		state.send({
			kind: 'appendReply',
			from: state.id,
			to: message.from,
			term: state.term,
			index: previousIndex,
			rejected: true,
			hintIndex: hint.index,
			hintTerm: hint.term,
		});
		return;
	}
	// Only a real conflict cuts the log: an older append that arrives late must not take back what a later one brought.
	const conflict = state.has('truncate-committed') ? entries[0] : log.findConflict(entries);
	if (conflict !== undefined) {
		invariant(
			conflict.index > log.commit || state.has('truncate-committed'),
			'an append contradicts committed entries',
		);
		log.append(entries.slice(entries.indexOf(conflict)));
	}
	const last = previousIndex + entries.length;
	commitAsFollower(state, Math.min(message.commit, last));
	reply(state, message.from, last);
}

export function onHeartbeat(state: RaftState, message: MessageOf<'heartbeat'>): void {
	followLeader(state, message);
	const beyond = state.has('heartbeat-commit-beyond-match');
	commitAsFollower(state, beyond ? Math.min(message.commit, state.log.lastIndex) : message.commit);
	state.send({
		kind: 'heartbeatReply',
		from: state.id,
		to: message.from,
		term: state.term,
		readRound: message.readRound,
	});
}

/** The bytes of the snapshot have arrived and are durable. */
export function onSnapshot(state: RaftState, message: MessageOf<'snapshot'>): void {
	followLeader(state, message);
	const { log } = state;
	const { meta } = message;
	if (meta.index <= log.commit) {
		reply(state, message.from, log.commit);
		return;
	}
	if (log.matches(meta.index, meta.term)) {
		// The log holds all the snapshot stands for: nothing is replaced, and the entries after it stay.
		commitAsFollower(state, meta.index);
		reply(state, message.from, meta.index);
		return;
	}
	log.restore(meta);
	state.membership = meta.membership;
	state.restoring = meta;
	reply(state, message.from, meta.index);
}
