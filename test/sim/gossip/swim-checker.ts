// Owns what must hold over all members of a gossip pool, seen from outside (fabric.md 5.2, SWIM): only a member raises its own incarnation, and never falls
// back; what is dead or left comes back only under a newer one; deaths take as long, or as many accusers, as they must; the healthy are not declared
// dead while links are fine.
import type { Accusation, GossipMessage, MembershipEvent, MemberView, NodeId } from '@infermesh/fabric';
import { simulatedSignatures } from '../membership/signatures.js';
import type { SimHost } from '../world/sim-host.js';
import { Violation } from '../world/sim-world.js';
import { quickSwim } from './gossip-plan.js';

interface Belief {
	suspectSinceMs: number;
	/** In the smallest pool nobody need confirm. */
	confirmable: boolean;
	/** Incarnation under which it last left or was declared dead; 0 for never. */
	endedAt: number;
	left: boolean;
	/** Highest incarnation that a valid accusation reached this observer about. */
	accusedAt: number;
	incarnation: number;
}

/** One process that observes. */
export interface Observer {
	readonly host: SimHost;
	readonly id: NodeId;
	/** Monotonic milliseconds of its own. */
	readonly nowMs: () => number;
	/** True microseconds. */
	readonly nowUs: () => number;
	readonly liveMembers: () => number;
}

/** Accusers beyond which more do not shorten a suspicion. */
const confirmationsNeeded = quickSwim.suspicionMultiplier - 2;
/** Distinct dead claims that kill at once (accusations.ts). */
const deadQuorum = quickSwim.suspicionMultiplier - 1;
/** Clocks drift, and deadlines are whole milliseconds. */
const slackMs = 5;

/** The least time from a suspicion to death by its timer with so many distinct accusers, in pools of up to 31 (Lifeguard §IV-B). */
export function leastSuspicionMs(accusers: number): number {
	const minMs = quickSwim.suspicionMultiplier * quickSwim.suspicionScaleMin * quickSwim.probeIntervalMs;
	const maxMs = minMs * quickSwim.suspicionMaxMultiplier;
	const confirmations = Math.min(confirmationsNeeded, Math.max(0, accusers - 1));
	return maxMs - ((maxMs - minMs) * Math.log(confirmations + 1)) / Math.log(confirmationsNeeded + 1);
}

export class SwimChecker {
	/** The highest incarnation each member has given itself, over all its lives. */
	readonly #own = new Map<NodeId, number>();
	readonly #beliefs = new Map<string, Map<NodeId, Belief>>();
	/** Whether a member has been running, undisturbed and reachable, long enough to be called healthy. */
	readonly #healthy: (id: NodeId) => boolean;
	/** Whether a member was there all the time that any probe of the observer's can have taken, its own standing still included. */
	readonly #answered: (observer: Observer, id: NodeId) => boolean;

	/** True microseconds since which a member is not there; undefined while it is. */
	readonly #goneSinceUs: (id: NodeId) => number | undefined;

	constructor(
		healthy: (id: NodeId) => boolean,
		answered: (observer: Observer, id: NodeId) => boolean,
		goneSinceUs: (id: NodeId) => number | undefined,
	) {
		this.#healthy = healthy;
		this.#answered = answered;
		this.#goneSinceUs = goneSinceUs;
	}

	ownIncarnation(id: NodeId): number {
		return this.#own.get(id) ?? 0;
	}

	/** A member makes an incarnation of its own durable. */
	persists(id: NodeId, incarnation: number): void {
		const before = this.ownIncarnation(id);
		if (incarnation <= before)
			throw new Violation(`${id} takes incarnation ${incarnation} although it has had ${before}`);
		this.#own.set(id, incarnation);
	}

