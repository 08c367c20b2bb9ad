// Owns the state of one Raft member and the smallest moves on it: roles, terms, outgoing messages. The rules stand in the files beside it, as
// functions over this state; nothing outside this folder touches it.
import type { Random } from '@infermesh/proto';
import { invariant } from './invariant.js';
import { isVoter, members } from './membership.js';
import { decodeMembership } from './membership-codec.js';
import { MemoryLog } from './memory-log.js';
import type { HardState, Membership, Message, PeerId, SnapshotMeta } from './messages.js';
import type { RaftMutation } from './mutations.js';
import { type RaftLimits, type RaftOptions, raftLimits } from './options.js';
import { Progress } from './progress.js';
import type { QuorumRule } from './quorum.js';
import type { ReadState, Role } from './ready.js';

/** A read that waits for proof that this leader still leads. */
export interface PendingRead {
	readonly context: number;
	/** Who asked: this node or a follower. */
	readonly from: PeerId;
}

/** Reads in rounds: one round of heartbeats is on its way, everything that comes meanwhile waits for the next. */
export interface Reads {
	round: number;
	/** Index the current round confirms; 0 when none is on its way. */
	index: number;
	readonly acknowledged: Set<PeerId>;
	current: PendingRead[];
	waiting: PendingRead[];
}

export class RaftState {
	readonly id: PeerId;
	readonly limits: RaftLimits;
	readonly random: Random;
	readonly mutations: ReadonlySet<RaftMutation>;
	readonly quorumRule: QuorumRule;
	readonly log: MemoryLog;
	term: number;
	votedFor: PeerId | undefined;
	role: Role = 'follower';
	leader: PeerId | undefined;
	/** As of the commit index. A log that holds a second uncommitted change proves the first one committed, so no two can be open at once. */
	membership: Membership;
	/** Of everyone but this node; only a leader keeps it. */
	readonly progress = new Map<PeerId, Progress>();
	readonly votes = new Map<PeerId, boolean>();
	electionElapsed = 0;
	heartbeatElapsed = 0;
	electionTimeout = 0;
	/** A leader proposes no change of membership before everything up to here is committed. */
	pendingConfigIndex = 0;
	/** Of the entries this leader added after `freedIndex`: not committed, or not durable here. */
	uncommittedBytes = 0;
	freedIndex = 0;
	transferee: PeerId | undefined;
	/** Messages of a lower term, to another node, or without sense in this role. */
	ignoredMessages = 0;
	readonly reads: Reads = { round: 0, index: 0, acknowledged: new Set(), current: [], waiting: [] };
	readStates: ReadState[] = [];
	messages: Message[] = [];
	afterPersist: Message[] = [];
	/** A snapshot taken over from the leader, until `ready` tells the driver. */
	restoring: SnapshotMeta | undefined;

	constructor(options: RaftOptions) {
		const { hardState, snapshot, entries } = options.restored;
		this.id = options.id;
		this.limits = { ...raftLimits, ...options.limits };
		invariant(this.limits.electionTicks > this.limits.heartbeatTicks, 'electionTicks must be above heartbeatTicks');
		this.random = options.random;
		this.mutations = options.mutations ?? new Set();
		this.quorumRule = {
			ignoreOutgoing: this.has('ignore-outgoing-quorum'),
			learnersCount: this.has('learner-counts'),
		};
		this.log = new MemoryLog(snapshot, entries, decodeMembership, this.has('acknowledge-overwritten'));
		this.term = Math.max(hardState.term, this.log.lastTerm);
		const forgets = this.has('forget-vote-on-restart') || this.term > hardState.term;
		this.votedFor = forgets ? undefined : hardState.votedFor;
		const configs = this.log.configIndexesAfter(this.log.commit);
		this.log.commitTo(Math.min(Math.max(hardState.commit, configs.at(-2) ?? 0), this.log.lastIndex));
		this.membership = this.log.membershipAt(this.log.commit);
		this.drawElectionTimeout();
	}

	has(mutation: RaftMutation): boolean {
		return this.mutations.has(mutation);
	}

	get hardState(): HardState {
		return { term: this.term, votedFor: this.votedFor, commit: this.log.commit };
	}

	/**
	 * Whether this node may stand for election: a voter, or one whose vote the latest change took away while it holds entries beyond it. The others
	 * may not know of the change yet, ask for its vote and be behind it, so it may be the only one who can lead (dissertation §4.2.2); it hands
	 * over at once.
	 */
	get promotable(): boolean {
		if (this.restoring !== undefined) return false;
		if (isVoter(this.membership, this.id)) return true;
		return this.log.lastIndex > this.log.commit && isVoter(this.log.membershipBefore(this.log.commit), this.id);
	}

	drawElectionTimeout(): void {
		const { electionTicks } = this.limits;
		this.electionTimeout = electionTicks + Math.floor(this.random.nextFloat() * electionTicks);
	}

	/** Sends a message that promises nothing beyond what is durable already. */
	send(message: Message): void {
		this.messages.push(message);
	}

	/** Sends a message that tells of this node's log, term or vote: it leaves once these are durable. */
	sendAfterPersist(message: Message): void {
		if (this.has('reply-before-persist')) this.messages.push(message);
		else this.afterPersist.push(message);
	}

	#reset(term: number): void {
		invariant(term >= this.term, 'terms never go back');
		if (term !== this.term) {
			this.term = term;
			this.votedFor = undefined;
		}
		this.leader = undefined;
		this.electionElapsed = 0;
		this.heartbeatElapsed = 0;
		this.drawElectionTimeout();
		this.votes.clear();
		this.progress.clear();
		this.transferee = undefined;
		this.uncommittedBytes = 0;
		this.pendingConfigIndex = 0;
		this.reads.round = 0;
		this.reads.index = 0;
		this.reads.acknowledged.clear();
		this.reads.current = [];
		this.reads.waiting = [];
	}

	becomeFollower(term: number, leader: PeerId | undefined): void {
		this.#reset(term);
		this.role = 'follower';
		this.leader = leader;
	}

	becomePreCandidate(): void {
		invariant(this.role !== 'leader', 'a leader does not stand for election');
		// Neither term nor vote change: a node that cannot win leaves no trace (dissertation §9.6).
		this.role = 'preCandidate';
		this.leader = undefined;
		this.votes.clear();
		this.electionElapsed = 0;
		this.drawElectionTimeout();
	}

	becomeCandidate(): void {
		invariant(this.role !== 'leader', 'a leader does not stand for election');
		this.#reset(this.term + 1);
		this.role = 'candidate';
		this.votedFor = this.id;
	}

	becomeLeader(): void {
		invariant(this.role === 'candidate', 'only a candidate becomes leader');
		this.#reset(this.term);
		this.role = 'leader';
		this.leader = this.id;
		this.pendingConfigIndex = this.log.lastIndex;
		this.freedIndex = this.log.lastIndex;
		this.refreshProgress();
	}

	/** Makes the progress table of a leader follow the membership. */
	refreshProgress(): void {
		const wanted = new Set(members(this.membership));
		for (const id of this.progress.keys()) if (!wanted.has(id)) this.progress.delete(id);
		for (const id of wanted) {
			if (id === this.id || this.progress.has(id)) continue;
			this.progress.set(id, new Progress(0, this.log.lastIndex + 1, this.limits));
		}
	}

	/** What a leader knows to be durable on a member. */
	matchOf(id: PeerId): number {
		if (id !== this.id) return this.progress.get(id)?.match ?? 0;
		return this.has('commit-before-own-persist') ? this.log.lastIndex : this.log.durable;
	}
}
