// Owns the strategy instances of one pool in one worker: for each loaded version a primary and spares, made ahead of need, swapped in
// when a trap poisons the primary. Which version decides is the plan's; this keeps them ready.
import type { PoolView } from '../../fleet/pool-view.js';
import type { ModelPool } from '../../router/ports.js';
import { isNative } from '../native/code.js';
import type { NativeEvents } from '../native/events.js';
import { type FuelBudget, StrategyInstance, type StrategyModule } from './instance.js';
import type { StateBlockReader } from './state-block.js';

export interface InstanceOptions {
	readonly fuel: FuelBudget;
	/** Instances kept ready beside the primary. */
	readonly spares: number;
	readonly meshSeed: readonly [low: number, high: number];
	/**
	 * Native code that starts is waited for in place: right where nothing else has to be on time. False in a router, whose worker goes on with other
	 * requests meanwhile and asks `ready`.
	 */
	readonly waits: boolean;
}

export interface InstancePorts {
	/** An instance could not be made up after the first ones; decisions fall back until it can. */
	readonly onUnready: (strategy: StrategyModule, error: unknown) => void;
	/** Runs a task when it is worth trying again. */
	readonly later: (task: () => void) => void;
	/** Who is told of sandboxes. */
	readonly native?: NativeEvents | undefined;
}

/** All instances of one strategy version over one pool. */
export class InstanceSet {
	readonly strategy: StrategyModule;
	primary: StrategyInstance | undefined;
	readonly #make: () => StrategyInstance;
	readonly #spares: StrategyInstance[] = [];
	readonly #sparesWanted: number;
	/** All of the first ones have been ready once; what takes the place of one later is not waited for. */
	#settled = false;
	#closed = false;

	/** Throws when an instance cannot be made; none is left behind then. */
	constructor(strategy: StrategyModule, make: () => StrategyInstance, spares: number) {
		this.strategy = strategy;
		this.#make = make;
		this.#sparesWanted = spares;
		try {
			this.refill();
		} catch (error) {
			this.close();
			throw error;
		}
	}

	/** Whether its first instances can all decide, having waited up to `waitMs` for them. Throws when one never will. */
	ready(waitMs: number): boolean {
		if (this.#settled) return true;
		const all = this.primary === undefined ? this.#spares : [this.primary, ...this.#spares];
		return (this.#settled = all.every((instance) => instance.isReady(waitMs)));
	}

	/** Puts a spare in the poisoned primary's place; undefined until `refill` has run when none is left. */
	replacePrimary(): void {
		do {
			this.primary?.close();
			this.primary = this.#spares.pop();
		} while (this.primary?.poisoned === true);
	}

	/** Makes up the primary and the spares. Off the decision path: an instance takes tens of microseconds, a sandbox a millisecond. Throws when one cannot be made. */
	refill(): void {
		if (this.#closed) return;
		if (this.primary === undefined || this.primary.poisoned) {
			this.primary?.close();
			this.primary = undefined;
			this.primary = this.#make();
		}
		for (const spare of this.#spares.filter(({ poisoned }) => poisoned)) this.#drop(spare);
		while (this.#spares.length < this.#sparesWanted) this.#spares.push(this.#make());
	}

	/** A spare for a determinism re-run; it stays in the set. Undefined while none is ready. */
	witness(): StrategyInstance | undefined {
		const [spare] = this.#spares;
		return spare?.ready === true ? spare : undefined;
	}

	/** Takes a poisoned witness out. */
	dropWitness(): void {
		const [spare] = this.#spares;
		if (spare !== undefined) this.#drop(spare);
	}

	#drop(spare: StrategyInstance): void {
		this.#spares.splice(this.#spares.indexOf(spare), 1);
		spare.close();
	}

	/** No instance of it decides any more. */
	close(): void {
		this.#closed = true;
		this.primary?.close();
		for (const spare of this.#spares) spare.close();
	}

	/** Instances alive. */
	get size(): number {
		return this.#spares.length + (this.primary === undefined ? 0 : 1);
	}
}

export class PoolRuntime {
	readonly pool: ModelPool;
	readonly view: PoolView;
	/** Host counter handed to strategies as `ticket`. */
	ticket: number;
	readonly #sets = new Map<number, InstanceSet>();
	readonly #options: InstanceOptions;
	readonly #ports: InstancePorts;

	constructor(pool: ModelPool, view: PoolView, firstTicket: number, options: InstanceOptions, ports: InstancePorts) {
		this.pool = pool;
		this.view = view;
		this.ticket = firstTicket;
		this.#options = options;
		this.#ports = ports;
	}

	/** Makes the instances of a version unless they exist. Throws when they cannot be made or `init` fails on this pool. */
	prepare(strategy: StrategyModule, state: StateBlockReader | undefined): InstanceSet {
		const present = this.#sets.get(strategy.versionId);
		if (present !== undefined) return present;
		const { fuel, meshSeed, spares, waits } = this.#options;
		const { native } = this.#ports;
		const make = (): StrategyInstance => {
			const more = { state, waits, ...(native === undefined ? {} : { native }) };
			const instance = new StrategyInstance(strategy, this.view, fuel, meshSeed, more);
			// Throws what has gone wrong already; what is still starting is asked again by `ready`.
			instance.isReady(0);
			return instance;
		};
		const set = new InstanceSet(strategy, make, spares);
		this.#sets.set(strategy.versionId, set);
		return set;
	}

	/**
	 * Whether a version's first instances can all decide, having waited up to `waitMs`. Throws when one never will; they are dropped then, so that the next
	 * plan begins anew.
	 */
	ready(versionId: number, waitMs: number): boolean {
		const set = this.#sets.get(versionId);
		try {
			return set === undefined || set.ready(waitMs);
		} catch (error) {
			set?.close();
			this.#sets.delete(versionId);
			throw error;
		}
	}

	/** Makes up a set after a trap; a failure is reported, not thrown, and tried again later. */
	refill(set: InstanceSet): void {
		if (this.#sets.get(set.strategy.versionId) !== set) return;
		try {
			set.refill();
		} catch (error) {
			this.#ports.onUnready(set.strategy, error);
			this.#ports.later(() => this.refill(set));
		}
	}

	/** Ends what takes more than memory: the collector does not know what a sandbox costs. */
	closeNative(): void {
		for (const [versionId, set] of this.#sets) {
			if (!isNative(set.strategy.module)) continue;
			this.#sets.delete(versionId);
			set.close();
		}
	}

	/** Nothing is decided here any more. */
	close(): void {
		this.retain(new Set());
	}

	set(versionId: number): InstanceSet | undefined {
		return this.#sets.get(versionId);
	}

	/** Drops the instances of versions no longer wanted, so that their memory can be collected. */
	retain(versionIds: ReadonlySet<number>): void {
		for (const [versionId, set] of this.#sets) {
			if (versionIds.has(versionId)) continue;
			this.#sets.delete(versionId);
			set.close();
		}
	}

	get instances(): number {
		let count = 0;
		for (const set of this.#sets.values()) count += set.size;
		return count;
	}
}
