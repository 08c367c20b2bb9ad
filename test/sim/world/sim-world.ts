// Owns a simulated world: one virtual clock in whole microseconds, the events on it, the hosts in it, and random streams split by purpose from one
// seed, so that one more draw for the network does not shift the faults. One seed gives one run: nothing real is reachable from inside.
import { SeededRandom } from '@infermesh/proto';
import { Agenda } from './agenda.js';
import { Counters } from './counters.js';
import { assertDrains, drainMicrotasks, outsideMicrotasks } from './microtasks.js';
import { RejectionTrap } from './rejection-trap.js';
import { armTrap, disarmTrap, takeCaught } from './runtime-trap.js';
import type { SimEvent } from './sim-event.js';
import { SimHost } from './sim-host.js';
import { Trace } from './trace.js';

/** Each draws from streams of its own. */
export const purposes = ['network', 'disk', 'clock', 'workload', 'faults', 'core', 'plan'] as const;
export type Purpose = (typeof purposes)[number];

const streamsPerPurpose = 65_536;

/** Something that must never happen has happened. */
export class Violation extends Error {
	override readonly name = 'Violation';
}

export interface SimWorldOptions {
	/** Unsigned 32 bits. */
	readonly seed: number;
	/** Keep readable lines. */
	readonly readable?: boolean;
	/** Events one run may take; more means that something spins. */
	readonly eventsMax?: number;
}

export interface ScheduleOptions {
	readonly host?: SimHost;
	/** Also a later process of the host may see it (a datagram on its way). */
	readonly anyLife?: boolean;
	readonly digest?: number;
}

export class SimWorld {
	readonly seed: number;
	readonly trace: Trace;
	readonly counters = new Counters();
	readonly hosts: SimHost[] = [];
	readonly #agenda = new Agenda<SimEvent>();
	readonly #streams = new Map<number, SeededRandom>();
	readonly #eventsMax: number;
	#nowUs = 0;
	#afterEvent: (() => void)[] = [];
	#running = false;
	#failure: Error | undefined;

	constructor(options: SimWorldOptions) {
		this.seed = options.seed;
		this.trace = new Trace(options.readable ?? false);
		this.#eventsMax = options.eventsMax ?? 20_000_000;
	}

	/** True time, whole microseconds since the world began. */
	get nowUs(): number {
		return this.#nowUs;
	}

	/** The stream of a purpose; `part` tells hosts or links apart. */
	random(purpose: Purpose, part = 0): SeededRandom {
		const stream = purposes.indexOf(purpose) * streamsPerPurpose + (part % streamsPerPurpose);
		let random = this.#streams.get(stream);
		if (random === undefined) {
			random = new SeededRandom(this.seed, stream);
			this.#streams.set(stream, random);
		}
		return random;
	}

	addHost(name: string): SimHost {
		const index = this.hosts.length;
		// Monotonic clocks start anywhere: nothing may compare those of two hosts.
		const offsetUs = Math.floor(this.random('clock', index + 1).nextFloat() * 1e9);
		const host = new SimHost(this, index, name, offsetUs);
		this.hosts.push(host);
		return host;
	}

	/** Runs `run` after `delayUs` of true time. An event of a host that has died meanwhile does not happen. */
	schedule(delayUs: number, kind: string, run: () => void, options: ScheduleOptions = {}): SimEvent {
		const { host, anyLife, digest } = options;
		const event: SimEvent = {
			atUs: this.#nowUs + Math.max(0, Math.round(delayUs)),
			kind,
			host,
			life: host === undefined || anyLife === true ? -1 : host.life,
			digest: digest ?? 0,
			run,
			cancelled: false,
		};
		this.#agenda.push(event.atUs, event);
		return event;
	}

	/** Lets an event that was put off happen now. */
	again(event: SimEvent): void {
		if (!event.cancelled) this.#agenda.push(this.#nowUs, Object.assign(event, { atUs: this.#nowUs }));
	}

	/** Notes something that happens outside of an event of its own. */
	mark(host: SimHost | undefined, kind: string, digest = 0): void {
		this.trace.event(this.#nowUs, host?.index ?? -1, kind, digest);
		this.trace.line(this.#nowUs, host?.name ?? 'world', () => kind);
	}

	/** Keeps a readable line, made only when lines are kept. */
	note(host: SimHost | undefined, text: () => string): void {
		this.trace.line(this.#nowUs, host?.name ?? 'world', text);
	}

	/** Ends the run with `error`, wherever it is noticed: also where a throw would be caught. The first one counts. */
	fail(error: Error): void {
		this.#failure ??= error;
	}

	/** Called after each event and the microtasks it led to: where invariants are checked. */
	afterEvent(check: () => void): void {
		this.#afterEvent.push(check);
	}

	/** Runs until true time is `untilUs`, or until `done` says so after an event. Rejects with the first error thrown inside. */
	async run(untilUs: number, done?: () => boolean): Promise<void> {
		if (this.#running) throw new Error('the world runs already');
		this.#running = true;
		try {
			// In slices, so that whoever runs the world gets a turn; nothing of that is visible inside.
			while (!(await outsideMicrotasks(() => this.#slice(untilUs, done))));
		} finally {
			this.#running = false;
		}
	}

	#slice(untilUs: number, done: (() => boolean) | undefined): boolean {
		assertDrains();
		const rejections = new RejectionTrap();
		armTrap();
		try {
			for (let count = 0; count < sliceEvents; count++) {
				const next = this.#agenda.peek();
				if (next === undefined || next.atUs > untilUs) {
					this.#nowUs = untilUs;
					return true;
				}
				this.#agenda.pop();
				if (!this.#happen(next)) continue;
				drainMicrotasks();
				const failed = takeCaught() ?? this.#failure ?? rejections.first;
				if (failed !== undefined) throw failed;
				for (const check of this.#afterEvent) check();
				if (done?.() === true) return true;
			}
			return false;
		} finally {
			disarmTrap();
			rejections.close();
		}
	}

	/** Answers whether it did happen. */
	#happen(event: SimEvent): boolean {
		const { host } = event;
		if (event.cancelled || (event.life !== -1 && event.life !== host?.life)) return false;
		if (this.trace.events >= this.#eventsMax)
			throw new Violation(`more than ${this.#eventsMax} events: something spins`);
		this.#nowUs = event.atUs;
		if (host?.state === 'paused') {
			host.defer(event);
			return false;
		}
		this.trace.event(event.atUs, host?.index ?? -1, event.kind, event.digest);
		event.run();
		return true;
	}
}

/** Events between two looks at the real event loop. */
const sliceEvents = 20_000;
