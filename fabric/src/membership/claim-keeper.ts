// Owns how claims change the table. Claims of one member are ordered by (incarnation, alive < suspect < dead < left): the later one wins, so
// that all who have heard the same believe the same. Only what would change something is checked for its signature.

import { equalBytes } from '../bytes/equal-bytes.js';
import type { Address } from '../effects/packets.js';
import type { Accusations } from './accusations.js';
import type { Accusation, AliveClaim, Claim, LeftClaim, MemberRecord, NodeId } from './messages.js';
import type { Self } from './self.js';
import { swimBounds } from './settings.js';
import type { SwimState } from './state.js';

export class ClaimKeeper {
	readonly #state: SwimState;
	readonly #self: Self;
	readonly #accusations: Accusations;
	/** When a stale alive of a member was last answered. */
	readonly #answeredMs = new Map<number, number>();

	constructor(state: SwimState, self: Self, accusations: Accusations) {
		this.#state = state;
		this.#self = self;
		this.#accusations = accusations;
	}

	/** Takes a claim from gossip. */
	apply(claim: Claim, from: Address, asNewcomer = false): void {
		switch (claim.kind) {
			case 'alive':
				this.#alive(claim, from, asNewcomer);
				break;
			case 'left':
				this.#left(claim, from);
				break;
			case 'suspect':
			case 'dead':
				this.#accusations.receive(claim, from);
				break;
		}
	}

	/**
	 * Takes what a peer knows of members. Of an unknown one nothing is believed but that it lives. With `asNewcomer` what is new to this node is
	 * taken to be old to the others, and not spread. First who lives, then what is held against whom: a suspicion that begins while only a few
	 * are known would be as short as in a pool of a few (simulation, gossip seed 4).
	 */
	merge(records: readonly MemberRecord[], from: Address, asNewcomer = false): void {
		const { table, id } = this.#state;
		const merged = records.filter(({ alive, marks }) => {
			const unknown = alive.id !== id && table.slotOf(alive.id) < 0;
			return !unknown || marks.every((mark) => mark.kind === 'suspect');
		});
		for (const { alive } of merged) this.#alive(alive, from, asNewcomer);
		for (const { alive, marks } of merged)
			for (const mark of marks) if (mark.id === alive.id) this.#mergeMark(mark, from);
	}

