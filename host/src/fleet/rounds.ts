// Owns when members of a large set get their regular turns: a few together, so that they share one timer and one wake of the thread, and the
// groups spread over the period, so that a thousand members do not have their turn at once. Each turn is set by itself: regular timers of a clock may come
// together at its beats.
import type { Clock, Random, Timer } from '@infermesh/proto';

/** Members that take their turns together. */
const GROUP_MAX = 4;
/** Step from one group's place in the period to the next one's: multiples of the golden ratio fall evenly, however many they are. */
const STEP = 0.6180339887;
const UNREF = { unref: true };

interface Group<T> {
	readonly members: T[];
	timer: Timer;
}

export class Rounds<T> {
	readonly periodMs: number;
	readonly #clock: Clock;
	readonly #visit: (member: T) => void;
	readonly #groups = new Map<T, Group<T>>();
	/** The group that members are added to, until it is full. */
	#filling: Group<T> | undefined;
	/** Place of the next group, as a share of the period. */
	#place: number;

	constructor(clock: Clock, random: Random, periodMs: number, visit: (member: T) => void) {
		this.#clock = clock;
		this.#place = random.nextFloat();
		this.periodMs = periodMs;
		this.#visit = visit;
	}

	/** The first turn comes within a period. */
	add(member: T): void {
		const group = this.#filling ?? this.#open();
		group.members.push(member);
		this.#groups.set(member, group);
		this.#filling = group.members.length < GROUP_MAX ? group : undefined;
	}

	remove(member: T): void {
		const group = this.#groups.get(member);
		if (group === undefined) return;
		this.#groups.delete(member);
		group.members.splice(group.members.indexOf(member), 1);
		if (group.members.length > 0) return;
		group.timer.cancel();
		if (this.#filling === group) this.#filling = undefined;
	}

	#open(): Group<T> {
		const members: T[] = [];
		let dueMs = this.#clock.nowMs() + this.#place * this.periodMs;
		this.#place = (this.#place + STEP) % 1;
		const turn = (): void => {
			const nowMs = this.#clock.nowMs();
			// After a standstill the turns missed are not made up for.
			dueMs += (Math.floor(Math.max(0, nowMs - dueMs) / this.periodMs) + 1) * this.periodMs;
			group.timer = this.#clock.after(dueMs - nowMs, turn, UNREF);
			// A visit may remove members: it is the list as it stood that has its turn.
			[...members].forEach(this.#visit);
		};
		const group: Group<T> = { members, timer: this.#clock.after(dueMs - this.#clock.nowMs(), turn, UNREF) };
		return group;
	}
}
