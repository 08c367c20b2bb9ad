// Owns the arithmetic of majorities, plain and joint (dissertation §4.3): which index a quorum holds, and how a vote stands.
import type { Membership, PeerId } from './messages.js';

export type VoteResult = 'won' | 'lost' | 'pending';

/** Votes needed of `size` voters. */
export function majority(size: number): number {
	return Math.floor(size / 2) + 1;
}

/**
 * The highest index that a majority of `voters` holds; infinite for an empty set, which agrees to everything. `others` name a known bug: they count
 * as holders although they have no vote.
 */
export function majorityIndex(
	voters: readonly PeerId[],
	matchOf: (id: PeerId) => number,
	others: readonly PeerId[] = [],
): number {
	if (voters.length === 0) return Number.POSITIVE_INFINITY;
	const held = [...voters, ...others].map((id) => matchOf(id)).sort((a, b) => b - a);
	return held[majority(voters.length) - 1] ?? 0;
}

/** How a vote among `voters` stands; an empty set is won. */
export function majorityVote(voters: readonly PeerId[], voteOf: (id: PeerId) => boolean | undefined): VoteResult {
	if (voters.length === 0) return 'won';
	let granted = 0;
	let missing = 0;
	for (const id of voters) {
		const vote = voteOf(id);
		if (vote === true) granted++;
		else if (vote === undefined) missing++;
	}
	const needed = majority(voters.length);
	if (granted >= needed) return 'won';
	return granted + missing >= needed ? 'pending' : 'lost';
}

/** Which sets of a membership have to agree. Both options name a known bug (see mutations.ts). */
export interface QuorumRule {
	readonly ignoreOutgoing: boolean;
	readonly learnersCount: boolean;
}

/** The highest index that both majorities of a membership hold. 0 when there is no voter at all. */
export function jointIndex(membership: Membership, matchOf: (id: PeerId) => number, rule: QuorumRule): number {
	const now = majorityIndex(membership.voters, matchOf, rule.learnersCount ? membership.learners : []);
	const before = rule.ignoreOutgoing ? Number.POSITIVE_INFINITY : majorityIndex(membership.outgoing, matchOf);
	const index = Math.min(now, before);
	return Number.isFinite(index) ? index : 0;
}

/** How a vote stands in both majorities of a membership. Nothing can be won without a voter. */
export function jointVote(
	membership: Membership,
	voteOf: (id: PeerId) => boolean | undefined,
	rule: QuorumRule,
): VoteResult {
	if (membership.voters.length === 0) return 'lost';
	const now = majorityVote(membership.voters, voteOf);
	const before = rule.ignoreOutgoing ? 'won' : majorityVote(membership.outgoing, voteOf);
	if (now === 'lost' || before === 'lost') return 'lost';
	return now === 'won' && before === 'won' ? 'won' : 'pending';
}