	#mergeMark(mark: Accusation | LeftClaim, from: Address): void {
		const state = this.#state;
		if (mark.kind === 'left' || state.signedRecords || state.has('kill-by-hearsay')) this.apply(mark, from);
		else this.#accusations.suspect(mark.id, mark.incarnation);
	}

	/** Puts back a member remembered from before a restart, as it was. */
	restore(record: MemberRecord, from: Address): void {
		const { table } = this.#state;
		if (record.alive.id === this.#state.id || table.slotOf(record.alive.id) >= 0) return;
		if (table.size >= swimBounds.membersMax || !this.#state.believes(record.alive, from)) return;
		const slot = table.add(record.alive, this.#state.random);
		const last = record.marks.find((mark) => mark.kind !== 'suspect');
		if (last === undefined) {
			this.#state.tell({ kind: 'join', member: record.alive, was: undefined });
			return;
		}
		table.setTrouble(slot, {
			state: last.kind,
			incarnation: last.incarnation,
			sinceMs: this.#state.nowMs,
			marks: [...record.marks],
			suspicion: undefined,
			answeredMs: Number.NEGATIVE_INFINITY,
		});
	}

	/** What this node holds against a member: it is told so with every answer, in order that it can refute. */
	marksAgainst(id: NodeId): readonly (Accusation | LeftClaim)[] {
		const slot = this.#state.table.slotOf(id);
		const trouble = slot < 0 ? undefined : this.#state.table.troubleOf(slot);
		return trouble?.marks.slice(0, 1) ?? [];
	}

	/** Forgets the dead and the left whose time is up. */
	reap(): void {
		const { table, settings, nowMs } = this.#state;
		const over: number[] = [];
		for (const [slot, trouble] of table.troubled())
			if (trouble.state !== 'suspect' && nowMs - trouble.sinceMs >= settings.reapMs) over.push(slot);
		for (const slot of over) this.#forget(slot);
	}

	/** An operator's order; false when the member is unknown or alive. */
	forget(id: NodeId): boolean {
		const slot = this.#state.table.slotOf(id);
		if (slot < 0 || this.#state.table.isLive(slot)) return false;
		this.#forget(slot);
		return true;
	}

	#forget(slot: number): void {
		const { id } = this.#state.table.aliveOf(slot);
		this.#state.table.remove(slot);
		this.#answeredMs.delete(slot);
		this.#state.broadcasts.remove(id);
		this.#state.tell({ kind: 'reaped', id });
	}

	#alive(claim: AliveClaim, from: Address, asNewcomer = false): void {
		const state = this.#state;
		const { table } = state;
		if (claim.id === state.id) return this.#self.onAlive(claim, from);
		const slot = table.slotOf(claim.id);
		if (slot < 0) return this.#meet(claim, from, asNewcomer);
		const trouble = table.troubleOf(slot);
		const resurrect = state.has('resurrect-by-older-alive') && trouble?.state === 'dead';
		if (claim.incarnation <= table.incarnationOf(slot) && !resurrect) return this.#stale(slot, claim, from);
		if (!state.believes(claim, from)) return;
		const before = table.aliveOf(slot);
		table.setAlive(slot, claim);
		state.spread(claim.id, claim);
		if (trouble?.state === 'suspect') state.tell({ kind: 'alive', member: claim });
		else if (trouble !== undefined) state.tell({ kind: 'join', member: claim, was: trouble.state });
		if (changed(before, claim)) state.tell({ kind: 'update', member: claim, before });
	}

	#meet(claim: AliveClaim, from: Address, asNewcomer: boolean): void {
		const state = this.#state;
		if (state.table.size >= swimBounds.membersMax) {
			state.counters.membersRefused++;
			return;
		}
		if (!state.believes(claim, from, asNewcomer)) return;
		state.table.add(claim, state.random);
		if (!asNewcomer) state.spread(claim.id, claim);
		state.tell({ kind: 'join', member: claim, was: undefined });
	}

	/**
	 * An alive that is behind what is known. If the member stands accused it may have restarted without its incarnation: the accusation is
	 * spread again and sent to it, so that it hears and refutes. If it is believed alive, its own newer claim is what it must hear.
	 */
	#stale(slot: number, claim: AliveClaim, from: Address): void {
		const state = this.#state;
		const { table, nowMs } = state;
		state.counters.claimsStale++;
		const trouble = table.troubleOf(slot);
		const known = table.aliveOf(slot);
		if (trouble === undefined && (claim.incarnation === known.incarnation || claim.address === known.address)) return;
		if (nowMs - (this.#answeredMs.get(slot) ?? Number.NEGATIVE_INFINITY) < swimBounds.staleAnswerIntervalMs) return;
		const answer = trouble?.marks[0] ?? known;
		if (state.signedRecords && !state.believes(claim, from)) return;
		this.#answeredMs.set(slot, nowMs);
		state.counters.staleAnswers++;
		if (trouble !== undefined) state.spread(claim.id, answer);
		state.send(claim.address, claim.id, [answer]);
	}

	#left(claim: LeftClaim, from: Address): void {
		const state = this.#state;
		if (claim.id === state.id) return this.#self.onLeft(claim, from);
		const slot = state.table.slotOf(claim.id);
		if (slot < 0) {
			state.counters.claimsUnknown++;
			return;
		}
		const trouble = state.table.troubleOf(slot);
		if (claim.incarnation < state.table.incarnationOf(slot) || trouble?.state === 'left') {
			state.counters.claimsStale++;
			return;
		}
		if (!state.believes(claim, from)) return;
		state.table.setTrouble(slot, {
			state: 'left',
			incarnation: claim.incarnation,
			sinceMs: state.nowMs,
			marks: [claim],
			suspicion: undefined,
			answeredMs: Number.NEGATIVE_INFINITY,
		});
		state.spread(claim.id, claim);
		state.tell({ kind: 'left', member: state.table.aliveOf(slot) });
	}
}

function changed(before: AliveClaim, after: AliveClaim): boolean {
	return (
		before.address !== after.address ||
		!equalBytes(before.meta, after.meta) ||
		!equalBytes(before.credential, after.credential)
	);
}
