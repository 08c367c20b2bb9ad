// Owns what happens to targets by the scenario: when an engine is slowed, lost, hung, made to flap or drained, and when it comes back. Several faults of one
// target add up: slowness multiplies, and it is back when nothing keeps it away any more.
import { MeshError } from '@infermesh/proto';
import type { FaultSpec } from '../spec.js';
import { Happening } from './digest.js';
import { simulationErrors } from './errors.js';
import { EventClass } from './event-queue.js';
import { toUs } from './sim-clock.js';
import type { SimEngine } from './sim-engine.js';
import { Stream, stream } from './streams.js';
import type { World } from './world.js';

export interface FaultEvents {
	/** The engine went away or came back. */
	lifeChanged(engine: SimEngine): void;
	/** It is to get no new requests, or is to get them again. */
	drained(engine: SimEngine, drained: boolean): void;
}

interface Ills {
	slow: number;
	lost: number;
	hung: number;
	drained: number;
}

export class Faults {
	readonly #world: World;
	readonly #events: FaultEvents;
	readonly #ills = new Map<SimEngine, Ills>();

	constructor(world: World, events: FaultEvents) {
		this.#world = world;
		this.#events = events;
	}

	/** Puts all faults of the spec into the queue. Throws IM_SIMULATION_FAULT. */
	schedule(): void {
		const world = this.#world;
		const random = stream(world.spec.seed, Stream.faults);
		for (const fault of world.spec.faults) {
			const drawn = Math.floor(random.nextFloat() * world.engines.length);
			this.#scheduleOne(fault, this.#engineOf(fault, drawn));
		}
	}

	#engineOf({ target }: FaultSpec, drawn: number): SimEngine {
		const { engines } = this.#world;
		const engine = target === '*' ? engines[drawn] : engines.find((one) => one.target.id === target);
		if (engine === undefined)
			throw new MeshError(simulationErrors, 'IM_SIMULATION_FAULT', `no target of the fleet is called ${target}`);
		return engine;
	}

	#scheduleOne(fault: FaultSpec, engine: SimEngine): void {
		const { kind, fromMs, toMs, factor, periodMs } = fault;
		const fromUs = toUs(fromMs);
		const untilUs = toMs === undefined ? Number.POSITIVE_INFINITY : toUs(toMs);
		if (kind === 'slow' && !(factor !== undefined && factor > 0))
			throw new MeshError(simulationErrors, 'IM_SIMULATION_FAULT', 'slow needs a factor above 0');
		if (kind === 'flapping' && !(periodMs !== undefined && periodMs > 0))
			throw new MeshError(simulationErrors, 'IM_SIMULATION_FAULT', 'flapping needs a period above 0');
		if (kind === 'flapping') return this.#flap(engine, fromUs, untilUs, toUs(periodMs ?? 0));
		this.#at(fromUs, engine, () => this.#begin(engine, kind, factor ?? 1));
		if (untilUs !== Number.POSITIVE_INFINITY) this.#at(untilUs, engine, () => this.#end(engine, kind, factor ?? 1));
	}

	/** Down for a period, up for one, until the end. */
	#flap(engine: SimEngine, atUs: number, untilUs: number, periodUs: number): void {
		if (atUs >= untilUs) return;
		this.#at(atUs, engine, () => {
			this.#begin(engine, 'lost', 1);
			this.#at(Math.min(untilUs, atUs + periodUs), engine, () => {
				this.#end(engine, 'lost', 1);
				this.#flap(engine, atUs + 2 * periodUs, untilUs, periodUs);
			});
		});
	}

	#at(atUs: number, engine: SimEngine, fn: () => void): void {
		const { queue, tally } = this.#world;
		queue.at(atUs, EventClass.fault, () => {
			tally.digest.add(Happening.fault, queue.nowUs, engine.target.index, 0, 0);
			fn();
		});
	}

	#begin(engine: SimEngine, kind: 'slow' | 'lost' | 'hung' | 'drained', factor: number): void {
		const ills = this.#illsOf(engine);
		ills[kind] = kind === 'slow' ? ills.slow * factor : ills[kind] + 1;
		this.#apply(engine, kind, ills);
	}

	#end(engine: SimEngine, kind: 'slow' | 'lost' | 'hung' | 'drained', factor: number): void {
		const ills = this.#illsOf(engine);
		ills[kind] = kind === 'slow' ? ills.slow / factor : ills[kind] - 1;
		this.#apply(engine, kind, ills);
	}

	#apply(engine: SimEngine, kind: 'slow' | 'lost' | 'hung' | 'drained', ills: Ills): void {
		if (kind === 'slow') return engine.slow(ills.slow);
		if (kind === 'drained') return this.#events.drained(engine, ills.drained > 0);
		const before = engine.life;
		if (ills.lost > 0) engine.lose();
		else if (ills.hung > 0) {
			engine.revive();
			engine.hang();
		} else engine.revive();
		if (engine.life !== before) this.#events.lifeChanged(engine);
	}

	#illsOf(engine: SimEngine): Ills {
		const known = this.#ills.get(engine);
		if (known !== undefined) return known;
		const ills = { slow: 1, lost: 0, hung: 0, drained: 0 };
		this.#ills.set(engine, ills);
		return ills;
	}
}
