// Owns elections: timeouts, pre-votes, votes, the check of the quorum, and leadership transfer (paper §5.2, §5.4.1; dissertation §3.10, §4.2.3,
// §9.6). A voter that hears a leader refuses everyone else, unless that leader asked for the transfer.

import { isVoter, members } from './membership.js';
import type { MessageOf, PeerId } from './messages.js';
import { jointVote } from './quorum.js';
import type { TransferResult } from './ready.js';
import {
	appendOwn,
	broadcastAppend,
	broadcastHeartbeat,
	handOverWhenRemoved,
	tickProgress,
	timeOutWhenCaughtUp,
} from './replication.js';
import type { RaftState } from './state.js';

type VoteRequest = MessageOf<'preVote' | 'vote'>;
type VoteReply = MessageOf<'preVoteReply' | 'voteReply'>;

function requestVotes(state: RaftState, kind: 'preVote' | 'vote', transfer: boolean): void {
	const { lastIndex, lastTerm } = state.log;
	const term = kind === 'preVote' ? state.term + 1 : state.term;
	const voters = members(state.membership).filter((id) => isVoter(state.membership, id));
	for (const to of voters) {
		if (to === state.id || state.votes.get(to) === true) continue;
		state.send({ kind, from: state.id, to, term, lastIndex, lastTerm, transfer });
	}
}

/**
 * Asks those again who have not granted the pre-vote: one that held to the lost leader a moment longer, or to its own campaign, answers the next
 * time. Waiting for the own timeout instead costs up to two election timeouts (measured: a failover of 1.6 s in the worst of 30).
 */
function askAgain(state: RaftState): void {
	for (const [id, granted] of state.votes) if (!granted) state.votes.delete(id);
	requestVotes(state, 'preVote', false);
}

/**
 * Two who ask for pre-votes at once would both be granted them, stand in the same term and split the votes. While its own campaign is young, a
 * pre-candidate therefore keeps silent to one of equal log and lower id; later it grants, as the other may be the only one who can be heard.
 */
function prefersItself(state: RaftState, message: VoteRequest): boolean {
	if (state.role !== 'preCandidate' || state.electionElapsed >= state.limits.heartbeatTicks) return false;
	const { lastIndex, lastTerm } = state.log;
	return message.lastIndex === lastIndex && message.lastTerm === lastTerm && message.from < state.id;
}

function standForElection(state: RaftState, transfer: boolean): void {
	state.becomeCandidate();
	requestVotes(state, 'vote', transfer);
	// The own vote counts once it is durable (see `countOwnVote`).
}

/** Begins an election; a pre-vote first, unless leadership was handed over. */
export function campaign(state: RaftState, transfer: boolean): void {
	if (!state.promotable || state.role === 'leader') return;
	if (transfer || state.has('no-prevote')) {
		standForElection(state, transfer);
		return;
	}
	state.becomePreCandidate();
	state.votes.set(state.id, true);
	requestVotes(state, 'preVote', false);
	tally(state);
}

/**
 * The own vote is durable. No candidate wins without it: a leader that crashed before its term was on disk would stand in the same term again
 * and write other entries under the same term and index.
 */
export function countOwnVote(state: RaftState): void {
	if (state.role !== 'candidate') return;
	state.votes.set(state.id, true);
	tally(state);
}

function tally(state: RaftState): void {
	const result = jointVote(state.membership, (id) => state.votes.get(id), state.quorumRule);
	if (result === 'lost') state.becomeFollower(state.term, undefined);
	else if (result === 'won' && state.votes.get(state.id) === true) {
		if (state.role === 'preCandidate') standForElection(state, false);
		else lead(state);
	}
}

function lead(state: RaftState): void {
	state.becomeLeader();
	// A no-op commits what earlier terms left behind, and lets the leader know the commit index (paper §8).
	appendOwn(state, 'noop', [new Uint8Array(0)]);
	broadcastAppend(state);
}

/** Whether a voter has a leader it trusts still (dissertation §4.2.3): the same time after which that leader steps down for want of a quorum. */
export function holdsToLeader(state: RaftState): boolean {
	if (state.has('no-leader-stickiness')) return false;
	return state.leader !== undefined && state.electionElapsed < state.limits.electionTicks;
}

