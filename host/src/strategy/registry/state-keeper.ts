// Owns the one writer of a strategy's state over one pool: an instance with `observe` and `tick`, fed with batched outcomes, whose state block
// is published to all workers. Runs in the agent. A fault costs the batch, never the state last published.
import type { Clock } from '@infermesh/proto';
import {
	NO_ROW,
	OUTCOME_AT_MS_WORD,
	OUTCOME_BYTES,
	OUTCOME_E2E_MS_WORD,
	OUTCOME_FLAGS_WORD,
	OUTCOME_PREDICTED_TTFT_MS_WORD,
	OUTCOME_ROW_WORD,
	OUTCOME_STATUS_WORD,
	OUTCOME_TENANT_WORD,
	OUTCOME_TOKENS_CACHED_WORD,
	OUTCOME_TOKENS_IN_WORD,
	OUTCOME_TOKENS_OUT_WORD,
	OUTCOME_TPOT_MS_WORD,
	OUTCOME_TTFT_MS_WORD,
	OUTCOMES_MAX,
	OutcomeStatus,
	REQUEST_NOW_MS_WORD,
} from '@infermesh/sdk';
import type { PoolRows } from '../../fleet/pool-rows.js';
import type { OutcomeStatusName } from '../../router/ports.js';
import { type FallbackCause, strikeCauses } from '../runtime/decision.js';
import { type FuelBudget, StrategyInstance, type StrategyModule } from '../runtime/instance.js';
import { createStateBlock, type StateBlockShared, StateBlockWriter } from '../runtime/state-block.js';

/** One outcome as it crosses from a worker. */
export interface ObservedOutcome {
	readonly poolIndex: number;
	readonly poolRow: number;
	/** Table row, to tell whether the target still stands there. */
	readonly tableRow: number;
	readonly status: OutcomeStatusName;
	readonly tokensIn: number;
	readonly tokensOut: number;
	readonly tokensCached: number;
	readonly ttftMs: number;
	readonly tpotMs: number;
	readonly e2eMs: number;
	readonly predictedTtftMs: number;
	readonly tenant: number;
	readonly flags: number;
}

export class StateKeeper {
	readonly shared: StateBlockShared;
	readonly #strategy: StrategyModule;
	readonly #view: PoolRows;
	readonly #clock: Clock;
	readonly #writer: StateBlockWriter;
	readonly #make: () => StrategyInstance;
	readonly #onFault: (cause: FallbackCause, trap: unknown) => void;
	#instance: StrategyInstance;
	/** The state last published: what a new instance starts from. */
	readonly #published: Uint8Array;
	readonly #publishMs: number;
	#publishedAtMs = Number.NEGATIVE_INFINITY;
	#pending = false;

	/** `publishMs`: a block is published at most this often; what came meanwhile goes out with the next. */
	constructor(
		strategy: StrategyModule,
		view: PoolRows,
		fuel: FuelBudget,
		meshSeed: readonly [number, number],
		publishMs: number,
		clock: Clock,
		onFault: (cause: FallbackCause, trap: unknown) => void,
	) {
		this.#strategy = strategy;
		this.#view = view;
		this.#clock = clock;
		this.#publishMs = publishMs;
		this.#onFault = onFault;
		this.shared = createStateBlock(strategy.manifest.stateBytes);
		this.#writer = new StateBlockWriter(this.shared);
		this.#published = new Uint8Array(strategy.manifest.stateBytes);
		this.#make = () => new StrategyInstance(strategy, view, fuel, meshSeed, { observes: true });
		this.#instance = this.#make();
	}

	/** A copy of the state as it stands. */
	snapshot(): Uint8Array {
		return this.#stateBytes().slice();
	}

	/** Takes over the state of the version before; sizes must be equal, which the caller has checked. */
	adopt(state: Uint8Array): void {
		this.#stateBytes().set(state);
		this.#publishNow();
	}

	/** Hands outcomes to `observe` in batches and publishes once at the end. */
	observe(outcomes: readonly ObservedOutcome[]): void {
		if (!this.#strategy.manifest.hooks.includes('observe')) return;
		for (let at = 0; at < outcomes.length; at += OUTCOMES_MAX) {
			const batch = outcomes.slice(at, at + OUTCOMES_MAX);
			this.#call('observe', batch.length, () => batch.forEach((outcome, index) => this.#write(outcome, index)));
		}
		this.#publish();
	}

	tick(): void {
		if (!this.#strategy.manifest.hooks.includes('tick')) return;
		this.#call('tick', 0, () => undefined);
		this.#publish();
	}

	#call(hook: 'observe' | 'tick', argument: number, prepare: () => void): void {
		this.#instance.sync();
		this.#instance.u32[this.#instance.requestWord + REQUEST_NOW_MS_WORD] = this.#nowMs();
		prepare();
		const cause = this.#instance.call(hook, argument);
		if (cause === 'none') return;
		if (strikeCauses.has(cause)) this.#onFault(cause, this.#instance.lastTrap);
		// What a faulty call left behind is not trusted: begin again from what was published last.
		this.#instance.close();
		this.#instance = this.#make();
		this.#stateBytes().set(this.#published);
	}

	#write(outcome: ObservedOutcome, index: number): void {
		const { u32, f32, layout } = this.#instance;
		const at = (layout.outcomesOffset + index * OUTCOME_BYTES) / 4;
		const stands = this.#view.tableRows[outcome.poolRow] === outcome.tableRow;
		u32[at + OUTCOME_ROW_WORD] = stands ? outcome.poolRow : NO_ROW;
		u32[at + OUTCOME_STATUS_WORD] = OutcomeStatus[outcome.status];
		u32[at + OUTCOME_TOKENS_IN_WORD] = outcome.tokensIn;
		u32[at + OUTCOME_TOKENS_OUT_WORD] = outcome.tokensOut;
		u32[at + OUTCOME_TOKENS_CACHED_WORD] = outcome.tokensCached;
		f32[at + OUTCOME_TTFT_MS_WORD] = outcome.ttftMs;
		f32[at + OUTCOME_TPOT_MS_WORD] = outcome.tpotMs;
		f32[at + OUTCOME_E2E_MS_WORD] = outcome.e2eMs;
		f32[at + OUTCOME_PREDICTED_TTFT_MS_WORD] = outcome.predictedTtftMs;
		u32[at + OUTCOME_TENANT_WORD] = outcome.tenant;
		u32[at + OUTCOME_AT_MS_WORD] = this.#nowMs();
		u32[at + OUTCOME_FLAGS_WORD] = outcome.flags;
	}

	#publish(): void {
		if (this.#pending) return;
		const waitMs = this.#publishedAtMs + this.#publishMs - this.#clock.nowMs();
		if (waitMs <= 0) {
			this.#publishNow();
			return;
		}
		this.#pending = true;
		this.#clock.after(waitMs, () => this.#publishNow(), { unref: true });
	}

	#publishNow(): void {
		this.#pending = false;
		this.#publishedAtMs = this.#clock.nowMs();
		this.#published.set(this.#stateBytes());
		this.#writer.publish(this.#published);
	}

	#stateBytes(): Uint8Array {
		const { stateOffset, stateBytes } = this.#instance.layout;
		return this.#instance.bytes.subarray(stateOffset, stateOffset + stateBytes);
	}

	#nowMs(): number {
		return Math.floor(this.#clock.wallMs()) % 0x1_0000_0000;
	}
}
