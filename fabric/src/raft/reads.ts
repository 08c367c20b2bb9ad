// Owns linearizable reads without a log entry (dissertation §6.4): a leader notes its commit index, proves by a round of heartbeats begun after the
// read arrived that it still leads, then lets the read go. A round belongs to one term and one number; reads that come meanwhile share the next.
import { invariant } from './invariant.js';
import type { MessageOf, PeerId } from './messages.js';
import { jointVote } from './quorum.js';
import type { ReadResult } from './ready.js';
import type { PendingRead, RaftState } from './state.js';

/** A leader knows the commit index only after an entry of its own term is committed (dissertation §6.4 step 1). */
function committedInOwnTerm(state: RaftState): boolean {
	return state.log.termAt(state.log.commit) === state.term || state.has('read-before-own-term-commit');
}

function release(state: RaftState, reads: readonly PendingRead[], index: number): void {
	for (const { context, from } of reads) {
		if (from === state.id) state.readStates.push({ context, index });
		else state.send({ kind: 'readIndexReply', from: state.id, to: from, term: state.term, context, index });
	}
}

function confirmed(state: RaftState): boolean {
	const { acknowledged } = state.reads;
	return jointVote(state.membership, (id) => (acknowledged.has(id) ? true : undefined), state.quorumRule) === 'won';
}

function finishRound(state: RaftState): void {
	const { reads } = state;
	if (reads.index === 0 || !confirmed(state)) return;
	const done = reads.current;
	const { index } = reads;
	reads.current = [];
	reads.index = 0;
	release(state, done, index);
}

/** Begins a round for the reads that wait, unless one is on its way. `heartbeat` sends the messages that carry it. */
export function startReadRound(state: RaftState, heartbeat: (state: RaftState) => void): void {
	const { reads } = state;
	if (state.role !== 'leader' || reads.index !== 0 || reads.waiting.length === 0 || !committedInOwnTerm(state)) return;
	reads.current = reads.waiting;
	reads.waiting = [];
	reads.round++;
	reads.index = state.log.commit;
	reads.acknowledged.clear();
	reads.acknowledged.add(state.id);
	invariant(reads.index > 0, 'a leader with a commit in its own term has an index');
	finishRound(state);
	if (reads.index !== 0) heartbeat(state);
}

/** Takes a read on at the leader. */
export function addRead(state: RaftState, read: PendingRead, heartbeat: (state: RaftState) => void): ReadResult {
	const { reads } = state;
	if (reads.waiting.length + reads.current.length >= state.limits.pendingReadsMax) return 'too-many';
	if (state.has('stale-read-without-round') && committedInOwnTerm(state)) {
		release(state, [read], state.log.commit);
		return 'accepted';
	}
	reads.waiting.push(read);
	startReadRound(state, heartbeat);
	return 'accepted';
}

/** A follower has answered the heartbeat of a round. */
export function onReadAcknowledged(
	state: RaftState,
	from: PeerId,
	round: number,
	heartbeat: (state: RaftState) => void,
): void {
	const { reads } = state;
	if (round === 0 || round !== reads.round || reads.index === 0) return;
	reads.acknowledged.add(from);
	finishRound(state);
	startReadRound(state, heartbeat);
}

/** The leader's answer to a read this follower forwarded. */
export function onReadReply(state: RaftState, message: MessageOf<'readIndexReply'>): void {
	state.readStates.push({ context: message.context, index: message.index });
}