/** A request of the own term, or a pre-vote of a higher one. */
export function onVoteRequest(state: RaftState, message: VoteRequest): void {
	const preVote = message.kind === 'preVote';
	if (preVote && prefersItself(state, message)) {
		state.ignoredMessages++;
		return;
	}
	const free =
		state.votedFor === message.from ||
		(state.votedFor === undefined && state.leader === undefined) ||
		(preVote && message.term > state.term) ||
		(!preVote && state.has('vote-twice'));
	const upToDate = state.log.isUpToDate(message.lastIndex, message.lastTerm) || state.has('vote-without-log-check');
	const granted = free && upToDate;
	const common = { from: state.id, to: message.from, granted };
	if (preVote) {
		// A grant answers for the term asked about, a refusal tells the own one. It promises nothing, so it need not be durable.
		state.send({ kind: 'preVoteReply', ...common, term: granted ? message.term : state.term });
		return;
	}
	if (granted) {
		state.votedFor = message.from;
		state.electionElapsed = 0;
	}
	state.sendAfterPersist({ kind: 'voteReply', ...common, term: state.term });
}

export function onVoteReply(state: RaftState, message: VoteReply): void {
	const expected = state.role === 'preCandidate' ? 'preVoteReply' : 'voteReply';
	const standing = state.role === 'preCandidate' || state.role === 'candidate';
	// A grant that was long on its way answers for a term this node no longer asks about (simulation, seed 30).
	const late = message.kind === 'preVoteReply' && message.granted && message.term !== state.term + 1;
	if (!standing || late || message.kind !== expected || state.votes.has(message.from)) {
		state.ignoredMessages++;
		return;
	}
	state.votes.set(message.from, message.granted);
	tally(state);
}

/** A leader that has not heard of a quorum for an election timeout steps down (CheckQuorum, dissertation §6.2). */
function checkQuorum(state: RaftState): void {
	const heard = (id: PeerId): boolean => id === state.id || state.progress.get(id)?.recentlyActive === true;
	const result = jointVote(state.membership, heard, state.quorumRule);
	if (result !== 'won' && !state.has('no-check-quorum')) state.becomeFollower(state.term, undefined);
}

function tickLeader(state: RaftState): void {
	state.heartbeatElapsed++;
	tickProgress(state);
	checkQuorum(state);
	if (state.role !== 'leader') return;
	if (state.electionElapsed >= state.limits.electionTicks) {
		state.electionElapsed = 0;
		// A transfer that has not happened by now will not; proposals are taken again.
		state.transferee = undefined;
		handOverWhenRemoved(state);
	}
	if (state.role === 'leader' && state.heartbeatElapsed >= state.limits.heartbeatTicks) broadcastHeartbeat(state);
}

export function tick(state: RaftState): void {
	state.electionElapsed++;
	if (state.role === 'leader') tickLeader(state);
	else if (state.electionElapsed >= state.electionTimeout) {
		state.electionElapsed = 0;
		if (state.promotable) campaign(state, false);
		else state.leader = undefined;
	} else if (state.role === 'preCandidate' && state.electionElapsed % state.limits.heartbeatTicks === 0) {
		askAgain(state);
	}
}

/** Ticks until `tick` does something: a leader's heartbeat (with which it looks at its quorum), a repeated pre-vote, an election. */
export function idleTicks(state: RaftState, alone: boolean): number {
	const { heartbeatTicks } = state.limits;
	if (state.role === 'leader')
		return alone ? Number.POSITIVE_INFINITY : Math.max(1, heartbeatTicks - state.heartbeatElapsed);
	const election = Math.max(1, state.electionTimeout - state.electionElapsed);
	if (state.role !== 'preCandidate') return election;
	return Math.min(election, heartbeatTicks - (state.electionElapsed % heartbeatTicks));
}

/** Hands leadership to a voter: it catches up first, proposals are refused meanwhile (dissertation §3.10). */
export function transferLeadership(state: RaftState, to: PeerId): TransferResult {
	if (state.role !== 'leader') return 'not-leader';
	if (to === state.id) return 'already-leader';
	const progress = state.progress.get(to);
	if (progress === undefined || !isVoter(state.membership, to)) return 'no-voter';
	if (state.transferee === to) return 'accepted';
	state.transferee = to;
	state.electionElapsed = 0;
	broadcastAppend(state);
	timeOutWhenCaughtUp(state, to, progress);
	return 'accepted';
}
