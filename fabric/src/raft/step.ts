// Owns where a message goes: first by its term against the own one (paper figure 2, "all servers"), then by its kind.
import { campaign, holdsToLeader, onVoteReply, onVoteRequest } from './election.js';
import { onAppend, onHeartbeat, onSnapshot } from './follow.js';
import type { Message } from './messages.js';
import { onForwarded } from './proposals.js';
import { onReadAcknowledged, onReadReply } from './reads.js';
import { broadcastHeartbeat, onAppendReply, onHeartbeatReply } from './replication.js';
import type { RaftState } from './state.js';

export function step(state: RaftState, message: Message): void {
	if (message.to !== state.id || message.from === state.id) state.ignoredMessages++;
	// Calls of a follower count whatever term it believes in.
	else if (message.kind === 'propose' || message.kind === 'readIndex') dispatch(state, message);
	else if (message.term > state.term) onHigherTerm(state, message);
	else if (message.term < state.term) onLowerTerm(state, message);
	else dispatch(state, message);
}

function onHigherTerm(state: RaftState, message: Message): void {
	const asksVote = message.kind === 'preVote' || message.kind === 'vote';
	if (asksVote && !message.transfer && holdsToLeader(state)) {
		state.ignoredMessages++;
		return;
	}
	// A pre-vote asks what would be if; its grant answers for that term. Neither moves the own one.
	const hypothetical = message.kind === 'preVote' || (message.kind === 'preVoteReply' && message.granted);
	if (!hypothetical) {
		const leads = message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot';
		state.becomeFollower(message.term, leads ? message.from : undefined);
	}
	dispatch(state, message);
}

function onLowerTerm(state: RaftState, message: Message): void {
	const common = { from: state.id, to: message.from, term: state.term };
	switch (message.kind) {
		case 'append':
		case 'heartbeat':
		case 'snapshot':
			// A leader of an earlier term learns that it is over; it reads no more than the term from this.
			state.sendAfterPersist({ ...common, kind: 'appendReply', index: 0, rejected: true, hintIndex: 0, hintTerm: 0 });
			return;
		case 'preVote':
			// A candidate of an earlier term learns the present one, or it could stand for ever without winning.
			state.sendAfterPersist({ ...common, kind: 'preVoteReply', granted: false });
			return;
		case 'vote':
			state.sendAfterPersist({ ...common, kind: 'voteReply', granted: false });
			return;
		case 'voteReply':
			if (state.has('stale-vote-reply-counted')) onVoteReply(state, message);
			else state.ignoredMessages++;
			return;
		case 'appendReply':
		case 'heartbeatReply':
		case 'preVoteReply':
		case 'timeoutNow':
		case 'propose':
		case 'readIndex':
		case 'readIndexReply':
			state.ignoredMessages++;
	}
}

function dispatch(state: RaftState, message: Message): void {
	switch (message.kind) {
		case 'append':
			onAppend(state, message);
			return;
		case 'appendReply':
			onAppendReply(state, message);
			return;
		case 'heartbeat':
			onHeartbeat(state, message);
			return;
		case 'heartbeatReply':
			onHeartbeatReply(state, message);
			onReadAcknowledged(state, message.from, message.readRound, broadcastHeartbeat);
			return;
		case 'preVote':
		case 'vote':
			onVoteRequest(state, message);
			return;
		case 'preVoteReply':
		case 'voteReply':
			onVoteReply(state, message);
			return;
		case 'snapshot':
			onSnapshot(state, message);
			return;
		case 'timeoutNow':
			// Only the leader of this term may hand it over.
			if (message.from === state.leader) campaign(state, true);
			else state.ignoredMessages++;
			return;
		case 'readIndexReply':
			onReadReply(state, message);
			return;
		case 'propose':
		case 'readIndex':
			onForwarded(state, message);
	}
}
