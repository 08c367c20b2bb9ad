// Owns deciding with one strategy over a made-up fleet, outside any mesh: the same instances, metering and check of the answer as in
// a data-plane worker, but no fallback, so that a fault stays visible. A poisoned instance is replaced before the next decision.

import { MeshError } from '@infermesh/proto';
import {
	FACTORS_MAX,
	NO_ROW,
	OUTCOME_AT_MS_WORD,
	OUTCOME_BYTES,
	OUTCOME_E2E_MS_WORD,
	OUTCOME_PREDICTED_TTFT_MS_WORD,
	OUTCOME_ROW_WORD,
	OUTCOME_STATUS_WORD,
	OUTCOME_TOKENS_CACHED_WORD,
	OUTCOME_TOKENS_IN_WORD,
	OUTCOME_TOKENS_OUT_WORD,
	OUTCOME_TPOT_MS_WORD,
	OUTCOME_TTFT_MS_WORD,
	OUTCOMES_MAX,
	OUTPUT_FACTOR_COUNT_WORD,
	OUTPUT_FACTORS_WORD,
	OUTPUT_LOG_BYTES_WORD,
	OutcomeStatus,
} from '@infermesh/sdk';
import { isNative } from '../strategy/native/code.js';
import { deciderDefaults } from '../strategy/runtime/decider.js';
import type { Decision, FallbackCause, PrefixHits, RequestFeatures } from '../strategy/runtime/decision.js';
import { type FuelBudget, StrategyInstance, type StrategyModule } from '../strategy/runtime/instance.js';
import { readOutput } from '../strategy/runtime/read-output.js';
import { createStateBlock, StateBlockReader, StateBlockWriter } from '../strategy/runtime/state-block.js';
import { type DecisionPlace, writeHits, writeRequest } from '../strategy/runtime/write-request.js';
import { projectErrors } from './errors.js';
import type { Fleet } from './fleet.js';
import type { OutcomeSpec } from './scenario/schema.js';

export interface SandboxOptions {
	readonly fuel: FuelBudget;
	readonly meshSeed: readonly [low: number, high: number];
	/** Ranked rows asked for. */
	readonly topK: number;
}

export const sandboxDefaults: SandboxOptions = {
	fuel: deciderDefaults.fuel,
	meshSeed: [0x494e_4652, 0x4d45_5348],
	topK: deciderDefaults.topK,
};

/** What a fault left behind. */
export interface Fault {
	readonly cause: FallbackCause;
	/** The engine's error when the strategy trapped. */
	readonly trap: unknown;
}

const noFault: Fault = { cause: 'none', trap: undefined };

export class Sandbox {
	readonly strategy: StrategyModule;
	readonly fleet: Fleet;
	/** Fuel of the last call; null where none is counted. */
	fuel: number | null = null;
	fault: Fault = noFault;
	readonly #options: SandboxOptions;
	readonly #metered: boolean;
	readonly #state: { readonly writer: StateBlockWriter; readonly reader: StateBlockReader } | undefined;
	#instance: StrategyInstance;
	#observer: StrategyInstance | undefined;
	readonly #place: DecisionPlace;
	#ticket = 0;

	/** Throws IM_RUN_NO_INSTANCE when the strategy cannot be instantiated or its `init` fails. */
	constructor(strategy: StrategyModule, fleet: Fleet, options: SandboxOptions = sandboxDefaults) {
		this.strategy = strategy;
		this.fleet = fleet;
		this.#options = options;
		this.#metered = !isNative(strategy.module);
		this.#place = { zone: fleet.zone, region: fleet.region, topK: options.topK };
		const { stateBytes } = strategy.manifest;
		if (stateBytes > 0) {
			const shared = createStateBlock(stateBytes);
			this.#state = { writer: new StateBlockWriter(shared), reader: new StateBlockReader(shared) };
		}
		this.#instance = this.#make(false);
	}

