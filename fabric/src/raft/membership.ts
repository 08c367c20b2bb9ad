// Owns how one membership becomes the next: simple changes of at most one voter, joint changes of several (dissertation §4.2–4.3), and leaving
// the joint phase. Pure values; when a change may be made at all is replication's business.
import type { Membership, PeerId } from './messages.js';

export type ChangeStep = { readonly action: 'add-voter' | 'add-learner' | 'remove'; readonly id: PeerId };

export const membersMax = 64;

export type ChangeRefusal = 'empty-change' | 'repeated-member' | 'no-voter-left' | 'too-many-members' | 'already-joint';

export type ChangeResult =
	| { readonly ok: true; readonly membership: Membership }
	| { readonly ok: false; readonly reason: ChangeRefusal };

export const emptyMembership: Membership = { voters: [], outgoing: [], learners: [], learnersNext: [] };

/** A membership of voters only, sorted. */
export function votersOnly(voters: readonly PeerId[]): Membership {
	return { ...emptyMembership, voters: voters.toSorted() };
}

export function isJoint(membership: Membership): boolean {
	return membership.outgoing.length > 0;
}

/** Whether a node has a vote now: in either set of a joint membership. */
export function isVoter(membership: Membership, id: PeerId): boolean {
	return membership.voters.includes(id) || membership.outgoing.includes(id);
}

/** Everyone who receives the log, without repeats, sorted. */
export function members(membership: Membership): PeerId[] {
	const all = new Set([...membership.voters, ...membership.outgoing, ...membership.learners]);
	return [...all].sort();
}

/** Where each member shall stand once the steps are done. */
function target(membership: Membership, steps: readonly ChangeStep[]): { voters: Set<PeerId>; learners: Set<PeerId> } {
	const voters = new Set(membership.voters);
	const learners = new Set(membership.learners);
	for (const { action, id } of steps) {
		voters.delete(id);
		learners.delete(id);
		if (action === 'add-voter') voters.add(id);
		else if (action === 'add-learner') learners.add(id);
	}
	return { voters, learners };
}

/**
 * The membership that carries out `steps`: the final one when at most one voter changes, else a joint one that the leader leaves by itself.
 * `forceSimple` names a known bug: several voters at once without the joint phase.
 */
export function change(membership: Membership, steps: readonly ChangeStep[], forceSimple = false): ChangeResult {
	if (isJoint(membership)) return { ok: false, reason: 'already-joint' };
	if (steps.length === 0) return { ok: false, reason: 'empty-change' };
	if (new Set(steps.map((step) => step.id)).size !== steps.length) return { ok: false, reason: 'repeated-member' };
	const { voters, learners } = target(membership, steps);
	if (voters.size === 0) return { ok: false, reason: 'no-voter-left' };
	if (voters.size + learners.size > membersMax) return { ok: false, reason: 'too-many-members' };
	const gone = membership.voters.filter((id) => !voters.has(id));
	const added = [...voters].filter((id) => !membership.voters.includes(id));
	if (forceSimple || gone.length + added.length <= 1) {
		const next = { voters: [...voters].sort(), outgoing: [], learners: [...learners].sort(), learnersNext: [] };
		return { ok: true, membership: next };
	}
	// A voter on its way to learner keeps its old vote until the joint phase ends, so it waits in learnersNext.
	const learnersNext = gone.filter((id) => learners.has(id));
	return {
		ok: true,
		membership: {
			voters: [...voters].sort(),
			outgoing: membership.voters,
			learners: [...learners].filter((id) => !learnersNext.includes(id)).sort(),
			learnersNext,
		},
	};
}

/** The membership after the joint phase. */
export function leaveJoint(membership: Membership): Membership {
	return {
		voters: membership.voters,
		outgoing: [],
		learners: [...membership.learners, ...membership.learnersNext].sort(),
		learnersNext: [],
	};
}
