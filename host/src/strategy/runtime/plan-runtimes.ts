// Owns what one worker has ready: the strategies it knows, the state blocks given to it, the pools with their instances, and the plans prepared
// and in force. Everything here but `current` and `of` runs off the decision path.
import type { Clock, Random } from '@infermesh/proto';
import type { InflightReader } from '../../fleet/inflight.js';
import { HOLE, PoolView } from '../../fleet/pool-view.js';
import type { FleetTableReader } from '../../fleet/table.js';
import type { ModelPool } from '../../router/ports.js';
import type { NativeEvents } from '../native/events.js';
import type { StrategyModule } from './instance.js';
import { CONTROL_BYTES, emptyPlan, GENERATION_WORD, INSTANCES_MAX, type RoutingPlan } from './plan.js';
import { type InstanceOptions, PoolRuntime } from './pool-runtime.js';
import { StateBlockReader, type StateBlockShared } from './state-block.js';

/** A library that loads as fast as most is waited for when the fleet changes, and no other: the worker has other requests. */
const POOL_WAIT_MS = 20;
/** Requests that began with a pool before it was replaced may still retry on it for so long; then its sandboxes end. */
const RETIRED_MS = 60_000;
/** An instance that could not be made is tried again after this. */
const REMAKE_MS = 1000;

export interface PlanRuntimesPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly table: FleetTableReader;
	readonly counters: InflightReader;
	readonly control: SharedArrayBuffer;
	readonly defer: (task: () => void) => void;
	/** A strategy could not be instantiated on a pool, or its `init` failed there. */
	readonly onUnready: (pool: ModelPool, strategy: StrategyModule, error: unknown) => void;
	/** Who is told of sandboxes. */
	readonly native?: NativeEvents;
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
		// An idle worker drops its instances here, not only at its next decision.
		this.current();
		this.#retain();
	}

	/** Replaces the set of pools. Pools that are the same object keep their instances; others get new ones at once. */
	setPools(pools: readonly ModelPool[]): void {
		const wanted = new Set(pools);
		for (const [pool, runtime] of this.#runtimes) {
			if (wanted.has(pool)) continue;
			this.#runtimes.delete(pool);
			// Requests that began with the old object may still retry on it.
			this.#retired.set(pool, runtime);
			this.#ports.clock.after(RETIRED_MS, () => runtime.closeNative(), { unref: true });
		}
		const indices = new Set(pools.map(({ index }) => index));
		for (const byPool of this.#states.values())
			for (const index of byPool.keys()) if (!indices.has(index)) byPool.delete(index);
		const opened: PoolRuntime[] = [];
		for (const pool of pools) {
			// A pool without targets (all were removed) needs no instances: a request finds nothing eligible.
			if (this.#runtimes.has(pool) || pool.targets.every((target) => target === undefined)) continue;
			const runtime = this.#open(pool);
			this.#runtimes.set(pool, runtime);
			opened.push(runtime);
		}
		for (const runtime of opened) this.#warmOrReport(runtime);
		const untilMs = this.#ports.clock.nowMs() + POOL_WAIT_MS;
		for (const runtime of opened) this.#awaitOrReport(runtime, untilMs);
	}

	/**
	 * Makes every instance `plan` needs; it takes effect when its generation is stored in the control block, which is not to be before `ready`. Throws when a
	 * version it needs cannot be made ready; the plan in force is then untouched.
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

	/** Whether all that `prepare` has made for a plan can decide: false while native code is still starting. Throws when some of it never will. */
	ready({ warm, spare }: RoutingPlan): boolean {
		let ready = true;
		for (const runtime of this.#runtimes.values())
			for (const versionId of warm.union(spare)) ready = runtime.ready(versionId, 0) && ready;
		return ready;
	}

	/** Ends every sandbox; nothing is decided here any more. */
	close(): void {
		for (const runtime of this.#runtimes.values()) runtime.close();
		this.#runtimes.clear();
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
		return new PoolRuntime(pool, view, firstTicket, this.#options, {
			onUnready: (strategy, error) => this.#ports.onUnready(pool, strategy, error),
			later: (task) => void this.#ports.clock.after(REMAKE_MS, task, { unref: true }),
			native: this.#ports.native,
		});
	}

	/** Versions that some plan wants instances of, those it needs first. */
	#wanted(): ReadonlySet<number> {
		const plans = [this.current(), ...this.#prepared.values()];
		const union = (sets: readonly ReadonlySet<number>[]): Set<number> =>
			sets.reduce<Set<number>>((all, one) => all.union(one), new Set());
		return union([...plans.map(({ warm }) => warm), ...plans.map(({ spare }) => spare)]);
	}

	#needs(versionId: number): boolean {
		return [this.#plan, ...this.#prepared.values()].some(({ warm }) => warm.has(versionId));
	}

	/** Pools come as facts, not as proposals: a strategy that cannot start on one leaves it to the fallback, with a strike, and is tried again. */
	#warmOrReport(runtime: PoolRuntime): void {
		for (const versionId of this.#wanted()) {
			if (this.instances >= INSTANCES_MAX && !this.#needs(versionId)) return;
			this.#orReport(runtime, versionId, () => this.#make(runtime, versionId));
		}
	}

	/** What was made there and is still starting. */
	#awaitOrReport(runtime: PoolRuntime, untilMs: number): void {
		const { clock } = this.#ports;
		for (const versionId of this.#wanted())
			this.#orReport(runtime, versionId, () => runtime.ready(versionId, Math.max(0, untilMs - clock.nowMs())));
	}

	#orReport({ pool }: PoolRuntime, versionId: number, task: () => void): void {
		try {
			task();
		} catch (error) {
			const strategy = this.#modules.get(versionId);
			if (strategy !== undefined) this.#ports.onUnready(pool, strategy, error);
			this.#ports.clock.after(REMAKE_MS, () => this.#remake(pool), { unref: true });
		}
	}

	#remake(pool: ModelPool): void {
		const runtime = this.#runtimes.get(pool);
		if (runtime !== undefined) this.#warmOrReport(runtime);
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
