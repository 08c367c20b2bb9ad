// Owns the strategy instances of one pool in one worker: for each loaded version a primary and spares, made ahead of need, swapped in
// when a trap poisons the primary. Which version decides is the plan's; this keeps them ready.
import type { PoolView } from '../../fleet/pool-view.js';
import type { ModelPool } from '../../router/ports.js';
import { type FuelBudget, StrategyInstance, type StrategyModule } from './instance.js';
import type { StateBlockReader } from './state-block.js';

export interface InstanceOptions {
	readonly fuel: FuelBudget;
	/** Instances kept ready beside the primary. */
	readonly spares: number;
	readonly meshSeed: readonly [low: number, high: number];
}

/** All instances of one strategy version over one pool. */
export class InstanceSet {
	readonly strategy: StrategyModule;
	primary: StrategyInstance | undefined;
	readonly #make: (waits: boolean) => StrategyInstance;
	readonly #spares: StrategyInstance[] = [];
	readonly #sparesWanted: number;

	constructor(strategy: StrategyModule, make: (waits: boolean) => StrategyInstance, spares: number) {
		this.strategy = strategy;
		this.#make = make;
		this.#sparesWanted = spares;
		this.primary = make(true);
		this.refill(true);
	}

	/** Puts a spare in the poisoned primary's place; undefined until `refill` has run when none is left. */
	replacePrimary(): void {
		this.primary?.close();
		this.primary = this.#spares.pop();
	}

	/**
	 * Makes up the primary and the spares. Off the decision path: an instance takes tens of microseconds, a sandbox a millisecond, which is waited for
	 * only when `waits`. Throws when one cannot be made.
	 */
	refill(waits = false): void {
		if (this.primary === undefined || this.primary.poisoned) {
			this.primary?.close();
			this.primary = this.#make(waits);
		}
		while (this.#spares.length < this.#sparesWanted) this.#spares.push(this.#make(waits));
	}

	/** A spare for a determinism re-run; it stays in the set. */
	witness(): StrategyInstance | undefined {
		return this.#spares[0];
	}

	/** Takes a poisoned witness out. */
	dropWitness(): void {
		this.#spares.shift()?.close();
	}

	/** No instance of it decides any more. */
	close(): void {
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
	readonly #onUnready: (strategy: StrategyModule, error: unknown) => void;

	/** `onUnready`: an instance could not be made up after the first ones; decisions fall back until it can. */
	constructor(
		pool: ModelPool,
		view: PoolView,
		firstTicket: number,
		options: InstanceOptions,
		onUnready: (strategy: StrategyModule, error: unknown) => void,
	) {
		this.pool = pool;
		this.view = view;
		this.ticket = firstTicket;
		this.#options = options;
		this.#onUnready = onUnready;
	}

	/** Makes the instances of a version unless they exist. Throws when they cannot be made or `init` fails on this pool. */
	prepare(strategy: StrategyModule, state: StateBlockReader | undefined): InstanceSet {
		const present = this.#sets.get(strategy.versionId);
		if (present !== undefined) return present;
		const { fuel, meshSeed, spares } = this.#options;
		const make = (waits: boolean): StrategyInstance => {
			const instance = new StrategyInstance(strategy, this.view, fuel, meshSeed, { state, waits });
			if (instance.poisoned) throw new Error('`init` failed', { cause: instance.lastTrap });
			return instance;
		};
		const set = new InstanceSet(strategy, make, spares);
		this.#sets.set(strategy.versionId, set);
		return set;
	}

	/** Makes up a set after a trap; a failure is reported, not thrown. */
	refill(set: InstanceSet): void {
		try {
			set.refill();
		} catch (error) {
			this.#onUnready(set.strategy, error);
		}
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
