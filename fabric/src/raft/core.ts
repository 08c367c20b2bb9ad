// Owns the face of one Raft member: a pure state machine. Ticks, messages and calls go in; `ready` says what to do, `persisted` and `applied` say
// that it was done. No time, no I/O, no promises: the same inputs give the same outputs. The rules are in the files beside it.
import { campaign, countOwnVote, idleTicks, tick, transferLeadership } from './election.js';
import { invariant } from './invariant.js';
import type { ChangeStep } from './membership.js';
import type { HardState, Membership, Message, PeerId, SnapshotMeta } from './messages.js';
import type { RaftOptions } from './options.js';
import type { ProgressState } from './progress.js';
import { propose, proposeMembership, readIndex } from './proposals.js';
import { jointVote } from './quorum.js';
import type {
	MembershipResult,
	PersistBatch,
	ProposeResult,
	ReadResult,
	Ready,
	Role,
	SoftState,
	TransferResult,
} from './ready.js';
import { afterMatch, onSnapshotReported } from './replication.js';
import { RaftState } from './state.js';
import { step } from './step.js';

/** A follower as its leader sees it. */
export interface PeerView {
	readonly id: PeerId;
	readonly match: number;
	readonly next: number;
	readonly state: ProgressState;
	readonly recentlyActive: boolean;
	readonly inflight: number;
	/** etcd's rule for promoting a learner: at least 90 % of the leader's log, and heard of lately. */
	readonly caughtUp: boolean;
}

/** Of the leader's log, before a learner may get a vote. */
const caughtUpShare = 0.9;

export class RaftCore {
	readonly #state: RaftState;
	#token = 0;
	#persistedToken = 0;
	#hardState: HardState;
	#softState: SoftState;
	/** Batches that carry a vote of this node for itself: its token and term. */
	#ownVotes: { readonly token: number; readonly term: number }[] = [];

	constructor(options: RaftOptions) {
		this.#state = new RaftState(options);
		this.#hardState = { ...options.restored.hardState };
		this.#softState = this.#currentSoftState();
	}

	get id(): PeerId {
		return this.#state.id;
	}

	get term(): number {
		return this.#state.term;
	}

	get role(): Role {
		return this.#state.role;
	}

	get leader(): PeerId | undefined {
		return this.#state.leader;
	}

	get votedFor(): PeerId | undefined {
		return this.#state.votedFor;
	}

	/** It is the only member, of every kind. */
	get alone(): boolean {
		const { voters, outgoing, learners, learnersNext } = this.membership;
		return (
			outgoing.length + learners.length + learnersNext.length === 0 && voters.length === 1 && voters[0] === this.id
		);
	}

