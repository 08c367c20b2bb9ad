// Owns the decision in one worker: the plan's strategy on the pool's snapshot, its answer checked, and the fallback in the same tick when
// anything is wrong. It never throws and never blames wall-clock time. What is ready to decide is plan-runtimes.ts's.
import type { Clock, Random } from '@infermesh/proto';
import { COLUMN_KV_USAGE, COLUMN_PREFILL_RATE, COLUMN_QUEUE_DEPTH } from '@infermesh/sdk';
import { cohortNumber, NO_COHORT } from '../../experiments/cohorts/cohort.js';
import type { InflightReader } from '../../fleet/inflight.js';
import type { PoolView } from '../../fleet/pool-view.js';
import type { FleetTableReader } from '../../fleet/table.js';
import type { AttemptOutcome, Decider, DecisionContext, ModelPool, RowStanding } from '../../router/ports.js';
import type { NativeEvents } from '../native/events.js';
import { type ShadowOptions, ShadowRunner, shadowDefaults } from '../shadow/runner.js';
import type { TrialCounts } from '../shadow/trial.js';
import {
	type Decision,
	type DecisionMetrics,
	type DecisionRecorder,
	type DrawMade,
	type FallbackCause,
	FORCED,
	type PrefixHits,
	type RequestFeatures,
	type StrikeReport,
	strikeCauses,
} from './decision.js';
import { type ExplainedDecision, type ExplainOptions, ExplainRing, explainDefaults } from './explain-ring.js';
import { applyDraw } from './explore.js';
import { leastQueue, type RowTest, roundRobin } from './fallback.js';
import { InputGuard } from './input-guard.js';
import { type FuelBudget, fuelDefaults, type StrategyInstance, type StrategyModule } from './instance.js';
import { type ExperimentPlan, inCanary, type PoolPlan, planOf, type RoutingPlan } from './plan.js';
import { PlanRuntimes } from './plan-runtimes.js';
import type { InstanceSet, PoolRuntime } from './pool-runtime.js';
import { readOutput } from './read-output.js';
import { Witness } from './witness.js';
import { unmask, writeFrame } from './write-request.js';

export interface DeciderOptions {
	readonly fuel: FuelBudget;
	readonly spares: number;
	/** Whether native code that starts is waited for in place: see `InstanceOptions`. */
	readonly waits: boolean;
	readonly zone: number;
	readonly region: number;
	/** Ranked rows asked of a strategy: the best, and what a retry or hedge would need. */
	readonly topK: number;
	readonly meshSeed: readonly [low: number, high: number];
	/** While other routers share the fleet: rows that cost this share more than the best count as equal. 0 = never. */
	readonly spreadRatio: number;
	/** Share of decisions drawn evenly from the ranked rows, in the place of every other draw. 0 = never. */
	readonly explorationRatio: number;
	/** Every this many decisions one is re-run on a fresh instance and must agree; a power of two, 0 = never. */
	readonly witnessEvery: number;
	readonly explain: ExplainOptions;
	readonly shadow: ShadowOptions;
}

export const deciderDefaults: Omit<DeciderOptions, 'meshSeed'> = {
	fuel: fuelDefaults,
	spares: 1,
	waits: true,
	zone: 0,
	region: 0,
	topK: 4,
	spreadRatio: 0.25,
	explorationRatio: 0,
	witnessEvery: 1024,
	explain: explainDefaults,
	shadow: shadowDefaults,
};

export interface DeciderPorts {
	readonly clock: Clock;
	readonly random: Random;
	readonly table: FleetTableReader;
	readonly counters: InflightReader;
	readonly control: SharedArrayBuffer;
	readonly metrics: DecisionMetrics;
	/** Runs a task soon, after the present one: refilling spares, shadow runs. */
	readonly defer: (task: () => void) => void;
	readonly onStrike: (strike: StrikeReport) => void;
	/** A decision counts for this cohort of an experiment. */
	readonly enrolled?: (cohort: number, cause: FallbackCause, durationNs: number, fuel: number) => void;
	/** Keeps decisions for replay. */
	readonly recorder?: DecisionRecorder;
	/** Log text a strategy wrote; bounded by its manifest. */
	readonly onLog: (label: string, text: string) => void;
	/** Who is told of sandboxes. */
	readonly native?: NativeEvents;
}

const EXCLUDED_FEW = 8;

/** versionId under which the fallback's decisions are counted. */
export const FALLBACK_VERSION = 0;

export class WorkerDecider implements Decider {
	readonly #options: DeciderOptions;
	readonly #ports: DeciderPorts;
	readonly #runtimes: PlanRuntimes;
	readonly #explain: ExplainRing;
	readonly #shadow: ShadowRunner;
	readonly #witness: Witness;
	readonly #inputs = new InputGuard();
	readonly #drawn: DrawMade = { mode: 'best', value: 0, ratio: 0 };
	#last: { instance: StrategyInstance | undefined; decision: Decision; eligible: number } | undefined;

