// Owns the active health checks of engines. A target that answers, and whose checks have been good, is not looked at again until something happens to it: a
// good check more would change nothing. From then on it is checked in its turn until as many good ones have come as bring it back.
import { EventClass, type EventQueue } from './event-queue.js';
import { CHECK_PERIOD_MS, CHECK_TIMEOUT_MS, simFusionOptions } from './health-options.js';
import { toUs } from './sim-clock.js';
import type { SimEngine } from './sim-engine.js';

export class HealthChecks {
	readonly #queue: EventQueue;
	readonly #targets: number;
	readonly #checked: (engine: SimEngine, ok: boolean) => void;
	/** Good checks in a row of the engines that are looked at. */
	readonly #watched = new Map<SimEngine, number>();

	/** `checked` hears of each check when its result is known. */
	constructor(queue: EventQueue, targets: number, checked: (engine: SimEngine, ok: boolean) => void) {
		this.#queue = queue;
		this.#targets = targets;
		this.#checked = checked;
	}

	/** Something happened to the engine. */
	watch(engine: SimEngine): void {
		const isNew = !this.#watched.has(engine);
		this.#watched.set(engine, 0);
		if (isNew) this.#queue.at(this.#nextTurnUs(engine), EventClass.signal, () => this.#check(engine));
	}

	/** Turns are spread evenly over the period. */
	#nextTurnUs({ target }: SimEngine): number {
		const periodUs = toUs(CHECK_PERIOD_MS);
		const phaseUs = Math.floor((target.index * periodUs) / this.#targets);
		return phaseUs + (Math.floor((this.#queue.nowUs - phaseUs) / periodUs) + 1) * periodUs;
	}

	#check(engine: SimEngine): void {
		const { life } = engine;
		// Nobody listens where the process is gone; where it hangs the check waits in vain.
		if (life === 'hung')
			this.#queue.at(this.#queue.nowUs + toUs(CHECK_TIMEOUT_MS), EventClass.signal, () => this.#checked(engine, false));
		else this.#checked(engine, life === 'up');
		const good = life === 'up' ? (this.#watched.get(engine) ?? 0) + 1 : 0;
		this.#watched.set(engine, good);
		if (good > simFusionOptions.healthyAfter) this.#watched.delete(engine);
		else this.#queue.at(this.#nextTurnUs(engine), EventClass.signal, () => this.#check(engine));
	}
}
