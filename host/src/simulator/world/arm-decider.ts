// Owns one arm in one router: production's decider over the router's table and counters, the plan that names the arm's strategy, its strikes and quarantine by
// production's rule, and the keeper of its state where it has one. It counts what the strategy cost and how often the fallback answered.
import type { InflightReader } from '../../fleet/inflight.js';
import { HOLE, PoolView } from '../../fleet/pool-view.js';
import type { FleetTableReader } from '../../fleet/table.js';
import type { ModelPool } from '../../router/ports.js';
import { type ObservedOutcome, StateKeeper } from '../../strategy/registry/state-keeper.js';
import { type DeciderOptions, WorkerDecider } from '../../strategy/runtime/decider.js';
import type { FallbackCause, StrikeReport } from '../../strategy/runtime/decision.js';
import type { StrategyModule } from '../../strategy/runtime/instance.js';
import { CONTROL_BYTES, emptyPlan, GENERATION_WORD } from '../../strategy/runtime/plan.js';
import { innocent, quarantineDefaults, strike } from '../../strategy/runtime/quarantine.js';
import type { SimClock } from './sim-clock.js';

/** A state block is published at most this often, and state ages this often, as in production. */
const STATE_PUBLISH_MS = 10;
const TRAP_TEXT_MAX = 400;

/** What an arm's strategy has cost so far, over all routers. */
export interface ArmCosts {
	decisions: number;
	fuel: number;
	fuelMax: number;
	/** By cause, the fallback's decisions. */
	readonly fallbacks: Map<FallbackCause, number>;
	disagreements: number;
	trap: string | undefined;
}

export function noCosts(): ArmCosts {
	return { decisions: 0, fuel: 0, fuelMax: 0, fallbacks: new Map(), disagreements: 0, trap: undefined };
}

export interface ArmDeciderPorts {
	readonly clock: SimClock;
	readonly random: ConstructorParameters<typeof WorkerDecider>[1]['random'];
	readonly table: FleetTableReader;
	readonly counters: InflightReader;
	readonly defer: (task: () => void) => void;
}

export class ArmDecider {
	readonly decider: WorkerDecider;
	readonly #strategy: StrategyModule;
	readonly #ports: ArmDeciderPorts;
	readonly #costs: ArmCosts;
	readonly #control = new SharedArrayBuffer(CONTROL_BYTES);
	readonly #keeper: StateKeeper | undefined;
	#generation = 0;
	#quarantine = innocent;
	#quarantined = false;

	constructor(
		strategy: StrategyModule,
		pool: ModelPool,
		options: DeciderOptions,
		ports: ArmDeciderPorts,
		costs: ArmCosts,
	) {
		this.#strategy = strategy;
		this.#ports = ports;
		this.#costs = costs;
		this.decider = new WorkerDecider(options, {
			...ports,
			control: this.#control,
			metrics: {
				decided: (_versionId, cause, _durationNs, fuel) => this.#decided(cause, fuel),
				shadowed: () => undefined,
				shadowSkipped: () => undefined,
				witnessed: (_versionId, agreed) => {
					if (!agreed) costs.disagreements++;
				},
			},
			onStrike: (report) => this.#struck(report),
			onLog: () => undefined,
		});
		const { runtimes } = this.decider;
		runtimes.addStrategy(strategy);
		this.#keeper = this.#keep(pool, options);
		if (this.#keeper !== undefined) runtimes.addState(strategy.versionId, pool.index, this.#keeper.shared);
		runtimes.setPools([pool]);
		this.#plan();
	}

	/** Whether outcomes are wanted. */
	get observes(): boolean {
		return this.#keeper !== undefined;
	}

	observe(outcomes: readonly ObservedOutcome[]): void {
		if (!this.#quarantined) this.#keeper?.observe(outcomes);
	}

	tick(): void {
		if (!this.#quarantined) this.#keeper?.tick();
	}

	/** Ends every sandbox of a native strategy. */
	close(): void {
		this.#keeper?.close();
		this.decider.close();
	}

	#keep(pool: ModelPool, { fuel, meshSeed }: DeciderOptions): StateKeeper | undefined {
		const { manifest } = this.#strategy;
		if (manifest.stateBytes === 0) return undefined;
		const view = new PoolView(
			this.#ports.table,
			this.#ports.counters,
			pool.targets.map((target) => target?.tableRow ?? HOLE),
			pool.targets.map((target) => target?.generation ?? 0),
			pool.policy.allowed,
		);
		const { versionId, label } = this.#strategy;
		return new StateKeeper(
			this.#strategy,
			view,
			{ fuel, meshSeed, publishMs: STATE_PUBLISH_MS, waits: true },
			{
				clock: this.#ports.clock,
				onFault: (cause, error) => {
					const trap = error instanceof Error ? (error.stack ?? error.message) : '';
					this.#struck({ versionId, label, cause, model: pool.model, trap, fuel: 0 });
				},
			},
		);
	}

	#decided(cause: FallbackCause, fuel: number): void {
		const costs = this.#costs;
		costs.decisions++;
		costs.fuel += fuel;
		costs.fuelMax = Math.max(costs.fuelMax, fuel);
		if (cause !== 'none') costs.fallbacks.set(cause, (costs.fallbacks.get(cause) ?? 0) + 1);
	}

	#struck({ cause, trap }: StrikeReport): void {
		this.#costs.trap ??= trap === '' ? cause : trap.slice(0, TRAP_TEXT_MAX);
		const nowMs = this.#ports.clock.nowMs();
		const before = this.#quarantine;
		this.#quarantine = strike(before, nowMs, quarantineDefaults);
		if (this.#quarantine.untilMs === before.untilMs) return;
		const { untilMs } = this.#quarantine;
		this.#quarantined = true;
		// As in production the plan changes between two decisions, not inside one.
		this.#ports.defer(() => this.#plan());
		this.#ports.clock.after(untilMs - nowMs, () => {
			if (this.#quarantine.untilMs !== untilMs) return;
			this.#quarantined = false;
			this.#plan();
		});
	}

	#plan(): void {
		const { versionId } = this.#strategy;
		const generation = ++this.#generation;
		this.decider.runtimes.prepare({
			...emptyPlan,
			generation,
			common: { ...emptyPlan.common, activeVersionId: versionId },
			quarantined: new Set(this.#quarantined ? [versionId] : []),
			warm: new Set([versionId]),
		});
		Atomics.store(new Int32Array(this.#control), GENERATION_WORD, generation);
	}
}
