// Owns accusations: how they begin a suspicion, confirm it, end in death, and follow the dead. Distinct accusers count once each; only those
// that would change something are checked for their signature.
import type { Address } from '../effects/packets.js';
import { DeadlineQueue } from './deadlines.js';
import type { Trouble } from './member-table.js';
import { type Accusation, emptyBytes, type NodeId } from './messages.js';
import type { Self } from './self.js';
import { swimBounds } from './settings.js';
import type { SwimState } from './state.js';
import { Suspicion, suspicionSpan } from './suspicion.js';

export class Accusations {
	readonly #state: SwimState;
	readonly #self: Self;
	/** Suspicions by the time they end, by slot. */
	readonly #ends = new DeadlineQueue<number>();

	constructor(state: SwimState, self: Self) {
		this.#state = state;
		this.#self = self;
	}

	nextDeadlineMs(): number {
		return this.#ends.nextMs();
	}

	/** Ends the suspicions that are due. */
	tick(): void {
		for (;;) {
			const slot = this.#ends.popDue(this.#state.nowMs);
			if (slot === undefined) return;
			const trouble = this.#state.table.troubleOf(slot);
			const due = trouble?.suspicion?.deadlineMs ?? Number.POSITIVE_INFINITY;
			if (trouble?.state !== 'suspect') continue;
			if (due <= this.#state.nowMs) this.#die(slot, trouble, this.#accuse(slot, 'dead'));
			else if (due - this.#lastWordMs <= this.#state.nowMs) this.#askLastWord(slot, trouble);
		}
	}

	/** This node stood still: nobody may die of what it could not hear. */
	forgive(lagMs: number): void {
		this.#ends.shift(lagMs);
		for (const [, trouble] of this.#state.table.troubled()) trouble.suspicion?.extend(lagMs);
	}

	/** This node's own accusation, after a failed probe or on unsigned hearsay. */
	suspect(id: NodeId, incarnation?: number): void {
		const { table } = this.#state;
		if (id === this.#state.id) {
			// Memberlist's anti-entropy says so: answered as an accusation.
			const accusation = {
				kind: 'suspect',
				id,
				incarnation: incarnation ?? 0,
				by: id,
				proof: emptyBytes,
			} as const;
			this.#self.onAccused(accusation, '');
			return;
		}
		const slot = table.slotOf(id);
		if (slot < 0 || !table.isLive(slot)) return;
		const of = incarnation ?? table.incarnationOf(slot);
		if (of < table.incarnationOf(slot)) return;
		this.#accept(slot, this.#accuse(slot, 'suspect', of));
	}

	/** An accusation by another node. */
	receive(claim: Accusation, from: Address): void {
		const state = this.#state;
		if (claim.id === state.id) return this.#self.onAccused(claim, from);
		const slot = state.table.slotOf(claim.id);
		if (slot < 0) {
			state.counters.claimsUnknown++;
			return;
		}
		const known = state.table.incarnationOf(slot);
		const trouble = state.table.troubleOf(slot);
		if (claim.incarnation < known || this.#isNothingNew(claim, trouble)) {
			state.counters.claimsStale++;
			if (trouble?.state === 'left') this.#repeatLeave(trouble);
			return;
		}
		if (claim.incarnation > known + swimBounds.incarnationLeapMax) {
			state.counters.claimsLeaping++;
			return;
		}
		if (state.believes(claim, from)) this.#accept(slot, claim);
	}

	/** Somebody accuses a member that has left: it missed the leave, which is spread again. */
	#repeatLeave(trouble: Trouble): void {
		const [leave] = trouble.marks;
		if (leave === undefined || this.#state.nowMs - trouble.answeredMs < swimBounds.staleAnswerIntervalMs) return;
		trouble.answeredMs = this.#state.nowMs;
		this.#state.spread(leave.id, leave);
	}

	/** Whether an accusation of at least the known incarnation still tells nothing. */
	#isNothingNew(claim: Accusation, trouble: Trouble | undefined): boolean {
		if (trouble === undefined) return false;
		if (trouble.state === 'left') return !this.#state.has('left-becomes-failed');
		if (trouble.state === 'dead')
			return claim.incarnation === trouble.incarnation || this.#state.has('no-dead-incarnation-advance');
		if (claim.incarnation > trouble.incarnation || this.#state.has('count-same-accuser-twice')) return false;
		// A dead claim says more than the suspicion of the same accuser.
		return trouble.marks.some(
			(mark) => mark.kind !== 'left' && mark.by === claim.by && (mark.kind === 'dead' || claim.kind === 'suspect'),
		);
	}

	/** An accusation that is believed and tells something. */
	#accept(slot: number, claim: Accusation): void {
		const state = this.#state;
		const trouble = state.table.troubleOf(slot);
		if (trouble?.state === 'dead') {
			state.table.setTrouble(slot, { ...trouble, incarnation: claim.incarnation, marks: [claim] });
			state.spread(claim.id, claim);
			return;
		}
		const suspect = this.#suspected(slot, trouble, claim);
		if (claim.kind === 'dead' && this.#deadVotes(suspect) >= this.#deadQuorum()) this.#die(slot, suspect, claim);
	}

	/** Begins a suspicion, or lets one more accuser confirm it. */
	#suspected(slot: number, trouble: Trouble | undefined, claim: Accusation): Trouble {
		const state = this.#state;
		if (trouble?.state === 'suspect' && trouble.suspicion !== undefined && claim.incarnation === trouble.incarnation) {
			const marks = trouble.marks.filter((mark) => mark.kind === 'left' || mark.by !== claim.by);
			if (marks.length < swimBounds.accusersMax) trouble.marks = [...marks, claim];
			const confirmed = trouble.suspicion.confirm(claim.by, state.has('count-same-accuser-twice'));
			if (confirmed) {
				state.counters.confirmations++;
				this.#watch(trouble.suspicion, slot);
			}
			if (confirmed || claim.kind === 'dead') state.spread(claim.id, claim);
			return trouble;
		}
		const suspicion = new Suspicion(suspicionSpan(state.settings, state.members, state.plain), claim.by, state.nowMs);
		const begun: Trouble = {
			state: 'suspect',
			incarnation: claim.incarnation,
			sinceMs: state.nowMs,
			marks: [claim],
			suspicion,
			answeredMs: state.nowMs,
		};
		state.table.setTrouble(slot, begun);
		this.#watch(suspicion, slot);
		state.counters.suspicions++;
		state.spread(claim.id, claim);
		state.tell({ kind: 'suspect', member: state.table.aliveOf(slot), by: claim.by });
		return begun;
	}

	#watch({ deadlineMs }: Suspicion, slot: number): void {
		if (!this.#state.plain) this.#ends.push(deadlineMs - this.#lastWordMs, slot);
		this.#ends.push(deadlineMs, slot);
	}

	/** Before the end of a suspicion in which the suspect is asked itself: time for an answer. */
	get #lastWordMs(): number {
		return this.#state.settings.probeTimeoutMs;
	}

	/** Its refutation may have been told to all but this node; who lives repeats it. */
	#askLastWord(slot: number, trouble: Trouble): void {
		if (this.#state.plain || trouble.askedLastWord) return;
		trouble.askedLastWord = true;
		const { id, address } = this.#state.table.aliveOf(slot);
		this.#state.send(address, id, trouble.marks.slice(0, 1));
	}

	#die(slot: number, trouble: Trouble, claim: Accusation): void {
		const state = this.#state;
		const others = trouble.marks.filter((mark) => mark.kind !== 'left' && mark.by !== claim.by);
		const marks = [claim, ...others];
		state.table.setTrouble(slot, {
			state: 'dead',
			incarnation: Math.max(trouble.incarnation, claim.incarnation),
			sinceMs: state.nowMs,
			marks,
			suspicion: undefined,
			answeredMs: state.nowMs,
		});
		state.counters.deaths++;
		state.spread(claim.id, claim);
		const by = trouble.marks.flatMap((mark) => (mark.kind === 'left' ? [] : [mark.by]));
		state.tell({
			kind: 'failed',
			member: state.table.aliveOf(slot),
			by: by.includes(claim.by) ? by : [...by, claim.by],
		});
	}

	#accuse(slot: number, kind: 'suspect' | 'dead', incarnation?: number): Accusation {
		const { table, id: by, signer } = this.#state;
		const of = incarnation ?? table.incarnationOf(slot);
		const unsigned = { kind, id: table.aliveOf(slot).id, incarnation: of, by } as const;
		return { ...unsigned, proof: signer.sign(unsigned) };
	}

	#deadVotes(trouble: Trouble): number {
		return trouble.marks.reduce((votes, mark) => votes + Number(mark.kind === 'dead'), 0);
	}

	/** Distinct dead claims that kill without this node's own timer: as many as the shortest suspicion trusts. */
	#deadQuorum(): number {
		if (!this.#state.signedRecords || this.#state.plain || this.#state.has('kill-by-hearsay')) return 1;
		return Math.max(2, this.#state.settings.suspicionMultiplier - 1);
	}
}