	/** Decides once. `out` holds the answer when 'none' is returned; otherwise `fault` says what went wrong. */
	rank(features: RequestFeatures, hits: PrefixHits, excluded: readonly number[], out: Decision): FallbackCause {
		const instance = this.#ready();
		instance.sync();
		for (const row of excluded) instance.mask(row, false);
		const view = this.fleet.view;
		let eligible = view.eligibleCount;
		for (const row of excluded) if (view.isEligible(row)) eligible--;
		writeRequest(instance, features, this.#place, this.#ticket++, eligible, writeHits(instance, hits));
		out.count = 0;
		let cause = instance.rank();
		if (cause === 'none') cause = readOutput(instance, excluded, out);
		for (const row of excluded) instance.mask(row, view.isEligible(row));
		this.fuel = this.#metered ? instance.lastFuel : null;
		out.fuel = instance.lastFuel;
		out.cause = cause;
		out.strategy = this.strategy.label;
		this.fault = cause === 'none' ? noFault : { cause, trap: instance.lastTrap };
		return cause;
	}

	/** Explain factors of the ranked row at `index` in the last answer, by the manifest's names. */
	factors(index: number): Record<string, number> {
		const { u32, f32, outputWord } = this.#instance;
		const names = this.strategy.manifest.factors;
		const count = Math.min(u32[outputWord + OUTPUT_FACTOR_COUNT_WORD] ?? 0, FACTORS_MAX, names.length);
		const at = outputWord + OUTPUT_FACTORS_WORD + index * FACTORS_MAX;
		return Object.fromEntries(names.slice(0, count).map((name, f) => [name, f32[at + f] ?? 0]));
	}

	/** Log text of the last call. */
	log(): string {
		const { layout, u32, outputWord, bytes } = this.#instance;
		const length = Math.min(u32[outputWord + OUTPUT_LOG_BYTES_WORD] ?? 0, layout.logBytes);
		return Buffer.from(bytes.subarray(layout.logOffset, layout.logOffset + length)).toString('utf8');
	}

	/** Hands outcomes to `observe`, in batches, and publishes the state block. 'no_instance' when there is no such hook. */
	observe(outcomes: readonly OutcomeSpec[], features: RequestFeatures, hits: PrefixHits): FallbackCause {
		const all = outcomes.flatMap((outcome) => Array.from({ length: outcome.repeat ?? 1 }, () => outcome));
		for (let at = 0; at < all.length; at += OUTCOMES_MAX) {
			const batch = all.slice(at, at + OUTCOMES_MAX);
			const cause = this.#runInObserver('observe', batch, features, hits);
			if (cause !== 'none') return cause;
		}
		return 'none';
	}

	/** Runs `tick` and publishes the state block. */
	tick(features: RequestFeatures, hits: PrefixHits): FallbackCause {
		return this.#runInObserver('tick', [], features, hits);
	}

	#runInObserver(
		hook: 'observe' | 'tick',
		outcomes: readonly OutcomeSpec[],
		features: RequestFeatures,
		hits: PrefixHits,
	): FallbackCause {
		if (this.#observer === undefined || this.#observer.poisoned) this.#observer = this.#make(true);
		const observer = this.#observer;
		observer.sync();
		writeRequest(
			observer,
			features,
			this.#place,
			this.#ticket,
			this.fleet.view.eligibleCount,
			writeHits(observer, hits),
		);
		outcomes.forEach((outcome, index) => this.#writeOutcome(observer, outcome, index));
		const cause = observer.call(hook, outcomes.length);
		this.fuel = this.#metered ? observer.lastFuel : null;
		this.fault = { cause, trap: observer.lastTrap };
		if (cause === 'none' && this.#state !== undefined) {
			const { stateOffset, stateBytes } = observer.layout;
			this.#state.writer.publish(observer.bytes.subarray(stateOffset, stateOffset + stateBytes));
		}
		return cause;
	}

	#writeOutcome(observer: StrategyInstance, outcome: OutcomeSpec, index: number): void {
		const { u32, f32, layout } = observer;
		const at = (layout.outcomesOffset + index * OUTCOME_BYTES) / 4;
		u32.fill(0, at, at + OUTCOME_BYTES / 4);
		const row = this.fleet.row(outcome.target);
		u32[at + OUTCOME_ROW_WORD] = row < 0 ? NO_ROW : row;
		u32[at + OUTCOME_STATUS_WORD] = OutcomeStatus[outcome.status ?? 'ok'];
		u32[at + OUTCOME_TOKENS_IN_WORD] = outcome.tokens_in ?? 0;
		u32[at + OUTCOME_TOKENS_OUT_WORD] = outcome.tokens_out ?? 0;
		u32[at + OUTCOME_TOKENS_CACHED_WORD] = outcome.tokens_cached ?? 0;
		f32[at + OUTCOME_TTFT_MS_WORD] = outcome.ttft_ms ?? 0;
		f32[at + OUTCOME_TPOT_MS_WORD] = outcome.tpot_ms ?? 0;
		f32[at + OUTCOME_E2E_MS_WORD] = outcome.e2e_ms ?? 0;
		f32[at + OUTCOME_PREDICTED_TTFT_MS_WORD] = outcome.predicted_ttft_ms ?? 0;
		u32[at + OUTCOME_AT_MS_WORD] = this.fleet.nowMs;
	}

	/** Ends the sandboxes of a native strategy. */
	close(): void {
		this.#instance.close();
		this.#observer?.close();
	}

	#ready(): StrategyInstance {
		if (this.#instance.poisoned) this.#instance = this.#make(false);
		return this.#instance;
	}

	#make(observes: boolean): StrategyInstance {
		const { fuel, meshSeed } = this.#options;
		const state = observes ? undefined : this.#state?.reader;
		try {
			const instance = new StrategyInstance(this.strategy, this.fleet.view, fuel, meshSeed, { observes, state });
			if (!instance.poisoned) return instance;
		} catch (cause) {
			throw new MeshError(projectErrors, 'IM_RUN_NO_INSTANCE', messageOf(cause), { where: this.strategy.label, cause });
		}
		throw new MeshError(projectErrors, 'IM_RUN_NO_INSTANCE', 'the `init` hook failed', { where: this.strategy.label });
	}
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
