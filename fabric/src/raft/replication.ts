// Owns the leader's half of replication: appends within flow control, answers to them, heartbeats, and what a commit brings about, membership
// changes included (paper §5.3, dissertation §4; flow control after etcd).

import { invariant } from './invariant.js';
import { isJoint, isVoter, leaveJoint } from './membership.js';
import { encodeMembership } from './membership-codec.js';
import type { Entry, EntryKind, Membership, MessageOf, PeerId } from './messages.js';
import { entriesBytes, type Progress } from './progress.js';
import { jointIndex } from './quorum.js';
import { startReadRound } from './reads.js';
import type { RaftState } from './state.js';

function sendSnapshot(state: RaftState, to: PeerId, progress: Progress): boolean {
	// Nothing to send to a node that does not answer; it is probed with the next heartbeat's reply.
	if (!progress.recentlyActive) return false;
	const meta = state.log.snapshot;
	invariant(meta !== undefined, 'the log is compacted but there is no snapshot');
	state.send({ kind: 'snapshot', from: state.id, to, term: state.term, meta });
	progress.becomeSnapshot(meta.index);
	return true;
}

/** Sends the next append to a follower if flow control allows; `empty`: also one without entries, to probe or to tell a commit. */
function sendAppend(state: RaftState, to: PeerId, progress: Progress, empty: boolean): boolean {
	// A full pipeline still takes an empty append after a heartbeat: if everything in it was lost, the refusal says so.
	const full = progress.state === 'replicate' && progress.inflightFull;
	if (progress.paused && !(full && empty)) return false;
	const previousIndex = progress.next - 1;
	const previousTerm = state.log.termAt(previousIndex);
	if (previousTerm === undefined) return sendSnapshot(state, to, progress);
	const entries = full ? [] : state.log.slice(progress.next, state.limits.appendBytesMax);
	if (entries.length === 0 && !empty) return false;
	const { commit } = state.log;
	state.send({ kind: 'append', from: state.id, to, term: state.term, previousIndex, previousTerm, entries, commit });
	progress.sent(entries, Math.min(commit, previousIndex + entries.length));
	return true;
}

/** Sends a follower what it lacks: entries as far as flow control allows, else the commit index if it was not told. */
function catchUp(state: RaftState, to: PeerId, progress: Progress): void {
	while (sendAppend(state, to, progress, false) && progress.state === 'replicate');
	if (progress.state !== 'replicate' || progress.inflightFull) return;
	if (progress.sentCommit < Math.min(state.log.commit, progress.next - 1)) sendAppend(state, to, progress, true);
}

export function broadcastAppend(state: RaftState): void {
	for (const [id, progress] of state.progress) catchUp(state, id, progress);
}

export function broadcastHeartbeat(state: RaftState): void {
	state.heartbeatElapsed = 0;
	const readRound = state.reads.index === 0 ? 0 : state.reads.round;
	for (const [id, progress] of state.progress) {
		// Never beyond what the follower is known to hold: its own log there may be another leader's.
		const beyond = state.has('heartbeat-commit-beyond-match');
		const commit = beyond ? state.log.commit : Math.min(progress.match, state.log.commit);
		state.send({ kind: 'heartbeat', from: state.id, to: id, term: state.term, commit, readRound });
	}
}

/** Adds entries of this term to the leader's log. */
export function appendOwn(state: RaftState, kind: EntryKind, data: readonly Uint8Array[]): number {
	invariant(state.role === 'leader', 'only a leader adds entries');
	const first = state.log.lastIndex + 1;
	const entries = data.map((bytes, at): Entry => ({ term: state.term, index: first + at, kind, data: bytes }));
	state.uncommittedBytes += entriesBytes(entries);
	state.log.append(entries);
	return first;
}

/** Adds a membership entry; no other may follow before it is committed. */
export function appendMembership(state: RaftState, membership: Membership): number {
	const index = appendOwn(state, 'config', [encodeMembership(membership)]);
	state.pendingConfigIndex = index;
	return index;
}

/** Applies the memberships that became committed; the last one counts. */
export function adoptMemberships(state: RaftState, committed: readonly Membership[]): void {
	const latest = committed.at(-1);
	if (latest === undefined) return;
	state.membership = latest;
	if (state.role !== 'leader') return;
	const before = new Map(state.progress);
	state.refreshProgress();
	// Whoever leaves still learns that it did, if this message reaches it.
	for (const [id, progress] of before) if (!state.progress.has(id)) sendAppend(state, id, progress, true);
	if (state.transferee !== undefined && !isVoter(latest, state.transferee)) state.transferee = undefined;
}

/** Counts matches; commits what a quorum holds, but only entries of the own term (paper §5.4.2, figure 8). */
export function advanceCommit(state: RaftState): boolean {
	const index = jointIndex(state.membership, (id) => state.matchOf(id), state.quorumRule);
	if (index <= state.log.commit) return false;
	if (!state.log.matches(index, state.term) && !state.has('commit-old-term-by-counting')) return false;
	adoptMemberships(state, state.log.commitTo(index));
	return true;
}

