// Owns what numbered batches mean: which one may be applied, when some are missing and are asked for again, and when nothing that was known
// can be trusted any more. Pure: it is told what came and calls back. Invariant: batches are applied in order, without a hole, or everything
// before is forgotten first. A publisher counts from 0 at each start.

/** Why everything known of a publisher was forgotten. */
export type ForgetCause = 'restarted' | 'lost' | 'replay_failed' | 'reconnected';

export interface SequenceEffects {
	apply(payload: Uint8Array): void;
	forget(cause: ForgetCause): void;
	/** Ask for all batches from this one on; answered by `replayed`, then `replayEnded` or `replayFailed`. */
	askReplay(from: number): void;
	/** Batches were missing. */
	gap(missing: number): void;
	/** Whether what is known is all there is to know. */
	live(live: boolean): void;
}

export interface SequenceOptions {
	/** There is a socket that replays. */
	readonly replays: boolean;
	/** Batches that wait while older ones are replayed. */
	readonly waitingMax: number;
}

/** Replays asked for in a row before it is given up and everything forgotten. */
const REPLAYS_IN_ROW_MAX = 3;

export class BatchSequence {
	readonly #options: SequenceOptions;
	readonly #effects: SequenceEffects;
	/** Number of the last batch applied; -1 = none. */
	#last = -1;
	/** Nothing is known of batches before the next one, and that is accepted. */
	#anyNext = false;
	#replaying = false;
	/** The batch whose presence in a replay shows that the publisher is the one known; -1 = none is looked for. */
	#witness = -1;
	#replayedAny = false;
	#replaysInRow = 0;
	#waiting: { readonly number: number; readonly payload: Uint8Array }[] = [];

	constructor(options: SequenceOptions, effects: SequenceEffects) {
		this.#options = options;
		this.#effects = effects;
	}

	/** The publisher is there, for the first time or again. */
	connected(): void {
		this.#waiting = [];
		this.#replaysInRow = 0;
		if (!this.#options.replays) {
			if (this.#last >= 0) this.#forget('reconnected');
			this.#anyNext = true;
			return this.#effects.live(true);
		}
		// The last batch known is asked for again: a publisher that does not have it is another one.
		this.#replay(Math.max(0, this.#last), this.#last);
	}

	disconnected(): void {
		this.#replaying = false;
		this.#waiting = [];
		this.#effects.live(false);
	}

	batch(number: number, payload: Uint8Array): void {
		if (this.#replaying) {
			if (this.#waiting.length < this.#options.waitingMax) this.#waiting.push({ number, payload });
			return;
		}
		if (this.#anyNext || number === this.#last + 1) return this.#apply(number, payload);
		if (number <= this.#last) {
			this.#forget('restarted');
			if (number === 0) return this.#apply(number, payload);
			return this.#missing(0, number, payload);
		}
		this.#effects.gap(number - this.#last - 1);
		this.#missing(this.#last + 1, number, payload);
	}

	replayed(number: number, payload: Uint8Array): void {
		if (!this.#replaying) return;
		if (number === this.#witness) this.#witness = -1;
		if (number <= this.#last) return;
		if (this.#witness >= 0) {
			// It goes on behind a batch it should have had: what lies between is lost.
			this.#witness = -1;
			this.#forget(number > this.#last + 1 ? 'lost' : 'restarted');
		} else if (number !== this.#last + 1 && (this.#last >= 0 || this.#replayedAny)) this.#forget('lost');
		this.#replayedAny = true;
		this.#apply(number, payload);
	}

	replayEnded(): void {
		if (!this.#replaying) return;
		if (this.#witness >= 0) this.#forget('restarted');
		this.#settle();
	}

	replayFailed(): void {
		if (!this.#replaying) return;
		if (this.#last >= 0) this.#forget('replay_failed');
		this.#anyNext = true;
		this.#settle();
	}

	#apply(number: number, payload: Uint8Array): void {
		this.#last = number;
		this.#anyNext = false;
		this.#effects.apply(payload);
	}

	#forget(cause: ForgetCause): void {
		this.#last = -1;
		this.#effects.forget(cause);
	}

	#missing(from: number, number: number, payload: Uint8Array): void {
		if (!this.#options.replays || this.#replaysInRow >= REPLAYS_IN_ROW_MAX) {
			if (this.#last >= 0) this.#forget('lost');
			return this.#apply(number, payload);
		}
		this.#replay(from, -1);
		this.#waiting.push({ number, payload });
	}

	#replay(from: number, witness: number): void {
		this.#replaying = true;
		this.#replaysInRow++;
		this.#witness = witness;
		this.#replayedAny = false;
		this.#effects.live(false);
		this.#effects.askReplay(from);
	}

	/** Back to what comes live: first what came meanwhile. */
	#settle(): void {
		this.#replaying = false;
		this.#witness = -1;
		const waiting = this.#waiting;
		this.#waiting = [];
		for (const { number, payload } of waiting) if (this.#anyNext || number > this.#last) this.batch(number, payload);
		if (this.#replaying) return;
		this.#replaysInRow = 0;
		this.#effects.live(true);
	}
}
