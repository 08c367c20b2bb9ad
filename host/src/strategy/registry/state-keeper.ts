// Owns the one writer of a strategy's state over one pool: an instance with `observe` and `tick`, fed with batched outcomes, whose state block
// is published to all workers. Runs in the agent. A fault costs the batch, never the state last published.
import type { Clock, Timer } from '@infermesh/proto';
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
import type { NativeEvents } from '../native/events.js';
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

/** Outcomes kept while native code starts; the oldest are lost beyond. */
const WAITING_MAX = 8 * OUTCOMES_MAX;
const WAITING_LOOK_MS = 5;

export interface StateKeeperOptions {
	readonly fuel: FuelBudget;
	readonly meshSeed: readonly [low: number, high: number];
	/** A block is published at most this often; what came meanwhile goes out with the next. */
	readonly publishMs: number;
	/** Native code that starts is waited for in place. False where other things have to be on time: outcomes wait for it instead. */
	readonly waits: boolean;
}

export interface StateKeeperPorts {
	readonly clock: Clock;
	readonly onFault: (cause: FallbackCause, trap: unknown) => void;
	/** Who is told of sandboxes. */
	readonly native?: NativeEvents | undefined;
}

export class StateKeeper {
	readonly shared: StateBlockShared;
	readonly #strategy: StrategyModule;
	readonly #view: PoolRows;
	readonly #options: StateKeeperOptions;
	readonly #ports: StateKeeperPorts;
	readonly #writer: StateBlockWriter;
	#instance: StrategyInstance;
	/** The state last published: what a new instance starts from. */
	readonly #published: Uint8Array;
	#publishedAtMs = Number.NEGATIVE_INFINITY;
	#pending = false;
	/** Outcomes that came while the instance was starting. */
	#waiting: ObservedOutcome[] = [];
	#look: Timer | undefined;
	#closed = false;

	constructor(strategy: StrategyModule, view: PoolRows, options: StateKeeperOptions, ports: StateKeeperPorts) {
		this.#strategy = strategy;
		this.#view = view;
		this.#options = options;
		this.#ports = ports;
		this.shared = createStateBlock(strategy.manifest.stateBytes);
		this.#writer = new StateBlockWriter(this.shared);
		this.#published = new Uint8Array(strategy.manifest.stateBytes);
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
		if (!this.#isReady()) return this.#wait(outcomes);
		const all = this.#waiting.length === 0 ? outcomes : [...this.#waiting.splice(0), ...outcomes];
		for (let at = 0; at < all.length; at += OUTCOMES_MAX) {
			const batch = all.slice(at, at + OUTCOMES_MAX);
			this.#call('observe', batch.length, () => batch.forEach((outcome, index) => this.#write(outcome, index)));
		}
		this.#publish();
	}

	tick(): void {
		if (!this.#strategy.manifest.hooks.includes('tick') || !this.#isReady()) return;
		this.#call('tick', 0, () => undefined);
		this.#publish();
	}

	/** Nothing is kept any more; a sandbox ends. */
	close(): void {
		this.#closed = true;
		this.#look?.cancel();
		this.#waiting = [];
		this.#instance.close();
	}

	#make(): StrategyInstance {
		const { fuel, meshSeed, waits } = this.#options;
		const { native } = this.#ports;
		const more = { observes: true, waits, ...(native === undefined ? {} : { native }) };
		return new StrategyInstance(this.#strategy, this.#view, fuel, meshSeed, more);
	}

	/** Replaces an instance that did not get ready: its library was admitted, so it is a matter of time, and the sandbox itself waits longer each time. */
	#isReady(): boolean {
		if (this.#closed) return false;
		if (this.#instance.poisoned) this.#replace();
		return this.#instance.ready;
	}

	#wait(outcomes: readonly ObservedOutcome[]): void {
		if (this.#closed) return;
		this.#waiting.push(...outcomes);
		this.#waiting.splice(0, this.#waiting.length - WAITING_MAX);
		if (this.#look !== undefined) return;
		const look = (): void => {
			this.#look = undefined;
			this.observe([]);
		};
		this.#look = this.#ports.clock.after(WAITING_LOOK_MS, look, { unref: true });
	}

	#call(hook: 'observe' | 'tick', argument: number, prepare: () => void): void {
		this.#instance.sync();
		this.#instance.u32[this.#instance.requestWord + REQUEST_NOW_MS_WORD] = this.#nowMs();
		prepare();
		const cause = this.#instance.call(hook, argument);
		if (cause === 'none') return;
		if (strikeCauses.has(cause)) this.#ports.onFault(cause, this.#instance.lastTrap);
		this.#replace();
	}

	/** What a faulty call left behind is not trusted: begin again from what was published last. */
	#replace(): void {
		this.#instance.close();
		try {
			this.#instance = this.#make();
		} catch (error) {
			// It stays closed, and is tried again with the next outcomes.
			this.#ports.onFault('trap', error);
		}
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
		const { clock } = this.#ports;
		const waitMs = this.#publishedAtMs + this.#options.publishMs - clock.nowMs();
		if (waitMs <= 0) {
			this.#publishNow();
			return;
		}
		this.#pending = true;
		clock.after(waitMs, () => this.#publishNow(), { unref: true });
	}

	#publishNow(): void {
		this.#pending = false;
		this.#publishedAtMs = this.#ports.clock.nowMs();
		this.#published.set(this.#stateBytes());
		this.#writer.publish(this.#published);
	}

	#stateBytes(): Uint8Array {
		const { stateOffset, stateBytes } = this.#instance.layout;
		return this.#instance.bytes.subarray(stateOffset, stateOffset + stateBytes);
	}

	#nowMs(): number {
		return Math.floor(this.#ports.clock.wallMs()) % 0x1_0000_0000;
	}
}
