// Owns the ticking of Raft groups: time passes in ticks of one grid, but a timer wakes the process only at those at which some group has something to do.
// Groups of one process that share ticks run in one turn of the loop, so that their heartbeats to a peer leave in one batch, their answers come back in
// one, and what they write shares a sync: idle groups cost neither packets nor wakes. Of time in which the process stood still only half of what was waited
// for is counted: what others sent meanwhile has not been read yet, and nobody may be called dead for it.
import type { Clock, Timer } from '@infermesh/proto';

export interface Ticked {
	/** `count` ticks have passed, as a rule those after which something is due; at least 1. */
	tick(count: number): void;
	/** `count` ticks have passed, and nothing is due yet. */
	pass(count: number): void;
	/** Ticks from now to the next at which something is due, as things stand; at least 1. */
	idleTicks(): number;
}

export interface Ticking extends Timer {
	/** Tells of the ticks that have passed since; to be called before the group takes something in. Never makes anything due. */
	catchUp(): void;
	/** Asks for `idleTicks` again. */
	plan(): void;
}

export interface Ticks {
	/** Ticks a group until that is cancelled. */
	add(group: Ticked): Ticking;
}

/** A timer may come this much of a tick early and count as on time: timers of the event loop are kept in whole milliseconds. */
const EARLY = 0.1;
/** A timer that comes later than this many ticks tells of a standstill. */
const STANDSTILL_TICKS = 4;

interface Member {
	readonly group: Ticked;
	/** The last tick it was told of, and the next it wants. */
	told: number;
	due: number;
}

/** One timer for any number of groups, which runs while there is one. */
export class SharedTicks implements Ticks {
	readonly #clock: Clock;
	readonly #tickMs: number;
	readonly #originMs: number;
	readonly #members = new Set<Member>();
	#timer: Timer | undefined;
	/** What the timer is set for. */
	#dueNext = Number.POSITIVE_INFINITY;

	/** `tickMs` is that of the groups' settings. */
	constructor(clock: Clock, tickMs: number) {
		this.#clock = clock;
		this.#tickMs = tickMs;
		this.#originMs = clock.nowMs();
	}

	add(group: Ticked): Ticking {
		const now = this.#now();
		const member: Member = { group, told: now, due: now + 1 };
		this.#members.add(member);
		this.#setTimer(member.due);
		return {
			catchUp: () => this.#catchUp(member),
			plan: () => {
				if (!this.#members.has(member)) return;
				member.due = member.told + group.idleTicks();
				this.#setTimer(member.due);
			},
			cancel: () => {
				this.#members.delete(member);
				if (this.#members.size === 0) this.#stopTimer();
			},
		};
	}

	#now(): number {
		return Math.floor((this.#clock.nowMs() - this.#originMs) / this.#tickMs + EARLY);
	}

	/** Sets the timer for a tick, unless it comes sooner already. */
	#setTimer(due: number): void {
		if (due >= this.#dueNext) return;
		this.#stopTimer();
		this.#dueNext = due;
		const delayMs = this.#originMs + due * this.#tickMs - this.#clock.nowMs();
		this.#timer = this.#clock.after(Math.max(0, delayMs), () => this.#wake());
	}

	#stopTimer(): void {
		this.#timer?.cancel();
		this.#timer = undefined;
		this.#dueNext = Number.POSITIVE_INFINITY;
	}

	#catchUp(member: Member): void {
		const now = this.#now();
		if (now <= member.told) return;
		const planned = member.due - member.told;
		const standstill = now > member.due + STANDSTILL_TICKS;
		const passed = standstill ? Math.floor(planned / 2) : Math.min(now - member.told, planned - 1);
		if (standstill) {
			member.told = now;
			member.due = now + planned - passed;
		} else member.told += passed;
		if (passed > 0) member.group.pass(passed);
	}

	/** Every group has its ticks, whatever becomes of another's; what one threw is a bug, and comes out of the timer as it would have. */
	#wake(): void {
		const now = this.#now();
		const failures: unknown[] = [];
		this.#timer = undefined;
		for (const member of this.#members) {
			if (now < member.due) continue;
			const planned = member.due - member.told;
			const standstill = now > member.due + STANDSTILL_TICKS;
			const count = standstill ? Math.max(1, Math.floor(planned / 2)) : planned;
			member.told = now;
			try {
				member.group.tick(count);
			} catch (error) {
				failures.push(error);
			}
			member.due = now + member.group.idleTicks();
		}
		this.#dueNext = Number.POSITIVE_INFINITY;
		let next = Number.POSITIVE_INFINITY;
		for (const { due } of this.#members) next = Math.min(next, due);
		if (next < Number.POSITIVE_INFINITY) this.#setTimer(next);
		if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures, 'ticks failed');
	}
}
