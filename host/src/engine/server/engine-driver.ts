// Owns the meeting of the pure step model with real time: it maps the clock to model microseconds, runs every step that
// is due, and hands tokens to listeners. Timers are coarse (about 1 ms), steps may be shorter: model time stays exact,
// and one turn runs as many steps as are due. When the machine cannot keep up, model time slips and the slip is
// counted.
import type { Clock, Timer } from '@infermesh/proto';
import { BlockNumbers } from '../model/block-numbers.js';
import type { EngineModel, StepOutcome, SubmitRefusal } from '../model/engine-model.js';
import type { Sequence, SequenceRequest } from '../model/sequence.js';

/** Hears what happens to one sequence. It may submit and cancel from within. */
export interface SequenceListener {
	/** One more token is out; `sequence.generatedTokens` counts it. */
	onToken(sequence: Sequence): void;
	/** The sequence ended by itself; comes after its last token. */
	onFinish(sequence: Sequence): void;
}

/** Hears of every token, for histograms. `sincePreviousUs` is -1 for a first token. */
export type TokenObserver = (sequence: Sequence, sincePreviousUs: number) => void;

export interface EngineDriverOptions {
	readonly clock: Clock;
	readonly model: EngineModel;
	readonly speed: number;
	/** Lag in real milliseconds beyond which model time slips. */
	readonly lagMsMax: number;
	readonly observe: TokenObserver;
	/** Runs after each turn that let tokens out: the place to flush streams. */
	readonly afterTurn: () => void;
}

/** Steps run in one turn before others get the event loop; the rest of the lag is given up. */
const STEPS_PER_TURN_MAX = 1000;

class Subscription {
	readonly listener: SequenceListener;
	lastTokenUs = -1;
	muted = false;

	constructor(listener: SequenceListener) {
		this.listener = listener;
	}
}

export class EngineDriver {
	readonly model: EngineModel;
	/** What the model knows contents by, which come here by their hashes. */
	readonly blockNumbers: BlockNumbers;
	readonly #clock: Clock;
	readonly #usPerMs: number;
	readonly #lagUsMax: number;
	readonly #observe: TokenObserver;
	readonly #afterTurn: () => void;
	readonly #originMs: number;
	#slipUs = 0;
	#timer: Timer | undefined;
	#closed = false;
	#delivering = false;

	constructor(options: EngineDriverOptions) {
		this.model = options.model;
		const { kvBlocks, hostBlocks } = options.model.config;
		this.blockNumbers = new BlockNumbers(kvBlocks + hostBlocks);
		this.#clock = options.clock;
		this.#usPerMs = 1000 * options.speed;
		this.#lagUsMax = options.lagMsMax * this.#usPerMs;
		this.#observe = options.observe;
		this.#afterTurn = options.afterTurn;
		this.#originMs = options.clock.nowMs();
	}

	/** Real seconds by which model time has fallen behind in all. */
	get slipSeconds(): number {
		return this.seconds(this.#slipUs);
	}

	/** Leading tokens of a prompt's hash chain whose KV is on the device now. */
	cachedPrefixTokens(hashes: Uint32Array): number {
		return this.model.cachedPrefixTokens(this.blockNumbers.known(hashes));
	}

	/** Model microseconds as the real seconds they take. */
	seconds(modelUs: number): number {
		return modelUs / this.#usPerMs / 1000;
	}

	/** Model time now; never before the model's own. */
	nowUs(): number {
		const elapsedUs = Math.floor((this.#clock.nowMs() - this.#originMs) * this.#usPerMs);
		return Math.max(this.model.nowUs, elapsedUs - this.#slipUs);
	}

	submit(request: Omit<SequenceRequest, 'tag'>, listener: SequenceListener): Sequence | SubmitRefusal {
		return this.#act((nowUs) => this.model.submit({ ...request, tag: new Subscription(listener) }, nowUs));
	}

	/** Ends a sequence early; its listener hears nothing more. False when it had ended already. */
	cancel(sequence: Sequence): boolean {
		(sequence.tag as Subscription).muted = true;
		return this.#act((nowUs) => this.model.cancel(sequence, nowUs));
	}

	/** Stops the timers. Nothing more is heard of sequences still in the model. */
	close(): void {
		this.#closed = true;
		this.#timer?.cancel();
		this.#timer = undefined;
	}

	/**
	 * Does something to the model at the present time, which is that of the step being delivered when a listener asks.
	 */
	#act<T>(action: (nowUs: number) => T): T {
		if (this.#delivering) return action(this.model.nowUs);
		const result = action(this.#catchUp());
		this.#arm();
		return result;
	}

	#turn(): void {
		this.#timer = undefined;
		this.#catchUp();
		this.#arm();
	}

	/** Runs all steps that are due; returns the time up to which they were, which no step in flight ends before. */
	#catchUp(): number {
		const model = this.model;
		let nowUs = this.nowUs();
		let steps = 0;
		for (;;) {
			if (model.stepInFlight) {
				const endUs = model.stepEndUs;
				if (endUs > nowUs) break;
				const tooMany = steps++ === STEPS_PER_TURN_MAX;
				if (tooMany || nowUs - endUs > this.#lagUsMax) {
					this.#slipUs += nowUs - endUs;
					nowUs = endUs;
				}
				if (tooMany) break;
				this.#deliver(model.endStep(endUs));
			}
			const startUs = model.nextStepUs(model.nowUs);
			if (startUs > nowUs || model.beginStep(startUs) === 0) break;
		}
		if (steps > 0) this.#afterTurn();
		return nowUs;
	}

	#deliver(outcome: StepOutcome): void {
		this.#delivering = true;
		try {
			for (const sequence of outcome.emitted) {
				const subscription = sequence.tag as Subscription;
				const last = subscription.lastTokenUs;
				subscription.lastTokenUs = outcome.endUs;
				this.#observe(sequence, last < 0 ? -1 : outcome.endUs - last);
				if (!subscription.muted) subscription.listener.onToken(sequence);
			}
			for (const sequence of outcome.finished) {
				const subscription = sequence.tag as Subscription;
				if (!subscription.muted) subscription.listener.onFinish(sequence);
			}
		} finally {
			this.#delivering = false;
		}
	}

	#arm(): void {
		this.#timer?.cancel();
		this.#timer = undefined;
		if (this.#closed) return;
		const nowUs = this.nowUs();
		const nextUs = this.model.nextStepUs(nowUs);
		if (nextUs === Number.POSITIVE_INFINITY) return;
		this.#timer = this.#clock.after(Math.ceil((nextUs - nowUs) / this.#usPerMs), () => this.#turn());
	}
}