	constructor(options: DeciderOptions, ports: DeciderPorts) {
		this.#options = options;
		this.#ports = ports;
		this.#runtimes = new PlanRuntimes(options, {
			...ports,
			onUnready: (pool, strategy, error) => this.#unready(pool, strategy, error),
		});
		this.#explain = new ExplainRing(options.explain);
		this.#shadow = new ShadowRunner(options.shadow, ports);
		this.#witness = new Witness(options.witnessEvery, options, ports);
	}

	/** What this worker has ready; plans, pools and strategies are told to it. */
	get runtimes(): PlanRuntimes {
		return this.#runtimes;
	}

	/** A strategy could not be instantiated, or its `init` failed. */
	#unready(pool: ModelPool, { versionId, label }: StrategyModule, error: unknown): void {
		this.#ports.onStrike({ versionId, label, cause: 'trap', model: pool.model, trap: describeTrap(error), fuel: 0 });
	}

	/** Ends every sandbox; nothing is decided here any more. */
	close(): void {
		this.#runtimes.close();
	}

	/** What has been counted of shadows in this worker. */
	shadows(): TrialCounts[] {
		return this.#shadow.counts();
	}

	explain(decisionId: string): ExplainedDecision | undefined {
		return this.#explain.explain(decisionId);
	}

	outcome(outcome: AttemptOutcome): void {
		this.#explain.outcome(outcome);
	}

	decide(
		pool: ModelPool,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		out: Decision,
	): void {
		const beganMs = this.#ports.clock.nowMs();
		const plan = this.#runtimes.current();
		const runtime = this.#runtimes.of(pool);
		reset(out);
		if (runtime === undefined) {
			this.#last = { instance: undefined, decision: out, eligible: 0 };
			return;
		}
		const ticket = (runtime.ticket = (runtime.ticket + 1) >>> 0);
		const poolPlan = planOf(plan, pool.model);
		const isCanary = poolPlan.canary !== undefined && inCanary(poolPlan.canary, features);
		const set = this.#choose(runtime, poolPlan, plan, isCanary, features);
		const versionId = set?.strategy.versionId ?? FALLBACK_VERSION;
		let instance = set?.primary;
		/** What was asked, whatever came of it. */
		let asked: StrategyInstance | undefined;
		let cause = this.#obstacle(poolPlan, plan, set, pool, features);
		if (cause === 'none' && set !== undefined && instance !== undefined) {
			asked = instance;
			cause = this.#runOrFail(instance, features, hits, excluded, ticket, out);
			if (cause !== 'none') this.#faulted(runtime, features, set, instance, cause);
		}
		if (cause === 'none' && set !== undefined) {
			out.strategy = set.strategy.label;
			this.#draw(out);
		} else {
			instance = undefined;
			this.#drawn.mode = 'best';
			const { fuel } = out;
			this.#fallBack(runtime.view, ticket, excluded, out);
			out.cause = cause;
			out.fuel = fuel;
		}
		out.durationNs = (this.#ports.clock.nowMs() - beganMs) * 1e6;
		this.#ports.metrics.decided(versionId, cause, out.durationNs, out.fuel);
		if (poolPlan.experiment !== undefined) this.#enrol(poolPlan.experiment, isCanary, features, out);
		this.#last = { instance, decision: out, eligible: runtime.view.eligibleCount };
		this.#ports.recorder?.decided(runtime, versionId, asked, features, hits, excluded, ticket, out, this.#drawn);
		if (cause === 'host_error') return;
		try {
			if (instance !== undefined && set !== undefined)
				this.#witness.decided(runtime, set, instance, features, hits, excluded, ticket);
			this.#offerShadow(runtime, poolPlan, plan.quarantined, set, features, hits, excluded, ticket, out);
		} catch {
			// A torn read in a side run: the decision stands, and the run is not counted.
		}
	}

	/** The decision counts for the arm it was meant for, whoever made it. */
	#enrol(experiment: ExperimentPlan, isCanary: boolean, features: RequestFeatures, out: Decision): void {
		const { tag, block, arm, measureFromMs } = experiment;
		const isCandidate = arm === undefined ? isCanary : arm === 'candidate';
		out.cohort = cohortNumber(tag, block, isCandidate, features.nowUs < measureFromMs * 1000);
		this.#ports.enrolled?.(out.cohort, out.cause, out.durationNs, out.fuel);
	}

	/** The strategy's own exploration; else what keeps routers that share the fleet apart. */
	#draw(out: Decision): void {
		const { random, counters } = this.#ports;
		const drawn = this.#drawn;
		const { spreadRatio, explorationRatio } = this.#options;
		drawn.mode = 'best';
		if (explorationRatio > 0 && out.count > 1) drawn.mode = 'even';
		else if (out.temperature > 0) drawn.mode = 'softmax';
		else if (out.count > 1 && spreadRatio > 0 && counters.peers() > 0) drawn.mode = 'spread';
		// To 32 bits, as recordings keep it: a replay draws with the very same number.
		drawn.ratio = Math.fround(drawn.mode === 'even' ? explorationRatio : spreadRatio);
		drawn.value = drawn.mode === 'best' ? 0 : random.nextFloat();
		applyDraw(out, drawn);
	}

	decideForced(pool: ModelPool, row: number, out: Decision): void {
		reset(out);
		out.rows[0] = row;
		out.scores[0] = 0;
		out.count = 1;
		out.durationNs = 0;
		out.strategy = FORCED;
		this.#last = { instance: undefined, decision: out, eligible: this.#runtimes.of(pool)?.view.eligibleCount ?? 0 };
	}

	decideInDoubt(pool: ModelPool, excluded: readonly number[], out: Decision): void {
		const beganMs = this.#ports.clock.nowMs();
		const runtime = this.#runtimes.of(pool);
		reset(out);
		out.cause = 'all_unhealthy';
		if (runtime === undefined) return;
		const ticket = (runtime.ticket = (runtime.ticket + 1) >>> 0);
		const { view } = runtime;
		const isExcluded = rowSet(excluded);
		leastQueue(view, ticket, (row) => view.isDoubtful(row) && !isExcluded(row), out);
		if (out.count === 0) return;
		out.durationNs = (this.#ports.clock.nowMs() - beganMs) * 1e6;
		this.#ports.metrics.decided(FALLBACK_VERSION, out.cause, out.durationNs, 0);
		this.#last = { instance: undefined, decision: out, eligible: 0 };
	}

	standing(pool: ModelPool, row: number, out: RowStanding): boolean {
		const view = this.#runtimes.of(pool)?.view;
		if (view === undefined || row >= view.rowCount) return false;
		view.sync();
		const rate = view.cellF32(COLUMN_PREFILL_RATE, row);
		out.queueDepth = view.cellF32(COLUMN_QUEUE_DEPTH, row);
		out.kvUsage = view.cellF32(COLUMN_KV_USAGE, row);
		out.prefillRate = rate;
		out.prefillWaitMs = rate > 0 ? ((view.pendingPrefillTokens[row] as number) * 1000) / rate : 0;
		return view.isEligible(row);
	}

	ready(pool: ModelPool): boolean {
		const view = this.#runtimes.of(pool)?.view;
		view?.sync();
		return view !== undefined && view.eligibleCount > 0;
	}

	remember(decisionId: string, pool: ModelPool, context: DecisionContext): void {
		const last = this.#last;
		if (last === undefined) return;
		this.#ports.recorder?.remembered(decisionId, context, last.decision);
		this.#explain.record(
			decisionId,
			pool,
			context,
			last.decision,
			last.instance,
			last.eligible,
			this.#ports.clock.wallMs(),
		);
	}

	#choose(
		runtime: PoolRuntime,
		plan: PoolPlan,
		{ quarantined, grades }: RoutingPlan,
		isCanary: boolean,
		features: RequestFeatures,
	): InstanceSet | undefined {
		const { canary, activeVersionId, experiment } = plan;
		const { untilMs, baselineVersionId } = experiment ?? {};
		if (untilMs !== undefined && baselineVersionId !== undefined && features.nowUs > untilMs * 1000)
			return runtime.set(baselineVersionId);
		if (isCanary && canary !== undefined) {
			const set = runtime.set(canary.versionId);
			const trusted = features.leastGrade === 0 || (grades.get(canary.versionId) ?? 0) >= features.leastGrade;
			if (set !== undefined && trusted && !quarantined.has(canary.versionId)) return set;
		}
		return activeVersionId === undefined ? undefined : runtime.set(activeVersionId);
	}

	/** What keeps the strategy from being asked at all. */
	#obstacle(
		plan: PoolPlan,
		{ quarantined, grades }: RoutingPlan,
		set: InstanceSet | undefined,
		pool: ModelPool,
		features: RequestFeatures,
	): FallbackCause {
		if (set === undefined) return plan.activeVersionId === undefined ? 'no_strategy' : 'no_instance';
		if (quarantined.has(set.strategy.versionId)) return 'quarantined';
		if (features.leastGrade > 0 && (grades.get(set.strategy.versionId) ?? 0) < features.leastGrade) return 'untrusted';
		if (set.primary === undefined || set.primary.poisoned) return 'no_instance';
		return this.#inputs.blocked(set.strategy.versionId, pool.modelId, features) ? 'quarantined_input' : 'none';
	}

	/** The strategy's own faults come back as causes; what throws here is the host's (a torn read, no memory) and is nobody's strike. */
	#runOrFail(
		instance: StrategyInstance,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		ticket: number,
		out: Decision,
	): FallbackCause {
		try {
			return this.#run(instance, features, hits, excluded, ticket, out);
		} catch {
			return 'host_error';
		}
	}

	#run(
		instance: StrategyInstance,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		ticket: number,
		out: Decision,
	): FallbackCause {
		const held = instance.settle();
		if (held !== 'none') return held;
		instance.sync();
		const masked = writeFrame(instance, features, hits, excluded, this.#options, ticket);
		const ran = instance.rank();
		const cause = ran === 'none' ? readOutput(instance, excluded, out) : ran;
		if (masked > 0) unmask(instance, excluded);
		out.fuel = instance.lastFuel;
		const text = instance.takeLog();
		if (text !== '') this.#ports.onLog(instance.strategy.label, text);
		return cause;
	}

	#fallBack(view: PoolView, ticket: number, excluded: readonly number[], out: Decision): void {
		const isExcluded = rowSet(excluded);
		const mayTake = (row: number): boolean => view.isEligible(row) && !isExcluded(row);
		reset(out);
		try {
			view.sync();
			leastQueue(view, ticket, mayTake, out);
		} catch {
			roundRobin(view, ticket, mayTake, out);
		}
	}

	#faulted(
		runtime: PoolRuntime,
		features: RequestFeatures,
		set: InstanceSet,
		instance: StrategyInstance,
		cause: FallbackCause,
	): void {
		// A strategy that answers with an error has said why in its log, if anywhere: a native one that panicked does.
		const trap = describeTrap(instance.lastTrap) || instance.takeLog().slice(0, TRAP_TEXT_MAX);
		const { pool } = runtime;
		if (instance.poisoned) {
			set.replacePrimary();
			this.#ports.defer(() => runtime.refill(set));
			// It never came to a call: a library that could be loaded at admission cannot be now.
			if (cause === 'no_instance') this.#unready(pool, set.strategy, instance.lastTrap);
		}
		if (!strikeCauses.has(cause)) return;
		this.#inputs.struck(set.strategy.versionId, pool.modelId, features);
		const { versionId, label } = set.strategy;
		this.#ports.onStrike({ versionId, label, cause, model: pool.model, trap, fuel: instance.lastFuel });
	}

	/** Keeps the frame of the decision for the shadow, where there is one; it runs in a later turn. */
	#offerShadow(
		runtime: PoolRuntime,
		plan: PoolPlan,
		quarantined: ReadonlySet<number>,
		set: InstanceSet | undefined,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		ticket: number,
		live: Decision,
	): void {
		if (plan.shadowVersionId === undefined) {
			if (this.#shadow.active) this.#shadow.end(runtime.pool.model);
			return;
		}
		const shadowSet = runtime.set(plan.shadowVersionId);
		const shadow = shadowSet?.primary;
		if (shadowSet === undefined || shadow === undefined || shadow.poisoned) return;
		// A model's own active version may be the whole mesh's shadow: there is nothing to compare.
		if (shadowSet === set || quarantined.has(shadowSet.strategy.versionId)) return;
		const waiting = this.#shadow.wants(runtime, shadowSet, shadow);
		if (waiting === undefined || shadow.settle() !== 'none') return;
		shadow.sync();
		writeFrame(shadow, features, hits, excluded, this.#options, ticket);
		this.#shadow.schedule(waiting, runtime, shadowSet, shadow, features, hits, excluded, live);
	}
}

/** A few rows already tried are looked through; what policies close may be half the pool. */
function rowSet(rows: readonly number[]): RowTest {
	if (rows.length <= EXCLUDED_FEW) return (row) => rows.includes(row);
	const many = new Set(rows);
	return (row) => many.has(row);
}

function reset(out: Decision): void {
	out.verdict = 'route';
	out.count = 0;
	out.chosen = 0;
	out.propensity = 1;
	out.rejectReason = 0;
	out.retryAfterMs = 0;
	out.holdKey = 0;
	out.prefillRow = -1;
	out.fetchFromRow = -1;
	out.hedgeDelayMs = 0;
	out.hedgeCopies = 0;
	out.predictedTtftMs = 0;
	out.temperature = 0;
	out.strategy = '';
	out.cause = 'none';
	out.fuel = 0;
	out.cohort = NO_COHORT;
}

const TRAP_TEXT_MAX = 2048;

function describeTrap(error: unknown): string {
	// The engine throws errors only: RuntimeError for traps, RangeError for its own stack limit.
	return error instanceof Error ? (error.stack ?? error.message).slice(0, TRAP_TEXT_MAX) : '';
}
