// Owns one strategy on replay: an instance for each recorded stream, fed with the recorded frame of one decision after another, through the same code as in
// a data-plane worker. Its state is the recorded one when it is the strategy that decided, else rebuilt from the recorded outcomes.
import {
	FACTORS_MAX,
	HEADER_STATE_EPOCH_WORD,
	HEADER_TABLE_EPOCH_WORD,
	OUTPUT_FACTOR_COUNT_WORD,
	OUTPUT_FACTORS_WORD,
	REQUEST_HIT_COUNT_WORD,
	REQUEST_PROMPT_HASH_WORD,
	REQUEST_SESSION_WORD,
	REQUEST_TICKET_WORD,
} from '@infermesh/sdk';
import { type ObservedOutcome, StateKeeper } from '../../strategy/registry/state-keeper.js';
import { Decision, type FallbackCause } from '../../strategy/runtime/decision.js';
import { applyDraw } from '../../strategy/runtime/explore.js';
import { leastQueue } from '../../strategy/runtime/fallback.js';
import { type FuelBudget, StrategyInstance, type StrategyModule } from '../../strategy/runtime/instance.js';
import { readOutput } from '../../strategy/runtime/read-output.js';
import { createStateBlock, StateBlockReader, StateBlockWriter } from '../../strategy/runtime/state-block.js';
import { clearOutput, writeHits } from '../../strategy/runtime/write-request.js';
import type { RecordedDecision, RecordedOutcome } from '../decision.js';
import type { StreamState } from '../stream-state.js';
import type { RecordedClock } from './recorded-clock.js';
import type { RecordedRows } from './recorded-rows.js';

/** A recorded stream, and its rows as instances read them. */
export interface ReplayStream {
	readonly stream: StreamState;
	readonly rows: RecordedRows;
}

/** Hashes to put in place of those recorded, to see whether an answer hangs on them. */
export type HashesInstead = readonly [session: number, prompt: number] | undefined;

interface Seat {
	readonly of: ReplayStream;
	readonly instance: StrategyInstance;
	/** Where the recorded state is put for the instance to copy; undefined for a strategy without state. */
	readonly state: { readonly writer: StateBlockWriter; readonly reader: StateBlockReader; epoch: number } | undefined;
}

const STATE_PUBLISH_MS = 10;

export class Subject {
	readonly module: StrategyModule;
	/** Answer of the last run; valid until the next. */
	readonly out = new Decision();
	readonly #fuel: FuelBudget;
	readonly #meshSeed: readonly [low: number, high: number];
	readonly #recordedState: boolean;
	readonly #clock: RecordedClock;
	readonly #seats = new Map<number, Seat>();
	/** By pool index. */
	readonly #keepers = new Map<number, { readonly keeper: StateKeeper; readonly of: ReplayStream }>();
	#last: StrategyInstance | undefined;

	/** `recordedState`: the recording holds this strategy's own state blocks. */
	constructor(
		module: StrategyModule,
		fuel: FuelBudget,
		meshSeed: readonly [low: number, high: number],
		recordedState: boolean,
		clock: RecordedClock,
	) {
		this.module = module;
		this.#fuel = fuel;
		this.#meshSeed = meshSeed;
		this.#recordedState = recordedState;
		this.#clock = clock;
	}

	/** Whether its answers may hang on what it has learned. */
	get learns(): boolean {
		return this.module.manifest.stateBytes > 0;
	}

	/** Most fuel of a call over the stream's rows. */
	budget({ rows }: ReplayStream): number {
		return this.#fuel.base + this.#fuel.perTarget * rows.rowCount;
	}

