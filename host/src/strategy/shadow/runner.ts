// Owns shadow decisions: a second strategy on the frame of a live decision, after it, without influence. The live decision is answered first; the frame is
// kept as it stood and ranked in a later turn of the event loop, within a share of the core. At most one waits for each instance. What is not run is
// counted, and what is run stands for it.
import type { Clock } from '@infermesh/proto';
import { COLUMN_PREFILL_RATE } from '@infermesh/sdk';
import { predictCost, signalsOf } from '../predictor/common-predictor.js';
import {
	Decision,
	type DecisionMetrics,
	type FallbackCause,
	type PrefixHits,
	type RequestFeatures,
	type StrikeReport,
	strikeCauses,
} from '../runtime/decision.js';
import type { StrategyInstance } from '../runtime/instance.js';
import type { InstanceSet, PoolRuntime } from '../runtime/pool-runtime.js';
import { readOutput } from '../runtime/read-output.js';
import { sameAnswer } from '../runtime/same-answer.js';
import { clearOutput } from '../runtime/write-request.js';
import { ShadowTrial, type TrialCounts } from './trial.js';
import { Waiting } from './waiting.js';

export interface ShadowOptions {
	/** Share of one core that the shadows of a worker may use. */
	readonly cpuShare: number;
	/** One of this many runs is repeated on another instance and must agree. */
	readonly rerunEvery: number;
	/** Workers of this router: each sees its share of the arrivals, so its virtual targets have that share of the speed. */
	readonly workers: number;
}

export const shadowDefaults: ShadowOptions = { cpuShare: 0.05, rerunEvery: 100, workers: 1 };

export interface ShadowPorts {
	readonly clock: Clock;
	/** Runs a task in a later turn of the event loop. */
	readonly defer: (task: () => void) => void;
	readonly metrics: Pick<DecisionMetrics, 'shadowed' | 'shadowSkipped'>;
	readonly onStrike: (strike: StrikeReport) => void;
}

/** Credit for this long of idling: bursts of runs, not minutes of catching up. */
const CREDIT_MS_MAX = 100;
const TRIALS_MAX = 64;

export class ShadowRunner {
	readonly #options: ShadowOptions;
	readonly #ports: ShadowPorts;
	readonly #out = new Decision();
	readonly #waiting = new WeakMap<StrategyInstance, Waiting>();
	/** By model. */
	readonly #trials = new Map<string, ShadowTrial>();
	#creditMs = CREDIT_MS_MAX;
	#creditAtMs: number;

	constructor(options: ShadowOptions, ports: ShadowPorts) {
		this.#options = options;
		this.#ports = ports;
		this.#creditAtMs = ports.clock.nowMs();
	}

	/** Whether any shadow is counted. */
	get active(): boolean {
		return this.#trials.size > 0;
	}

