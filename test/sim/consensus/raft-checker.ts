// Owns what must hold over all members of a Raft group at every step, seen from outside (fabric.md 5.2, Raft; Ongaro's paper, figure 3). It knows what
// each disk has acknowledged, so it can say when something was told before it was durable. The first broken rule ends the run.
import {
	decodeMembership,
	type Entry,
	emptyMembership,
	type LogWrite,
	type Membership,
	type Message,
	type PeerId,
	type RaftCore,
	type RecoveredGroup,
} from '@infermesh/fabric';
import type { SimHost } from '../world/sim-host.js';
import { Violation } from '../world/sim-world.js';
import { hashBytes } from '../world/trace.js';
import type { DurableShadow } from './durable-shadow.js';
import { mayFollow, quorumHas } from './quorum-rules.js';

/** One running member, as the checker sees it. */
export interface WatchedMember {
	readonly id: PeerId;
	readonly host: SimHost;
	readonly core: RaftCore;
	readonly shadow: DurableShadow;
	/** Local microseconds. */
	readonly nowUs: () => number;
}

interface Memory {
	commit: number;
	term: number;
	/** The term it was seen to lead, and the end of its log then. */
	ledTerm: number;
	ledSinceUs: number;
	ledLast: number;
	ledLastTerm: number;
	membership: Membership;
	/** When it last heard its leader, by its own clock. */
	heardUs: number;
}

/** Rules about time. */
export interface RaftTimes {
	readonly electionUs: number;
	readonly tickUs: number;
	/** A leader that has heard of no quorum for so long must have stepped down. */
	readonly aloneUs: number;
}

const indexSpan = 1 << 24;

/** One key for a pair of index and term. */
function place(index: number, term: number): number {
	return term * indexSpan + index;
}

export class RaftChecker {
	readonly #times: RaftTimes;
	readonly #shadows = new Map<PeerId, DurableShadow>();
	readonly #memories = new Map<PeerId, Memory>();
	readonly #leaders = new Map<number, PeerId>();
	/** Term → voter → whom it voted for. */
	readonly #votes = new Map<number, Map<PeerId, PeerId>>();
	readonly #preVotes = new Map<string, Set<PeerId>>();
	/** Content and predecessor of every entry ever written, by index and term. */
	readonly #entries = new Map<number, { readonly content: number; readonly previousTerm: number }>();
	/** Terms of committed entries, by index. */
	readonly committed: number[] = [0];
	/** Term of the leader that committed up to an index first, for leader completeness. */
	readonly #committedIn: number[] = [0];
	/** Memberships by index, as they were last written. */
	readonly memberships = new Map<number, Membership>();
	/** A vote request on its way into a member, with what has to be refused. */
	#refusals = new Map<string, string>();

	constructor(times: RaftTimes) {
		this.#times = times;
	}

	get commitMax(): number {
		return this.committed.length - 1;
	}

	get leadersSeen(): number {
		return this.#leaders.size;
	}