	/** Ticks until something happens by itself, when nothing comes in before; at least 1, infinite where nothing will. */
	get idleTicks(): number {
		return idleTicks(this.#state, this.alone);
	}

	/** As of the commit index. */
	get membership(): Membership {
		return this.#state.membership;
	}

	get commitIndex(): number {
		return this.#state.log.commit;
	}

	get appliedIndex(): number {
		return this.#state.log.applied;
	}

	get durableIndex(): number {
		return this.#state.log.durable;
	}

	get firstIndex(): number {
		return this.#state.log.firstIndex;
	}

	get lastIndex(): number {
		return this.#state.log.lastIndex;
	}

	get transferee(): PeerId | undefined {
		return this.#state.transferee;
	}

	get ignoredMessages(): number {
		return this.#state.ignoredMessages;
	}

	/** Whether this leader's commit index is proven current: an entry of its own term is committed. */
	get committedInOwnTerm(): boolean {
		const { log, role, term } = this.#state;
		return role === 'leader' && log.termAt(log.commit) === term;
	}

	/** Undefined where the log does not reach. */
	termAt(index: number): number | undefined {
		return this.#state.log.termAt(index);
	}

	/** Followers and learners, as this leader sees them; empty elsewhere. */
	peers(): PeerView[] {
		const { progress } = this.#state;
		return [...progress].map(([id, { match, next, state, recentlyActive, inflightCount }]) => ({
			id,
			match,
			next,
			state,
			recentlyActive,
			inflight: inflightCount,
			caughtUp: this.isCaughtUp(id),
		}));
	}

	isCaughtUp(id: PeerId): boolean {
		const progress = this.#state.progress.get(id);
		return progress !== undefined && progress.recentlyActive && progress.match >= this.lastIndex * caughtUpShare;
	}

	/** Whether the members heard of lately in this term, without those in `without`, are a quorum of `membership`. */
	quorumHeard(membership: Membership = this.membership, without: readonly PeerId[] = []): boolean {
		const state = this.#state;
		const heard = (id: PeerId): boolean => {
			const progress = state.progress.get(id);
			return !without.includes(id) && (id === state.id || (progress?.recentlyActive === true && progress.heard));
		};
		return state.role === 'leader' && jointVote(membership, heard, state.quorumRule) === 'won';
	}

	/** One unit of time has passed. */
	tick(): void {
		tick(this.#state);
	}

	/** Stands for election now. For tests, transcripts and a lone member that need not wait. */
	campaign(): void {
		campaign(this.#state, false);
	}

	step(message: Message): void {
		step(this.#state, message);
	}

	/** Proposes commands, all or none of them. */
	propose(data: readonly Uint8Array[]): ProposeResult {
		return propose(this.#state, data);
	}

	/** Changes the membership: at once for one voter, through a joint phase that ends by itself for several. */
	proposeMembership(steps: readonly ChangeStep[]): MembershipResult {
		return proposeMembership(this.#state, steps);
	}

	/** Asks for an index to read at; it comes in `readStates` under `context`, or never when leadership or the message is lost. */
	readIndex(context: number): ReadResult {
		return readIndex(this.#state, context);
	}

	transferLeadership(to: PeerId): TransferResult {
		return transferLeadership(this.#state, to);
	}

	/** The transport has delivered the snapshot to `peer`, or given up. */
	reportSnapshot(peer: PeerId, ok: boolean): void {
		onSnapshotReported(this.#state, peer, ok);
	}

	/** Messages to `peer` were lost: it is probed before more is sent. */
	reportUnreachable(peer: PeerId): void {
		const progress = this.#state.progress.get(peer);
		if (progress?.state === 'replicate') progress.becomeProbe();
	}

	/** What a snapshot of the state at the applied index must say. */
	snapshotMeta(): SnapshotMeta {
		const { log } = this.#state;
		const term = log.termAt(log.applied);
		invariant(term !== undefined, 'the applied entry is not in the log');
		return { index: log.applied, term, membership: log.membershipAt(log.applied) };
	}

	/** A snapshot of the own state is durable: followers that are too far behind get it from now on. */
	snapshotSaved(meta: SnapshotMeta): void {
		this.#state.log.snapshotSaved(meta);
	}

	/** Forgets log entries up to `index`, which the last snapshot must cover. */
	compact(index: number): void {
		this.#state.log.compact(index);
	}

	/** Forgets log entries up to `index`, but for the last ones: for followers that are a little behind. */
	compactBehind(index: number, keepEntriesMax: number, keepBytesMax: number): void {
		this.#state.log.compact(this.#state.log.indexToKeep(index, keepEntriesMax, keepBytesMax));
	}

	#currentSoftState(): SoftState {
		const { role, leader, term } = this.#state;
		return { role, leader, term };
	}

	#softStateChanged(): boolean {
		const { role, leader, term } = this.#state;
		return role !== this.#softState.role || leader !== this.#softState.leader || term !== this.#softState.term;
	}

	/** Term and vote must be durable at once; the commit index rides along with what is written anyway, since a leader tells it again. */
	get #mustPersist(): boolean {
		const { term, votedFor, log, restoring, afterPersist } = this.#state;
		const changed = term !== this.#hardState.term || votedFor !== this.#hardState.votedFor;
		const waits = afterPersist.length > 0 && log.hasOutstanding;
		return changed || log.hasUnwritten || restoring !== undefined || waits;
	}

	/** Whether `ready` has anything to say. */
	get hasReady(): boolean {
		const { messages, afterPersist, readStates, log } = this.#state;
		return (
			messages.length + afterPersist.length + readStates.length > 0 ||
			log.hasCommitted ||
			this.#mustPersist ||
			this.#softStateChanged()
		);
	}

	/** Takes over everything there is to do; the driver does all of it. */
	ready(): Ready {
		const state = this.#state;
		const persist = this.#mustPersist ? this.#takePersist() : undefined;
		// With nothing on its way to storage, what these messages tell of is durable already.
		const messages = persist === undefined ? [...state.messages, ...state.afterPersist] : state.messages;
		const softState = this.#softStateChanged() ? this.#currentSoftState() : undefined;
		if (softState !== undefined) this.#softState = softState;
		const ready: Ready = {
			messages,
			persist,
			restore: state.restoring,
			committed: state.log.takeCommitted(state.limits.applyBytesMax),
			readStates: state.readStates,
			softState,
		};
		state.messages = [];
		state.afterPersist = [];
		state.readStates = [];
		state.restoring = undefined;
		return ready;
	}

	#takePersist(): PersistBatch {
		const state = this.#state;
		const token = ++this.#token;
		const { hardState } = state;
		const before = this.#hardState;
		const changed =
			hardState.term !== before.term || hardState.votedFor !== before.votedFor || hardState.commit !== before.commit;
		invariant(hardState.term >= before.term && hardState.commit >= before.commit, 'hard state goes back');
		this.#hardState = hardState;
		if (changed && state.role === 'candidate') this.#ownVotes.push({ token, term: state.term });
		return {
			token,
			snapshot: state.restoring,
			entries: state.log.takeUnwritten(token),
			hardState: changed ? hardState : undefined,
			messages: state.afterPersist,
		};
	}

	/** The batch of `token` and all before it are durable. */
	persisted(token: number): void {
		const state = this.#state;
		invariant(token > this.#persistedToken && token <= this.#token, 'an unknown write was acknowledged');
		this.#persistedToken = token;
		state.log.acknowledge(token);
		const ownVotes = this.#ownVotes.filter((vote) => vote.token <= token);
		this.#ownVotes = this.#ownVotes.filter((vote) => vote.token > token);
		if (ownVotes.some((vote) => vote.term === state.term)) countOwnVote(state);
		if (state.role === 'leader') afterMatch(state);
	}

	/** Everything handed out up to `index` is applied. */
	applied(index: number): void {
		this.#state.log.appliedTo(index);
	}
}