	#belief({ host }: Observer, id: NodeId): Belief {
		const process = `${host.name}#${host.life}`;
		const beliefs = this.#beliefs.get(process) ?? new Map<NodeId, Belief>();
		this.#beliefs.set(process, beliefs);
		const belief = beliefs.get(id) ?? {
			suspectSinceMs: 0,
			confirmable: true,
			endedAt: 0,
			left: false,
			accusedAt: 0,
			incarnation: 0,
		};
		beliefs.set(id, belief);
		return belief;
	}

	/** Messages reach an observer and are about to be taken in. `known` tells what it believes already. */
	hears(observer: Observer, messages: readonly GossipMessage[], known: (id: NodeId) => MemberView | undefined): void {
		for (const message of messages) {
			if (message.kind !== 'suspect' && message.kind !== 'dead') continue;
			const view = known(message.id);
			// Who has left is not accused any more: such an accusation is dropped.
			if (this.#counts(message) && view !== undefined && view.state !== 'left') {
				const belief = this.#belief(observer, message.id);
				belief.accusedAt = Math.max(belief.accusedAt, message.incarnation);
			}
		}
	}

	#counts(claim: Accusation): boolean {
		return claim.incarnation <= this.ownIncarnation(claim.id) && simulatedSignatures.verify(claim, 0) === 'valid';
	}

	/** An observer tells what has changed. `alone`: it did not stand still lately. */
	tells(observer: Observer, event: MembershipEvent): void {
		if (event.kind === 'join' || event.kind === 'alive' || event.kind === 'update') this.#lives(observer, event);
		else if (event.kind === 'suspect') this.#suspects(observer, event);
		else if (event.kind === 'failed') this.#fails(observer, event);
		else if (event.kind === 'left') this.#leaves(observer, event.member.id, event.member.incarnation);
		else if (event.kind === 'coordinate') this.#hasAnswered(observer, event.id, event.rttMs);
		else if (event.kind === 'reaped')
			this.#beliefs.get(`${observer.host.name}#${observer.host.life}`)?.delete(event.id);
	}

	/** An answer to a probe that began `rttMs` ago. */
	#hasAnswered({ host, id: who, nowUs }: Observer, id: NodeId, rttMs: number): void {
		const goneUs = this.#goneSinceUs(id);
		// Who stood still cannot tell from its clock when it asked.
		if (goneUs === undefined || host.resumedUs >= goneUs) return;
		if (nowUs() - goneUs > (rttMs + slackMs) * 1000)
			throw new Violation(`${who} takes an answer for that of ${id}, which was not there to give it`);
	}

	#lives(observer: Observer, event: Extract<MembershipEvent, { kind: 'join' | 'alive' | 'update' }>): void {
		const { id, incarnation } = event.member;
		const belief = this.#belief(observer, id);
		const who = `${observer.id} believes in incarnation ${incarnation} of ${id}`;
		if (incarnation > this.ownIncarnation(id))
			throw new Violation(`${who}, which has only had ${this.ownIncarnation(id)}`);
		const newcomer = event.kind === 'join' && event.was === undefined;
		if (!newcomer && incarnation <= belief.endedAt)
			throw new Violation(`${who} although it ${belief.left ? 'left' : 'died'} under ${belief.endedAt}`);
		if (event.kind !== 'update' && !newcomer && incarnation <= belief.accusedAt)
			throw new Violation(`${who} although that was accused under ${belief.accusedAt}`);
		belief.left = false;
		belief.suspectSinceMs = 0;
	}

	#suspects(observer: Observer, event: Extract<MembershipEvent, { kind: 'suspect' }>): void {
		const { member, by } = event;
		const belief = this.#belief(observer, member.id);
		if (belief.left) throw new Violation(`${observer.id} suspects ${member.id}, which left under ${belief.endedAt}`);
		if (by === observer.id && this.#answered(observer, member.id))
			throw new Violation(`${observer.id} itself suspects ${member.id}, which answered all the time`);
		belief.suspectSinceMs = observer.nowMs();
		belief.confirmable = observer.liveMembers() - 2 >= confirmationsNeeded;
	}

	#fails(observer: Observer, event: Extract<MembershipEvent, { kind: 'failed' }>): void {
		const { member, by } = event;
		const belief = this.#belief(observer, member.id);
		if (belief.left)
			throw new Violation(`${observer.id} declares ${member.id} failed, which left under ${belief.endedAt}`);
		if (this.#healthy(member.id))
			throw new Violation(`false positive: ${observer.id} declares ${member.id} dead, which is healthy`);
		const waitedMs = observer.nowMs() - belief.suspectSinceMs;
		const leastMs = leastSuspicionMs(belief.confirmable ? by.length : confirmationsNeeded + 1);
		if (by.length < deadQuorum && waitedMs < leastMs - slackMs)
			throw new Violation(
				`${observer.id} declares ${member.id} dead after ${Math.round(waitedMs)} ms on the word of ${by.length}`,
			);
		belief.endedAt = Math.max(belief.endedAt, member.incarnation);
	}

	#leaves(observer: Observer, id: NodeId, incarnation: number): void {
		const belief = this.#belief(observer, id);
		belief.left = true;
		belief.endedAt = Math.max(belief.endedAt, incarnation);
	}

	/** What an observer holds of a member at some moment. */
	views(observer: Observer, view: MemberView): void {
		const { id, incarnation } = view.claim;
		const belief = this.#belief(observer, id);
		const who = `${observer.id} holds incarnation ${view.incarnation} of ${id}`;
		if (view.incarnation < belief.incarnation) throw new Violation(`${who} after ${belief.incarnation}`);
		if (Math.max(view.incarnation, incarnation) > this.ownIncarnation(id))
			throw new Violation(`${who}, which has only had ${this.ownIncarnation(id)}`);
		belief.incarnation = view.incarnation;
	}
}