	/**
	 * Ranks the decision's request on the stream as it stands. The answer is in `out`, its draw not yet applied; 'none' when it is sound, 'no_instance' when
	 * none can be made over what a file claims to be a pool.
	 */
	rank(of: ReplayStream, decision: RecordedDecision, instead?: HashesInstead): FallbackCause {
		const seat = this.#seatOrNone(of);
		if (seat === undefined) return 'no_instance';
		this.#setState(seat, decision);
		const { instance } = seat;
		this.#last = instance;
		instance.sync();
		instance.u32[HEADER_TABLE_EPOCH_WORD] = decision.tableEpoch;
		if (this.#recordedState) instance.u32[HEADER_STATE_EPOCH_WORD] = decision.stateEpoch;
		const excluded = [...decision.excluded];
		for (const row of excluded) if (of.rows.isEligible(row)) instance.mask(row, false);
		this.#writeRequest(instance, decision, instead);
		this.out.count = 0;
		let cause = instance.rank();
		if (cause === 'none') cause = readOutput(instance, excluded, this.out);
		for (const row of excluded) if (of.rows.isEligible(row)) instance.mask(row, true);
		this.out.fuel = instance.lastFuel;
		this.out.cause = cause;
		this.out.chosen = 0;
		this.out.propensity = 1;
		// A stream whose instance cannot be made again finds none at its next decision.
		if (instance.poisoned) this.#seats.delete(of.stream.entry.stream);
		return cause;
	}

	/** Applies the recorded draw to the last answer, as the host did. */
	draw({ drawn, draw, drawRatio }: RecordedDecision): void {
		applyDraw(this.out, { mode: drawn, value: draw, ratio: drawRatio });
	}

	/** Explain factors of the ranked row at `index` in the last answer, by the manifest's names. */
	factors(index: number): Record<string, number> {
		const instance = this.#last;
		if (instance === undefined) return {};
		const { u32, f32, outputWord } = instance;
		const names = this.module.manifest.factors;
		const count = Math.min(u32[outputWord + OUTPUT_FACTOR_COUNT_WORD] ?? 0, FACTORS_MAX, names.length);
		const at = outputWord + OUTPUT_FACTORS_WORD + index * FACTORS_MAX;
		return Object.fromEntries(names.slice(0, count).map((name, f) => [name, f32[at + f] ?? 0]));
	}

	/** Lets the strategy learn of an outcome, where it rebuilds its state. */
	observe(outcome: RecordedOutcome): void {
		const kept = this.#recordedState ? undefined : this.#keepers.get(outcome.poolIndex);
		kept?.keeper.observe([observedOf(outcome)]);
	}

	/** Once a second of recorded time. */
	tick(): void {
		if (!this.#recordedState) for (const { keeper } of this.#keepers.values()) keeper.tick();
	}

	#seatOrNone(of: ReplayStream): Seat | undefined {
		try {
			return this.#seatOf(of);
		} catch {
			this.out.count = 0;
			this.out.fuel = 0;
			this.out.cause = 'no_instance';
			return undefined;
		}
	}

	#seatOf(of: ReplayStream): Seat {
		const number = of.stream.entry.stream;
		const present = this.#seats.get(number);
		if (present?.of === of) return present;
		present?.instance.close();
		const state = this.#openState(of);
		const seat = { of, state, instance: this.#makeOn(of, state?.reader) };
		this.#seats.set(number, seat);
		return seat;
	}

	#openState(of: ReplayStream): Seat['state'] {
		const { stateBytes } = this.module.manifest;
		if (stateBytes === 0) return undefined;
		if (this.#recordedState) {
			const shared = createStateBlock(stateBytes);
			return { writer: new StateBlockWriter(shared), reader: new StateBlockReader(shared), epoch: 0 };
		}
		const { pool } = of.stream.entry;
		const keeper = this.#keeperOf(pool, of);
		return { writer: new StateBlockWriter(keeper.shared), reader: new StateBlockReader(keeper.shared), epoch: 0 };
	}

