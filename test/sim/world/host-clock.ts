// Owns a host's own idea of time: an offset, a drift of up to hundreds of ppm, wall time that jumps, and a monotonic clock that stands still while a
// virtual machine is suspended. Timers run on the host's clock and die with its process.
import type { Clock, Timer } from '@infermesh/proto';
import type { SimEvent } from './sim-event.js';
import type { SimHost } from './sim-host.js';
import type { SimWorld } from './sim-world.js';

/** Wall time of the world at its beginning: 2026-01-01T00:00:00Z. */
export const worldEpochMs = 1_767_225_600_000;

export class HostClock implements Clock {
	readonly #world: SimWorld;
	readonly #host: SimHost;
	/** Local time was `#localUs` when true time was `#trueUs`; since then it has run at `#rate`. */
	#localUs: number;
	#trueUs: number;
	#rate = 1;
	#frozen = false;
	#wallOffsetUs = 0;

	constructor(world: SimWorld, host: SimHost, offsetUs: number) {
		this.#world = world;
		this.#host = host;
		this.#localUs = offsetUs;
		this.#trueUs = world.nowUs;
	}

	/** Monotonic, whole microseconds. */
	get nowUs(): number {
		if (this.#frozen) return this.#localUs;
		return Math.floor(this.#localUs + (this.#world.nowUs - this.#trueUs) * this.#rate);
	}

	nowMs(): number {
		return this.nowUs / 1000;
	}

	wallMs(): number {
		return Math.floor(worldEpochMs + (this.nowUs + this.#wallOffsetUs) / 1000);
	}

	#rebase(): void {
		this.#localUs = this.nowUs;
		this.#trueUs = this.#world.nowUs;
	}

	/** From now on the clock gains `ppm` microseconds a second (loses, when negative). */
	setDrift(ppm: number): void {
		this.#rebase();
		this.#rate = 1 + ppm / 1e6;
	}

	/** Somebody sets the wall clock. Monotonic time does not see it. */
	jumpWall(byMs: number): void {
		this.#wallOffsetUs += byMs * 1000;
	}

	freeze(): void {
		this.#rebase();
		this.#frozen = true;
	}

	thaw(): void {
		if (!this.#frozen) return;
		this.#frozen = false;
		this.#trueUs = this.#world.nowUs;
	}

	#startTimer(dueUs: number, fire: () => void): Timer {
		let current: SimEvent;
		const wait = (): void => {
			const waitUs = Math.max(1, Math.ceil((dueUs - this.nowUs) / this.#rate));
			current = this.#world.schedule(waitUs, 'timer', expire, { host: this.#host });
		};
		// When the clock was slowed or stopped meanwhile, the rest of the wait is still to come.
		const expire = (): void => (this.nowUs < dueUs ? wait() : fire());
		wait();
		return {
			cancel: (): void => {
				current.cancelled = true;
			},
		};
	}

	after(delayMs: number, fn: () => void): Timer {
		return this.#startTimer(this.nowUs + Math.max(0, Math.round(delayMs * 1000)), fn);
	}

	every(periodMs: number, fn: () => void): Timer {
		const periodUs = Math.max(1, Math.round(periodMs * 1000));
		let stopped = false;
		let timer: Timer;
		const again = (): void => {
			timer = this.#startTimer(this.nowUs + periodUs, () => {
				fn();
				if (!stopped) again();
			});
		};
		again();
		return {
			cancel: (): void => {
				stopped = true;
				timer.cancel();
			},
		};
	}
}
