// Owns the changes of a group's members and leader that an operator or the node's lifecycle asks for, and the refusal of those that would endanger
// it: a newcomer is a learner first, gets a vote once it has caught up, and nobody is removed whom the quorum needs (fabric.md 6, rows 4 and 11).
import type { Clock } from '@infermesh/proto';
import { type ChangeStep, change } from '../../raft/membership.js';
import type { PeerId } from '../../raft/messages.js';
import { consensusError } from '../errors.js';
import type { RaftGroup } from './group.js';

/** A change that is not committed after this time may still be. */
const changeTimeoutMs = 10_000;

export class RaftAdmin {
	readonly #group: RaftGroup;
	readonly #clock: Clock;

	/** Works on the leader only; elsewhere calls reject with IM_CONSENSUS_NOT_LEADER. */
	constructor(group: RaftGroup, clock: Clock) {
		this.#group = group;
		this.#clock = clock;
	}

	/** A node that gets the log but has no vote. */
	addLearner(id: PeerId): Promise<void> {
		const { voters, learners } = this.#group.core.membership;
		if (voters.includes(id) || learners.includes(id)) return this.#refuse(`${id} is a member already`);
		return this.change([{ action: 'add-learner', id }]);
	}

	/** Gives a learner a vote; refused unless it holds 90 % of the log and is heard of. */
	promote(id: PeerId): Promise<void> {
		const { core } = this.#group;
		if (core.role === 'leader') {
			if (!core.membership.learners.includes(id)) return this.#refuse(`${id} is no learner of the group`);
			if (!core.isCaughtUp(id)) return this.#refuse(`${id} has not caught up with the log yet`);
		}
		return this.change([{ action: 'add-voter', id }]);
	}

	/** Takes a member out; refused when those heard of would then be no quorum. */
	remove(id: PeerId): Promise<void> {
		const { voters, learners } = this.#group.core.membership;
		if (!voters.includes(id) && !learners.includes(id)) return this.#refuse(`${id} is no member of the group`);
		return this.change([{ action: 'remove', id }]);
	}

	/** Several steps at once, by a joint phase. Done when the final membership is committed. */
	change(steps: readonly ChangeStep[]): Promise<void> {
		const { core } = this.#group;
		if (core.role !== 'leader') return this.#notLeader();
		const next = change(core.membership, steps);
		if (!next.ok) return this.#refuse(next.reason);
		const removed = steps.filter(({ action }) => action === 'remove').map(({ id }) => id);
		if (!core.quorumHeard({ ...next.membership, outgoing: [], learnersNext: [] }, removed))
			return this.#refuse('those who are heard of would be no quorum afterwards');
		let at: { readonly index: number; readonly term: number } | undefined;
		let refusal = '';
		this.#group.administer((raft) => {
			const result = raft.proposeMembership(steps);
			if (result.kind === 'accepted') at = result;
			else refusal = result.kind === 'pending' ? 'another change is not committed yet' : result.kind;
		});
		return at === undefined ? this.#refuse(refusal) : this.#committed(at.index, at.term);
	}

	/** Hands leadership over and waits until another one leads; to the member that is furthest ahead when `to` is left out. */
	transfer(to: PeerId | undefined = this.#group.bestSuccessor()): Promise<void> {
		const { core } = this.#group;
		if (core.role !== 'leader') return this.#notLeader();
		if (to === undefined) return this.#refuse('no other voter is heard of');
		let result = '';
		this.#group.administer((raft) => {
			result = raft.transferLeadership(to);
		});
		if (result === 'already-leader') return Promise.resolve();
		if (result !== 'accepted') return this.#refuse(`${to} has no vote in the group`);
		return this.#until(() => core.leader !== undefined && core.leader !== core.id);
	}

	#committed(index: number, term: number): Promise<void> {
		const { core } = this.#group;
		return this.#until(() => {
			if (core.commitIndex < index || core.membership.outgoing.length > 0) return false;
			const found = core.termAt(index);
			if (found === term || found === undefined) return true;
			throw consensusError('IM_CONSENSUS_NO_QUORUM', 'another leader has put something else in place of the change');
		});
	}

	#until(done: () => boolean): Promise<void> {
		const deadline = this.#clock.nowMs() + changeTimeoutMs;
		return new Promise((resolve, reject) => {
			const end = this.#group.watch(() => {
				try {
					if (done()) resolve();
					else if (this.#group.ended || this.#clock.nowMs() >= deadline) reject(consensusError('IM_CONSENSUS_TIMEOUT'));
					else return;
				} catch (error) {
					reject(error instanceof Error ? error : new Error(String(error)));
				}
				end();
			});
		});
	}

	#refuse(message: string): Promise<never> {
		return Promise.reject(consensusError('IM_CONSENSUS_CHANGE_REFUSED', message));
	}

	#notLeader(): Promise<never> {
		const { leader } = this.#group.core;
		return Promise.reject(consensusError('IM_CONSENSUS_NOT_LEADER', undefined, { details: { leader } }));
	}
}
