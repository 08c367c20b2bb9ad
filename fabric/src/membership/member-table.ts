// Owns what this node believes of the others: per member its last alive claim and, where something stands against it, the trouble. Arrays by
// slot, so that a table of ten thousand costs little; the order of probing is kept here too. This node itself is not in the table.
import type { Random } from '@infermesh/proto';
import { Digest } from './digest.js';
import type { Accusation, AliveClaim, LeftClaim, MemberRecord, MemberState, NodeId } from './messages.js';
import type { NodeIndex } from './node-index.js';
import type { Suspicion } from './suspicion.js';

/** What stands against a member. State and incarnation change by a new trouble only, so that the digest follows. */
export interface Trouble {
	readonly state: 'suspect' | 'dead' | 'left';
	/** Of the accusations or the leave; never below the alive claim's, never falling. */
	readonly incarnation: number;
	readonly sinceMs: number;
	/** Accusations of this incarnation, one an accuser, first accuser first; or the leave. */
	marks: (Accusation | LeftClaim)[];
	suspicion: Suspicion | undefined;
	/** When the marks were last spread again because somebody was behind. */
	answeredMs: number;
	/** The suspect itself has been asked before its suspicion ends. */
	askedLastWord?: boolean;
}

/** Marks that travel with a record: enough for the dead claim's quorum. */
const marksInRecord = 4;

export class MemberTable {
	readonly index: NodeIndex;
	readonly #alive: (AliveClaim | undefined)[] = [];
	readonly #trouble = new Map<number, Trouble>();
	readonly #digest = new Digest();
	#order = new Uint32Array(16);
	#size = 0;
	#gone = 0;

	constructor(index: NodeIndex) {
		this.index = index;
	}

	/** Members known, the dead and the left included. */
	get size(): number {
		return this.#size;
	}

	/** Alive or suspect. */
	get live(): number {
		return this.#size - this.#gone;
	}

	/** Dead or left. */
	get gone(): number {
		return this.#gone;
	}

	/** Members with something against them. */
	troubled(): Iterable<readonly [number, Trouble]> {
		return this.#trouble;
	}

	/** -1 when not a member. */
	slotOf(id: NodeId): number {
		const slot = this.index.find(id);
		return slot >= 0 && this.#alive[slot] !== undefined ? slot : -1;
	}

	/** The slot at a position of the probe order. */
	at(position: number): number {
		return this.#order[position] as number;
	}

	aliveOf(slot: number): AliveClaim {
		const claim = this.#alive[slot];
		if (claim === undefined) throw new RangeError(`no member in slot ${slot}`);
		return claim;
	}

	troubleOf(slot: number): Trouble | undefined {
		return this.#trouble.get(slot);
	}

	stateOf(slot: number): MemberState {
		return this.#trouble.get(slot)?.state ?? 'alive';
	}

	isLive(slot: number): boolean {
		const state = this.#trouble.get(slot)?.state;
		return state === undefined || state === 'suspect';
	}

	/** The highest incarnation heard of, in any claim that was accepted. */
	incarnationOf(slot: number): number {
		return Math.max(this.aliveOf(slot).incarnation, this.#trouble.get(slot)?.incarnation ?? 0);
	}

	/** A new member, put at a random place of the probe order so that not all nodes probe it at once. */
	add(claim: AliveClaim, random: Random): number {
		const slot = this.index.intern(claim.id);
		this.#alive[slot] = claim;
		if (this.#size === this.#order.length) {
			const larger = new Uint32Array(this.#order.length * 2);
			larger.set(this.#order);
			this.#order = larger;
		}
		const place = Math.floor(random.nextFloat() * (this.#size + 1));
		this.#order[this.#size] = this.#order[place] as number;
		this.#order[place] = slot;
		this.#size++;
		this.#count(1, slot);
		return slot;
	}

	/** Replaces the alive claim and clears all trouble. */
	setAlive(slot: number, claim: AliveClaim): void {
		this.setTrouble(slot, undefined);
		this.#count(-1, slot);
		this.#alive[slot] = claim;
		this.#count(1, slot);
	}

	setTrouble(slot: number, trouble: Trouble | undefined): void {
		const wasGone = !this.isLive(slot);
		this.#count(-1, slot);
		if (trouble === undefined) this.#trouble.delete(slot);
		else this.#trouble.set(slot, trouble);
		this.#count(1, slot);
		const isGone = !this.isLive(slot);
		this.#gone += Number(isGone) - Number(wasGone);
	}

	remove(slot: number): void {
		this.setTrouble(slot, undefined);
		this.#count(-1, slot);
		this.#alive[slot] = undefined;
		const place = this.#order.subarray(0, this.#size).indexOf(slot);
		this.#size--;
		this.#order[place] = this.#order[this.#size] as number;
		this.index.release(slot);
	}

	/** The digest of all beliefs, this node's own state added, in `buckets` buckets. */
	sums(
		buckets: number,
		self: { readonly slot: number; readonly incarnation: number; readonly state: MemberState },
	): Uint32Array {
		const { slot, incarnation, state } = self;
		const [hash0, hash1] = [this.index.hashOf(slot, 0), this.index.hashOf(slot, 1)];
		this.#digest.add(1, hash0, hash1, incarnation, state);
		const sums = this.#digest.sums(buckets);
		this.#digest.add(-1, hash0, hash1, incarnation, state);
		return sums;
	}

	#count(sign: 1 | -1, slot: number): void {
		const { index } = this;
		this.#digest.add(sign, index.hashOf(slot, 0), index.hashOf(slot, 1), this.incarnationOf(slot), this.stateOf(slot));
	}

	/** Fisher–Yates over the probe order. */
	shuffle(random: Random): void {
		for (let last = this.#size - 1; last > 0; last--) {
			const other = Math.floor(random.nextFloat() * (last + 1));
			const held = this.#order[last] as number;
			this.#order[last] = this.#order[other] as number;
			this.#order[other] = held;
		}
	}

	/** Up to `count` distinct members that `fits`, by at most 3n random draws, so it may find fewer where few fit. */
	pick(count: number, random: Random, fits: (slot: number) => boolean): number[] {
		const picked: number[] = [];
		for (let draws = 0; draws < this.#size * 3 && picked.length < count; draws++) {
			const slot = this.at(Math.floor(random.nextFloat() * this.#size));
			if (!picked.includes(slot) && fits(slot)) picked.push(slot);
		}
		return picked;
	}

	/** What is told of a member in anti-entropy: the dead claims first among the marks. */
	recordOf(slot: number): MemberRecord {
		const trouble = this.#trouble.get(slot);
		const marks = trouble?.marks ?? [];
		if (marks.length <= marksInRecord) return { alive: this.aliveOf(slot), marks };
		const dead = marks.filter((mark) => mark.kind === 'dead');
		const rest = marks.filter((mark) => mark.kind !== 'dead');
		return { alive: this.aliveOf(slot), marks: [...dead, ...rest].slice(0, marksInRecord) };
	}
}