	#memory(id: PeerId): Memory {
		const memory = this.#memories.get(id);
		if (memory === undefined) throw new Error(`${id} was never started`);
		return memory;
	}

	/** A founding member begins with this. */
	founded(entries: readonly Entry[]): void {
		for (const entry of entries) {
			this.#noteEntry('founder', entry, 0);
			this.committed[entry.index] = entry.term;
			this.#committedIn[entry.index] = entry.term;
		}
	}

	starts(member: WatchedMember, { hardState: before }: RecoveredGroup): void {
		const { core, id, shadow } = member;
		this.#shadows.set(id, shadow);
		if (core.term === before.term && core.votedFor !== before.votedFor)
			throw new Violation(`${id} has forgotten its vote for ${before.votedFor} in term ${before.term}`);
		this.#memories.set(id, {
			commit: core.commitIndex,
			term: core.term,
			ledTerm: 0,
			ledSinceUs: 0,
			ledLast: 0,
			ledLastTerm: 0,
			membership: core.membership,
			heardUs: Number.NEGATIVE_INFINITY,
		});
	}

	#noteEntry(id: PeerId, entry: Entry, previousTerm: number): void {
		const key = place(entry.index, entry.term);
		const content = hashBytes(entry.data) ^ entry.kind.length;
		const before = this.#entries.get(key);
		if (before === undefined) this.#entries.set(key, { content, previousTerm });
		else if (before.content !== content || before.previousTerm !== previousTerm)
			throw new Violation(
				`log matching: ${id} writes ${entry.index}/${entry.term} where another has something else or another before it`,
			);
	}

	/** A member begins to write to its log. */
	writes({ id, core }: WatchedMember, { entries }: LogWrite): void {
		const [first] = entries;
		if (first === undefined) return;
		let previousTerm = core.termAt(first.index - 1) ?? 0;
		for (const entry of entries) {
			const unreachable = entry.index === first.index && core.termAt(first.index - 1) === undefined;
			if (!unreachable) this.#noteEntry(id, entry, previousTerm);
			previousTerm = entry.term;
			if (entry.index <= core.commitIndex && this.committed[entry.index] !== entry.term)
				throw new Violation(`${id} overwrites ${entry.index}, which it knows to be committed`);
			if (entry.kind === 'config') this.#writesMembership(id, core, entry);
			else this.memberships.delete(entry.index);
		}
	}

	#writesMembership(id: PeerId, core: RaftCore, entry: Entry): void {
		const membership = decodeMembership(entry.data);
		this.memberships.set(entry.index, membership);
		if (core.role !== 'leader') return;
		const earlier = [...this.memberships].filter(([index]) => index < entry.index && core.termAt(index) !== undefined);
		const before = earlier.sort(([a], [b]) => b - a)[0];
		if (before === undefined) return;
		if (before[0] > core.commitIndex)
			throw new Violation(
				`${id} changes the membership at ${entry.index} while the change at ${before[0]} is not committed`,
			);
		if (!mayFollow(before[1], membership))
			throw new Violation(
				`${id} writes a membership at ${entry.index} whose quorums need not meet those of ${before[0]}`,
			);
	}

	/** A message leaves a member. */
	sends({ id, core, shadow }: WatchedMember, message: Message): void {
		const { kind, to, term } = message;
		if (kind === 'voteReply' && message.granted) this.#grants(id, shadow, to, term);
		else if (kind === 'preVoteReply' && message.granted) {
			this.#notRefused(id, to, term);
			this.#preVotesOf(to, term).add(id);
		} else if (kind === 'vote' && !message.transfer) this.#standsWithPreVotes(id, core, term);
		else if (kind === 'appendReply' && !message.rejected) this.#confirms(id, core, shadow, message.index, term);
	}

	#preVotesOf(candidate: PeerId, term: number): Set<PeerId> {
		const key = `${candidate}@${term}`;
		const votes = this.#preVotes.get(key) ?? new Set();
		this.#preVotes.set(key, votes);
		return votes;
	}

	#grants(voter: PeerId, shadow: DurableShadow, candidate: PeerId, term: number): void {
		this.#notRefused(voter, candidate, term);
		const { hardState } = shadow;
		const durable = hardState.term > term || (hardState.term === term && hardState.votedFor === candidate);
		if (!durable) throw new Violation(`${voter} votes for ${candidate} in term ${term} before that is durable`);
		const votes = this.#votes.get(term) ?? new Map<PeerId, PeerId>();
		this.#votes.set(term, votes);
		const before = votes.get(voter);
		if (before !== undefined && before !== candidate)
			throw new Violation(`${voter} votes for ${before} and ${candidate} in term ${term}`);
		votes.set(voter, candidate);
	}

	#notRefused(voter: PeerId, candidate: PeerId, term: number): void {
		const why = this.#refusals.get(`${voter}>${candidate}@${term}`);
		if (why !== undefined) throw new Violation(`${voter} supports ${candidate} in term ${term} although ${why}`);
	}

	#standsWithPreVotes(id: PeerId, core: RaftCore, term: number): void {
		const votes = this.#preVotesOf(id, term);
		if (!quorumHas(core.membership, (one) => one === id || votes.has(one)))
			throw new Violation(`${id} raises the term to ${term} without a quorum that would elect it`);
	}

	#confirms(id: PeerId, core: RaftCore, shadow: DurableShadow, index: number, term: number): void {
		const durable = shadow.termAt(index);
		const changed =
			core.term === term && durable !== 0 && core.termAt(index) !== undefined && durable !== core.termAt(index);
		if (durable === undefined || changed) throw new Violation(`${id} confirms ${index} before it is durable`);
	}

	/** A message is about to reach a member. */
	receives({ id, core, nowUs }: WatchedMember, message: Message): void {
		if (message.term < core.term) return;
		if (message.kind === 'append' || message.kind === 'heartbeat') {
			this.#memory(id).heardUs = nowUs();
			return;
		}
		if (message.kind !== 'vote' && message.kind !== 'preVote') return;
		const key = `${id}>${message.from}@${message.term}`;
		const lastTerm = core.termAt(core.lastIndex) ?? 0;
		const behind = message.lastTerm < lastTerm || (message.lastTerm === lastTerm && message.lastIndex < core.lastIndex);
		const heardAgoUs = nowUs() - this.#memory(id).heardUs;
		const holds =
			core.leader !== undefined && core.leader !== id && heardAgoUs < this.#times.electionUs - 2 * this.#times.tickUs;
		if (behind) this.#refusals.set(key, 'its log is newer');
		else if (holds && !message.transfer && message.term > core.term)
			this.#refusals.set(key, `it hears its leader ${core.leader}`);
		else this.#refusals.delete(key);
	}

	/** Looks at a member after something happened on its host. */
	check(member: WatchedMember): void {
		const { core, id } = member;
		const memory = this.#memory(id);
		if (core.term < memory.term) throw new Violation(`the term of ${id} goes back from ${memory.term} to ${core.term}`);
		if (core.commitIndex < memory.commit)
			throw new Violation(`the commit index of ${id} goes back from ${memory.commit} to ${core.commitIndex}`);
		// A leader that was taken out may commit that and hand over within one event.
		const led = core.role === 'leader' || memory.ledTerm === core.term;
		this.#countsAsDurable(member);
		if (core.role === 'leader') this.#checkLeader(member, memory);
		else memory.ledTerm = 0;
		if (core.commitIndex > memory.commit) this.#commits(member, memory, led);
		memory.term = core.term;
		memory.commit = core.commitIndex;
		memory.membership = core.membership;
	}

	/** What the core counts as durable is, and nothing else is applied. */
	#countsAsDurable({ core, id, shadow }: WatchedMember): void {
		const { durableIndex } = core;
		if (durableIndex < core.firstIndex || durableIndex < shadow.firstIndex) return;
		if (shadow.termAt(durableIndex) !== core.termAt(durableIndex))
			throw new Violation(`${id} takes ${durableIndex}/${core.termAt(durableIndex)} for durable, which it is not`);
	}

	#checkLeader({ id, core, shadow, nowUs }: WatchedMember, memory: Memory): void {
		if (memory.ledTerm !== core.term) {
			this.#begins(id, core, shadow);
			memory.ledTerm = core.term;
			memory.ledSinceUs = nowUs();
		} else if (core.lastIndex < memory.ledLast || core.termAt(memory.ledLast) !== memory.ledLastTerm) {
			if (core.firstIndex <= memory.ledLast)
				throw new Violation(`leader ${id} changes its own log at ${memory.ledLast} in term ${core.term}`);
		}
		memory.ledLast = core.lastIndex;
		memory.ledLastTerm = core.termAt(core.lastIndex) ?? 0;
	}

	/** A member is seen to lead a term for the first time. */
	#begins(id: PeerId, core: RaftCore, shadow: DurableShadow): void {
		const { term } = core;
		const before = this.#leaders.get(term);
		if (before !== undefined && before !== id) throw new Violation(`${before} and ${id} both lead term ${term}`);
		this.#leaders.set(term, id);
		if (shadow.hardState.term < term) throw new Violation(`${id} leads term ${term} before its own vote is durable`);
		const votes = this.#votes.get(term);
		if (!quorumHas(core.membership, (one) => one === id || votes?.get(one) === id))
			throw new Violation(`${id} leads term ${term} without the votes of a quorum`);
		for (let index = core.firstIndex; index < this.committed.length; index++) {
			if ((this.#committedIn[index] ?? 0) < term && core.termAt(index) !== this.committed[index])
				throw new Violation(`leader completeness: ${id} leads term ${term} without ${index}/${this.committed[index]}`);
		}
	}

	#commits(member: WatchedMember, memory: Memory, led: boolean): void {
		const { core, id } = member;
		if (led) this.#leaderCommits(member, memory);
		for (let index = Math.max(memory.commit + 1, core.firstIndex); index <= core.commitIndex; index++) {
			const term = core.termAt(index);
			const known = this.committed[index];
			if (known === undefined)
				throw new Violation(`${id} takes ${index}/${term} for committed, which no leader committed`);
			if (known !== term)
				throw new Violation(`state machine safety: ${id} commits ${index}/${term}, committed was ${index}/${known}`);
		}
	}

	#leaderCommits({ core, id }: WatchedMember, memory: Memory): void {
		const { commitIndex, term } = core;
		if (core.termAt(commitIndex) !== term)
			throw new Violation(
				`leader ${id} of term ${term} commits ${commitIndex}/${core.termAt(commitIndex)} by counting`,
			);
		const holds = (one: PeerId): boolean => {
			const durable = this.#shadows.get(one)?.termAt(commitIndex);
			return durable === 0 || durable === term;
		};
		const rules = [memory.membership, core.membership].filter((membership) => membership !== emptyMembership);
		if (!rules.some((membership) => quorumHas(membership, holds)))
			throw new Violation(`leader ${id} commits ${commitIndex}/${term}, which is not durable on a quorum`);
		for (let index = Math.max(this.committed.length, core.firstIndex); index <= commitIndex; index++) {
			this.committed[index] = core.termAt(index) ?? 0;
			this.#committedIn[index] = term;
		}
	}

	/** A leader that hears nobody must have noticed by now. */
	leadsAlone(member: WatchedMember, heardOf: (peer: PeerId) => boolean): void {
		const { core, id, nowUs } = member;
		const memory = this.#memory(id);
		if (memory.ledTerm !== core.term || nowUs() - memory.ledSinceUs < this.#times.aloneUs) return;
		if (core.role === 'leader' && !quorumHas(core.membership, (peer) => peer === id || heardOf(peer)))
			throw new Violation(`${id} still leads term ${core.term} although it has heard of no quorum for long`);
	}
}