	/** One for a pool, whatever its workers; when the pool's targets change, the next one goes on with what was learned. */
	#keeperOf(pool: number, of: ReplayStream): StateKeeper {
		const present = this.#keepers.get(pool);
		if (present !== undefined && present.of.stream.entry.stream !== of.stream.entry.stream) return present.keeper;
		const options = { fuel: this.#fuel, meshSeed: this.#meshSeed, publishMs: STATE_PUBLISH_MS, waits: true };
		const keeper = new StateKeeper(this.module, of.rows, options, { clock: this.#clock, onFault: () => undefined });
		if (present !== undefined) {
			keeper.adopt(present.keeper.snapshot());
			present.keeper.close();
		}
		this.#keepers.set(pool, { keeper, of });
		return keeper;
	}

	#setState({ of, state }: Seat, { versionId, stateEpoch }: RecordedDecision): void {
		if (!this.#recordedState || state === undefined || state.epoch === stateEpoch) return;
		const recorded = of.stream.states.get(versionId);
		// A block of another size is not this strategy's, whatever the file says.
		if (recorded?.bytes !== this.module.manifest.stateBytes) return;
		state.writer.publish(new Uint8Array(recorded.words.buffer, 0, recorded.bytes));
		state.epoch = stateEpoch;
	}

	#writeRequest(instance: StrategyInstance, decision: RecordedDecision, instead: HashesInstead): void {
		const { u32, requestWord, layout } = instance;
		u32.set(decision.request, requestWord);
		const count = Math.min(decision.hits.length, layout.hitsCapacity);
		u32[requestWord + REQUEST_HIT_COUNT_WORD] = count;
		writeHits(instance, {
			count,
			rows: Uint32Array.from(decision.hits, ({ row }) => row),
			tokens: Uint32Array.from(decision.hits, ({ tokens }) => tokens),
			tiers: Uint8Array.from(decision.hits, ({ tier }) => tier),
			flags: Uint8Array.from(decision.hits, ({ flags }) => flags),
		});
		if (instead !== undefined) {
			u32.fill(instead[0], requestWord + REQUEST_SESSION_WORD, requestWord + REQUEST_SESSION_WORD + 2);
			u32.fill(instead[1], requestWord + REQUEST_PROMPT_HASH_WORD, requestWord + REQUEST_PROMPT_HASH_WORD + 2);
		}
		clearOutput(instance);
	}

	#makeOn({ rows }: ReplayStream, state: StateBlockReader | undefined): StrategyInstance {
		const instance = new StrategyInstance(this.module, rows, this.#fuel, this.#meshSeed, { state });
		if (instance.poisoned) throw new Error(`\`init\` of ${this.module.label} failed`, { cause: instance.lastTrap });
		return instance;
	}
}

/** What the built-in fallback answers on the stream as it stands. */
export function replayFallback({ rows }: ReplayStream, decision: RecordedDecision, out: Decision): void {
	const excluded = new Set(decision.excluded);
	const ticket = decision.request[REQUEST_TICKET_WORD] as number;
	leastQueue(rows, ticket, (row) => rows.isEligible(row) && !excluded.has(row), out);
}

/** Bits of an outcome's flags as strategies see them. */
const FLAG_FALLBACK = 1;
const FLAG_HEDGE_COPY = 2;
const FLAG_RETRIED = 4;
const FLAG_PREFILL = 8;
const FLAG_DECODE = 16;

function observedOf(outcome: RecordedOutcome): ObservedOutcome {
	const { poolIndex, row, status, tokensIn, tokensOut, tokensCached, ttftMs, tpotMs, e2eMs, predictedTtftMs } = outcome;
	const flags =
		(outcome.fallbackDecided ? FLAG_FALLBACK : 0) |
		(outcome.hedge === 'copy' ? FLAG_HEDGE_COPY : 0) |
		(outcome.retried ? FLAG_RETRIED : 0) |
		(outcome.leg === 'prefill' ? FLAG_PREFILL : 0) |
		(outcome.leg === 'decode' ? FLAG_DECODE : 0);
	return {
		poolIndex,
		poolRow: row,
		// Rows of a recording are rows of its pool.
		tableRow: row,
		status,
		tokensIn,
		tokensOut,
		tokensCached,
		ttftMs,
		tpotMs,
		e2eMs,
		predictedTtftMs,
		// Names of tenants are not recorded.
		tenant: 0,
		flags,
	};
}