	/** What has been counted of all shadows. */
	counts(): TrialCounts[] {
		const nowMs = this.#ports.clock.nowMs();
		return [...this.#trials.values()].map((trial) => trial.counts(nowMs));
	}

	/** The model has no shadow any more. */
	end(model: string): void {
		this.#trials.delete(model);
	}

	/**
	 * Counts a live decision; where the shadow is to be run on it, what keeps it until then. The caller then writes the frame, with `excluded` masked, and calls
	 * `schedule`; the time of both counts from here.
	 */
	wants(runtime: PoolRuntime, { strategy }: InstanceSet, instance: StrategyInstance): Waiting | undefined {
		const trial = this.#trialOf(runtime, strategy.versionId, strategy.label);
		trial.live++;
		trial.unrun++;
		const waiting = this.#waitingOf(instance);
		if (waiting.waits) {
			trial.skippedBusy++;
			this.#ports.metrics.shadowSkipped(strategy.versionId, 'busy');
			return undefined;
		}
		if (this.#credit() > 0) return waiting;
		trial.skippedCap++;
		this.#ports.metrics.shadowSkipped(strategy.versionId, 'cap');
		return undefined;
	}

	/** The instance's frame holds snapshot and request; it is run soon and compared with `live`. */
	schedule(
		waiting: Waiting,
		runtime: PoolRuntime,
		set: InstanceSet,
		instance: StrategyInstance,
		features: RequestFeatures,
		hits: PrefixHits,
		excluded: readonly number[],
		live: Decision,
	): void {
		const trial = this.#trialOf(runtime, set.strategy.versionId, set.strategy.label);
		waiting.keep(runtime.view, features, hits, excluded, live);
		waiting.weight = trial.unrun;
		trial.unrun = 0;
		const nowMs = this.#ports.clock.nowMs();
		waiting.atMs = nowMs;
		// The credit was looked at when preparing began.
		this.#spend(trial, nowMs - this.#creditAtMs);
		this.#ports.defer(() => this.#run(runtime, set, instance, trial, waiting));
	}

	#run(runtime: PoolRuntime, set: InstanceSet, instance: StrategyInstance, trial: ShadowTrial, waiting: Waiting): void {
		const beganMs = this.#ports.clock.nowMs();
		waiting.waits = false;
		trial.ran++;
		const witness = trial.ran % this.#options.rerunEvery === 0 ? set.witness() : undefined;
		if (witness !== undefined) witness.copyFrame(instance);
		const ranMs = this.#ports.clock.nowMs();
		const cause = this.#rank(instance, waiting);
		const latencyMs = this.#ports.clock.nowMs() - ranMs;
		const { lastFuel } = instance;
		trial.latencyUs.record(latencyMs * 1000);
		trial.fuelSum += lastFuel;
		trial.fuelMax = Math.max(trial.fuelMax, lastFuel);
		if (witness !== undefined) this.#rerun(runtime, set, trial, instance, witness, cause, waiting);
		const agreed = cause === 'none' && this.#compare(runtime, trial, waiting);
		if (cause !== 'none') trial.fault(cause);
		// What it does on the queues of its own making can be a fault too.
		const struck = cause === 'none' ? this.#follow(runtime, trial, instance, waiting) : cause;
		unmask(instance, waiting.excluded);
		this.#ports.metrics.shadowed(trial.versionId, agreed, cause, latencyMs * 1e6, lastFuel);
		if (instance.poisoned) {
			set.replacePrimary();
			runtime.refill(set);
		}
		this.#strike(runtime, set, instance, struck, lastFuel);
		this.#spend(trial, this.#ports.clock.nowMs() - beganMs);
	}

	#rank(instance: StrategyInstance, { excluded, open }: Waiting): FallbackCause {
		const ran = instance.rank();
		return ran === 'none' ? readOutput(instance, excluded, this.#out, open) : ran;
	}

	/** Compares the answer in `#out` with the live one; whether they agree. */
	#compare({ view }: PoolRuntime, trial: ShadowTrial, waiting: Waiting): boolean {
		const out = this.#out;
		const sameVerdict = out.verdict === waiting.verdict;
		if (!sameVerdict) trial.verdicts++;
		const first = out.count === 0 ? -1 : (out.rows[0] as number);
		const liveFirst = waiting.count === 0 ? -1 : (waiting.rows[0] as number);
		const agreed = sameVerdict && first === liveFirst;
		if (agreed) trial.agreed++;
		trial.overlapSum += overlapOf(waiting, out);
		if (first >= 0 && liveFirst >= 0) {
			const cost = (row: number): number =>
				predictCost(
					{
						...signalsOf(view, row),
						pendingPrefillTokens: waiting.pending[row] as number,
						load: waiting.load[row] as number,
					},
					waiting.uncached(row),
					waiting.tokensOut,
				).totalMs;
			trial.predicted++;
			trial.predictedLiveMs += cost(liveFirst);
			trial.predictedShadowMs += cost(first);
		}
		return agreed;
	}

	/**
	 * The herding check: the strategy ranks once more, seeing in the router's columns what its own choices would have made of the queues, and that choice is
	 * followed. On the live signals alone every strategy that avoids what others crowd would seem to herd.
	 */
	#follow({ view }: PoolRuntime, trial: ShadowTrial, instance: StrategyInstance, waiting: Waiting): FallbackCause {
		const { liveQueues, shadowQueues, evenQueues } = trial;
		liveQueues.advance(waiting.atMs);
		shadowQueues.advance(waiting.atMs);
		evenQueues.advance(waiting.atMs);
		for (let row = 0; row < view.rowCount; row++) {
			const requests = shadowQueues.inflight[row] as number;
			// What engines have from elsewhere stays; what this router has is what it would have.
			const elsewhere = Math.max(0, (waiting.load[row] as number) - (waiting.inflight[row] as number));
			const workMs = shadowQueues.workMs[row] as number;
			const pending = workMs === 0 ? 0 : (workMs * view.cellF32(COLUMN_PREFILL_RATE, row)) / 1000;
			instance.overlay(row, requests, elsewhere + requests, pending);
		}
		clearOutput(instance);
		const cause = this.#rank(instance, waiting);
		for (let row = 0; row < view.rowCount; row++) instance.restore(row);
		if (waiting.verdict === 'route' && waiting.chosen >= 0) this.#arrive(view, liveQueues, waiting, waiting.chosen);
		const drawn = drawnRow(waiting);
		if (drawn >= 0) this.#arrive(view, evenQueues, waiting, drawn);
		if (cause === 'none' && this.#out.verdict === 'route' && this.#out.count > 0)
			this.#arrive(view, shadowQueues, waiting, this.#out.rows[0] as number);
		return cause;
	}