/** Lets the leader take more on: what is committed, and durable here, no longer counts. */
function freeUncommitted(state: RaftState): void {
	const to = Math.min(state.log.commit, state.log.durable);
	if (to <= state.freedIndex) return;
	state.uncommittedBytes -= entriesBytes(state.log.slice(state.freedIndex + 1, Number.POSITIVE_INFINITY, to));
	state.freedIndex = to;
	invariant(state.uncommittedBytes >= 0, 'uncommitted bytes below zero');
}

/** Commits as far as possible and does what follows from it, until nothing more does. */
export function afterMatch(state: RaftState): void {
	let news = false;
	while (state.role === 'leader' && advanceCommit(state)) {
		news = true;
		leaveJointWhenDue(state);
	}
	if (state.role === 'leader') freeUncommitted(state);
	if (!news) return;
	broadcastAppend(state);
	startReadRound(state, broadcastHeartbeat);
	handOverWhenRemoved(state);
}

/**
 * A leader without a vote takes nothing on and hands over to the voter that is furthest ahead, which also tells the others of the change
 * (dissertation §4.2.2). It steps down when that one has everything, or for want of a quorum.
 */
export function handOverWhenRemoved(state: RaftState): void {
	if (state.role !== 'leader' || isVoter(state.membership, state.id) || state.transferee !== undefined) return;
	const voters = [...state.progress].filter(
		([id, { recentlyActive }]) => recentlyActive && isVoter(state.membership, id),
	);
	const [best] = voters.sort(([, one], [, other]) => other.match - one.match);
	if (best === undefined) return;
	const [id, progress] = best;
	state.transferee = id;
	state.electionElapsed = 0;
	timeOutWhenCaughtUp(state, id, progress);
}

/** The one leadership goes to stands for election once it has everything. */
export function timeOutWhenCaughtUp(state: RaftState, id: PeerId, progress: Progress): void {
	if (id !== state.transferee || progress.match < state.log.lastIndex) return;
	state.send({ kind: 'timeoutNow', from: state.id, to: id, term: state.term });
	// That one can be elected without this node, and nobody of the group would tell it that it was.
	if (!isVoter(state.membership, state.id)) state.becomeFollower(state.term, undefined);
}

/** Proposes to leave the joint phase once it is committed and nothing of an earlier leader is open. */
function leaveJointWhenDue(state: RaftState): void {
	if (!isJoint(state.membership) || state.log.commit < state.pendingConfigIndex) return;
	appendMembership(state, leaveJoint(state.membership));
}

function refuse(state: RaftState, message: MessageOf<'appendReply'>, progress: Progress): void {
	const hint =
		message.hintTerm > 0 ? state.log.lastAtMost(message.hintIndex, message.hintTerm).index : message.hintIndex;
	if (!progress.refused(message.index, hint)) return;
	if (progress.state === 'replicate') progress.becomeProbe();
	sendAppend(state, message.from, progress, true);
}

function accept(state: RaftState, message: MessageOf<'appendReply'>, progress: Progress): void {
	invariant(message.index <= state.log.lastIndex, 'a follower claims entries that this leader never had');
	const news = progress.matched(message.index);
	if (!news && !(progress.state === 'probe' && progress.match === message.index)) return;
	if (progress.state === 'replicate') progress.freeInflight(message.index);
	else if (progress.state === 'probe' || progress.match + 1 >= state.log.firstIndex) progress.becomeReplicate();
	afterMatch(state);
	if (state.role !== 'leader' || !state.progress.has(message.from)) return;
	catchUp(state, message.from, progress);
	timeOutWhenCaughtUp(state, message.from, progress);
}

export function onAppendReply(state: RaftState, message: MessageOf<'appendReply'>): void {
	const progress = state.progress.get(message.from);
	if (progress === undefined) {
		state.ignoredMessages++;
		return;
	}
	progress.answered();
	if (message.rejected) refuse(state, message, progress);
	else accept(state, message, progress);
}

/** A follower is alive: whatever it lacks is sent (again). */
export function onHeartbeatReply(state: RaftState, message: MessageOf<'heartbeatReply'>): void {
	const progress = state.progress.get(message.from);
	if (progress === undefined) {
		state.ignoredMessages++;
		return;
	}
	progress.answered();
	progress.probeSent = false;
	if (progress.match < state.log.lastIndex || progress.state === 'probe')
		sendAppend(state, message.from, progress, true);
}

/** What the transport says of a snapshot it was given. */
export function onSnapshotReported(state: RaftState, peer: PeerId, ok: boolean): void {
	const progress = state.progress.get(peer);
	if (progress?.state !== 'snapshot') return;
	if (!ok) progress.snapshotIndex = 0;
	progress.becomeProbe();
	// Its answer to the snapshot itself comes first if all went well; else the next heartbeat's reply lets the probe go.
	progress.probeSent = true;
}

/** A tick of the leader: followers are silent a tick longer, and one whose snapshot neither arrived nor failed in time is probed again. */
export function tickProgress(state: RaftState): void {
	for (const progress of state.progress.values()) {
		progress.silentTicks++;
		if (progress.state !== 'snapshot') continue;
		progress.snapshotTicks++;
		if (progress.snapshotTicks < state.limits.snapshotTicksMax) continue;
		progress.snapshotIndex = 0;
		progress.becomeProbe();
	}
}
