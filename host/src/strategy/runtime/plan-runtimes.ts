// Owns what one worker has ready: the strategies it knows, the state blocks given to it, the pools with their instances, and the plans prepared
// and in force. Everything here but `current` and `of` runs off the decision path.
import type { Random } from '@infermesh/proto';
import type { InflightReader } from '../../fleet/inflight.js';
import { HOLE, PoolView } from '../../fleet/pool-view.js';
import type { FleetTableReader } from '../../fleet/table.js';
import type { ModelPool } from '../../router/ports.js';
import type { StrategyModule } from './instance.js';
import { CONTROL_BYTES, emptyPlan, GENERATION_WORD, INSTANCES_MAX, type RoutingPlan } from './plan.js';
import { type InstanceOptions, PoolRuntime } from './pool-runtime.js';
import { StateBlockReader, type StateBlockShared } from './state-block.js';

export interface PlanRuntimesPorts {
	readonly random: Random;
	readonly table: FleetTableReader;
	readonly counters: InflightReader;
	readonly control: SharedArrayBuffer;
	readonly defer: (task: () => void) => void;
	/** A strategy could not be instantiated on a pool, or its `init` failed there. */
	readonly onUnready: (pool: ModelPool, strategy: StrategyModule, error: unknown) => void;
}

export class PlanRuntimes {
	readonly #options: InstanceOptions;
	readonly #ports: PlanRuntimesPorts;
	readonly #control: Int32Array;
	readonly #modules = new Map<number, StrategyModule>();
	/** Published state blocks, by version and pool index. */
	readonly #states = new Map<number, Map<number, StateBlockReader>>();
	readonly #runtimes = new Map<ModelPool, PoolRuntime>();
	readonly #retired = new WeakMap<ModelPool, PoolRuntime>();
	readonly #prepared = new Map<number, RoutingPlan>();
	#plan: RoutingPlan = emptyPlan;

	constructor(options: InstanceOptions, ports: PlanRuntimesPorts) {
		if (ports.control.byteLength < CONTROL_BYTES) throw new RangeError('the control block is too small');
		this.#options = options;
		this.#ports = ports;
		this.#control = new Int32Array(ports.control);
	}

	/** The plan in force: the one whose generation is stored, from the first call after the store on. */
	current(): RoutingPlan {
		if (Atomics.load(this.#control, GENERATION_WORD) !== this.#plan.generation) this.#switchPlan();
		return this.#plan;
	}

	/** The runtime of a pool, also of one that has been replaced while a request was under way on it. */
	of(pool: ModelPool): PoolRuntime | undefined {
		return this.#runtimes.get(pool) ?? this.#retired.get(pool);
	}

	/** Instances alive. */
	get instances(): number {
		let count = 0;
		for (const runtime of this.#runtimes.values()) count += runtime.instances;
		return count;
	}

	/** Makes a version known. Its instances are made by `prepare` of a plan that names it. */
	addStrategy(strategy: StrategyModule): void {
		if (!this.#modules.has(strategy.versionId)) this.#modules.set(strategy.versionId, strategy);
	}

	/** Gives the state block of a version over a pool; before the plan or the pool that uses it. */
	addState(versionId: number, poolIndex: number, shared: StateBlockShared): void {
		const byPool = this.#states.get(versionId) ?? new Map<number, StateBlockReader>();
		byPool.set(poolIndex, new StateBlockReader(shared));
		this.#states.set(versionId, byPool);
	}

	/** Forgets a version that no plan names any more. */
	removeStrategy(versionId: number): void {
		this.#modules.delete(versionId);
		this.#states.delete(versionId);
	}

	/** Replaces the set of pools. Pools that are the same object keep their instances; others get new ones at once. */
	setPools(pools: readonly ModelPool[]): void {
		const wanted = new Set(pools);
		for (const [pool, runtime] of this.#runtimes) {
			if (wanted.has(pool)) continue;
			this.#runtimes.delete(pool);
			// Requests that began with the old object may still retry on it.
			this.#retired.set(pool, runtime);
		}
		const indices = new Set(pools.map(({ index }) => index));
		for (const byPool of this.#states.values())
			for (const index of byPool.keys()) if (!indices.has(index)) byPool.delete(index);
		for (const pool of pools) {
			// A pool without targets (all were removed) needs no instances: a request finds nothing eligible.
			if (this.#runtimes.has(pool) || pool.targets.every((target) => target === undefined)) continue;
			const runtime = this.#open(pool);
			this.#runtimes.set(pool, runtime);
			for (const plan of [this.current(), ...this.#prepared.values()]) this.#warmOrReport(runtime, plan);
		}
	}

	/**
	 * Makes every instance `plan` needs; it takes effect when its generation is stored in the control block. Throws when a version it
	 * needs cannot be made ready; the plan in force is then untouched.
	 */
	prepare(plan: RoutingPlan): void {
		// An idle worker sees a stored generation here, not only at its next decision: what older plans kept is dropped now.
		this.current();
		this.#prepared.set(plan.generation, plan);
		this.#retain();
		for (const versionId of plan.warm) {
			if (!this.#modules.has(versionId)) throw new Error(`version ${versionId} is not known to this worker`);
		}
		for (const runtime of this.#runtimes.values()) {
			for (const versionId of plan.warm) this.#make(runtime, versionId);
			for (const versionId of plan.spare) if (this.instances < INSTANCES_MAX) this.#make(runtime, versionId);
		}
	}

	#open(pool: ModelPool): PoolRuntime {
		const view = new PoolView(
			this.#ports.table,
			this.#ports.counters,
			pool.targets.map((target) => target?.tableRow ?? HOLE),
			pool.targets.map((target) => target?.generation ?? 0),
			pool.policy.allowed,
		);
		const firstTicket = this.#ports.random.nextU32();
		return new PoolRuntime(pool, view, firstTicket, this.#options, (strategy, error) =>
			this.#ports.onUnready(pool, strategy, error),
		);
	}

	/** Pools come as facts, not as proposals: a strategy that cannot start on one leaves it to the fallback, with a strike. */
	#warmOrReport(runtime: PoolRuntime, plan: RoutingPlan): void {
		for (const versionId of plan.warm.union(plan.spare)) {
			if (plan.spare.has(versionId) && this.instances >= INSTANCES_MAX) return;
			const strategy = this.#modules.get(versionId);
			if (strategy === undefined) continue;
			try {
				this.#make(runtime, versionId);
			} catch (error) {
				this.#ports.onUnready(runtime.pool, strategy, error);
			}
		}
	}

	#make(runtime: PoolRuntime, versionId: number): void {
		const strategy = this.#modules.get(versionId);
		if (strategy !== undefined) runtime.prepare(strategy, this.#states.get(versionId)?.get(runtime.pool.index));
	}

	/** Drops the instances of versions that neither the plan in force nor one on its way keeps. */
	#retain(): void {
		let kept: Set<number> = new Set();
		for (const plan of [this.#plan, ...this.#prepared.values()]) kept = kept.union(plan.warm).union(plan.spare);
		for (const runtime of this.#runtimes.values()) runtime.retain(kept);
	}

	#switchPlan(): void {
		const generation = Atomics.load(this.#control, GENERATION_WORD);
		const plan = this.#prepared.get(generation);
		// Not prepared here: this worker's message is still on its way; the old plan stands until it comes.
		if (plan === undefined) return;
		this.#plan = plan;
		for (const old of this.#prepared.keys()) if (old <= generation) this.#prepared.delete(old);
		this.#ports.defer(() => this.#retain());
	}
}