	#arrive(view: PoolRuntime['view'], queues: ShadowTrial['liveQueues'], waiting: Waiting, row: number): void {
		const own = predictCost(
			{ ...signalsOf(view, row), pendingPrefillTokens: 0, load: 0 },
			waiting.uncached(row),
			waiting.tokensOut,
		);
		const { workers } = this.#options;
		const decodeMs = own.totalMs - own.ttftMs;
		queues.arrive(row, own.ttftMs * workers, decodeMs * workers, waiting.weight, waiting.openCount);
	}

	#rerun(
		runtime: PoolRuntime,
		set: InstanceSet,
		trial: ShadowTrial,
		instance: StrategyInstance,
		witness: StrategyInstance,
		cause: FallbackCause,
		{ excluded }: Waiting,
	): void {
		const ran = witness.rank();
		trial.reruns++;
		const same = cause === 'none' ? ran === 'none' && sameAnswer(instance, witness) : ran === instance.lastCause;
		if (!same) trial.rerunsDiffered++;
		unmask(witness, excluded);
		if (!witness.poisoned) return;
		set.dropWitness();
		runtime.refill(set);
	}

	#strike(
		{ pool }: PoolRuntime,
		{ strategy: { versionId, label } }: InstanceSet,
		instance: StrategyInstance,
		cause: FallbackCause,
		fuel: number,
	): void {
		if (!strikeCauses.has(cause)) return;
		const trap = instance.lastTrap instanceof Error ? (instance.lastTrap.stack ?? '') : '';
		this.#ports.onStrike({ versionId, label, cause, model: pool.model, trap, fuel });
	}

	#trialOf({ pool, view }: PoolRuntime, versionId: number, label: string): ShadowTrial {
		let trial = this.#trials.get(pool.model);
		if (trial?.versionId !== versionId) {
			trial = new ShadowTrial(versionId, label, pool.model, view.rowCount, this.#ports.clock.nowMs());
			if (this.#trials.size >= TRIALS_MAX) this.#trials.delete(this.#trials.keys().next().value ?? '');
			this.#trials.set(pool.model, trial);
		} else trial.resize(view.rowCount);
		return trial;
	}

	#waitingOf(instance: StrategyInstance): Waiting {
		let waiting = this.#waiting.get(instance);
		if (waiting === undefined) this.#waiting.set(instance, (waiting = new Waiting(instance.view.rowCount)));
		return waiting;
	}

	/** Milliseconds that may be used now. */
	#credit(): number {
		const nowMs = this.#ports.clock.nowMs();
		const earned = (nowMs - this.#creditAtMs) * this.#options.cpuShare;
		this.#creditAtMs = nowMs;
		this.#creditMs = Math.min(CREDIT_MS_MAX, this.#creditMs + earned);
		return this.#creditMs;
	}

	#spend(trial: ShadowTrial, ms: number): void {
		trial.cpuMs += ms;
		this.#creditMs -= ms;
	}
}

function unmask(instance: StrategyInstance, rows: readonly number[]): void {
	for (const row of rows) if (instance.view.isEligible(row)) instance.mask(row, true);
}

/** An open row that has not been tried, drawn evenly by the decision's own seed; -1 = none. */
function drawnRow({ open, openCount, excluded, seed }: Waiting): number {
	let left = openCount === 0 ? 0 : seed % openCount;
	let last = -1;
	for (let row = 0; row < open.length * 32; row++) {
		if (((open[row >>> 5] as number) & (1 << (row & 31))) === 0 || excluded.includes(row)) continue;
		last = row;
		if (left-- === 0) return row;
	}
	return last;
}

function overlapOf(live: Waiting, out: Decision): number {
	if (live.count === 0) return out.count === 0 ? 1 : 0;
	let shared = 0;
	for (let i = 0; i < live.count; i++) for (let j = 0; j < out.count; j++) if (live.rows[i] === out.rows[j]) shared++;
	return shared / live.count;
}
