// Owns one simulated machine: its process, which boots, crashes, stops and goes on, and what of it survives a crash (name, address, clock, disk).
// What runs on it is given as a function that starts it.
import type { SeededRandom } from '@infermesh/proto';
import { HostClock } from './host-clock.js';
import type { SimEvent } from './sim-event.js';
import type { Purpose, SimWorld } from './sim-world.js';

export type HostState = 'down' | 'up' | 'paused';

/** Events a stopped process finds when it goes on; what comes beyond is lost as from a full socket buffer. */
const deferredMax = 4096;

export class SimHost {
	readonly index: number;
	readonly name: string;
	readonly clock: HostClock;
	readonly #world: SimWorld;
	#state: HostState = 'down';
	#life = 0;
	readonly #boots: (() => void)[] = [];
	readonly #onCrash: (() => void)[] = [];
	readonly #onPause: ((clockStands: boolean) => void)[] = [];
	readonly #onResume: (() => void)[] = [];
	#resumedUs = 0;
	#deferred: SimEvent[] = [];

	constructor(world: SimWorld, index: number, name: string, clockOffsetUs: number) {
		this.#world = world;
		this.index = index;
		this.name = name;
		this.clock = new HostClock(world, this, clockOffsetUs);
	}

	get state(): HostState {
		return this.#state;
	}

	/** Counts processes; what belongs to an earlier one never happens. */
	get life(): number {
		return this.#life;
	}

	/** A random stream of this host's own. */
	random(purpose: Purpose): SeededRandom {
		return this.#world.random(purpose, this.index + 1);
	}

	/** What the process of this host does when it starts, after what was installed before: all that runs on a host dies together. */
	installs(boot: () => void): void {
		this.#boots.push(boot);
	}

	/** Called whenever the process dies, for what is not a timer: disks lose their caches, connections are cut. */
	onCrash(lost: () => void): void {
		this.#onCrash.push(lost);
	}

	/** Called whenever the process is stopped; `clockStands` when it cannot tell from its clock afterwards. */
	onPause(stopped: (clockStands: boolean) => void): void {
		this.#onPause.push(stopped);
	}

	onResume(goesOn: () => void): void {
		this.#onResume.push(goesOn);
	}

	/** True time at which it last went on after a pause. */
	get resumedUs(): number {
		return this.#resumedUs;
	}

	boot(): void {
		if (this.#state !== 'down') throw new Error(`${this.name} runs already`);
		if (this.#boots.length === 0) throw new Error(`${this.name} has nothing to run`);
		this.#state = 'up';
		this.#world.mark(this, 'boot');
		for (const boot of this.#boots) boot();
	}

	/** The process is gone at once, with its timers, connections and unsynced writes. */
	crash(): void {
		if (this.#state === 'down') return;
		if (this.#state === 'paused') this.clock.thaw();
		this.#state = 'down';
		this.#life++;
		this.#deferred = [];
		this.#world.mark(this, 'crash');
		for (const lost of this.#onCrash) lost();
	}

	/** Stops the process (SIGSTOP); `freezeClock` stops its monotonic clock too (a suspended virtual machine). */
	pause(freezeClock: boolean): void {
		if (this.#state !== 'up') return;
		this.#state = 'paused';
		this.#world.mark(this, freezeClock ? 'suspend' : 'pause');
		if (freezeClock) this.clock.freeze();
		for (const stopped of this.#onPause) stopped(freezeClock);
	}

	resume(): void {
		if (this.#state !== 'paused') return;
		this.#state = 'up';
		this.#resumedUs = this.#world.nowUs;
		this.clock.thaw();
		this.#world.mark(this, 'resume');
		const deferred = this.#deferred;
		this.#deferred = [];
		// As an event loop does: overdue timers first, then what waits in the sockets.
		for (const event of deferred) if (event.kind === 'timer') this.#world.again(event);
		for (const event of deferred) if (event.kind !== 'timer') this.#world.again(event);
		for (const goesOn of this.#onResume) goesOn();
	}

	/** Keeps an event for when the process goes on. */
	defer(event: SimEvent): void {
		if (event.kind === 'packet' && this.#deferred.length >= deferredMax)
			this.#world.counters.add('packet dropped by a full buffer');
		else this.#deferred.push(event);
	}
}
