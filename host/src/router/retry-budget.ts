// Owns the retry budget: a token bucket that each request fills by a fraction and time fills by a rate, so that retries can never
// multiply the load on a fleet that is failing. Whether a failure deserves a retry is retry.ts's.

export interface RetryBudgetOptions {
	/** Tokens earned by each request. */
	readonly budgetRatio: number;
	/** Tokens earned each second. */
	readonly budgetBurst: number;
}

/** Seconds of the time-earned rate that may be saved up. */
const SAVED_S = 10;
/** Fractions of a token add up to a little less than a whole one. */
const ROUNDING = 1e-6;

export class RetryBudget {
	readonly #ratio: number;
	readonly #perMs: number;
	readonly #max: number;
	#tokens: number;
	#atMs: number;

	constructor(options: RetryBudgetOptions, nowMs: number) {
		this.#ratio = options.budgetRatio;
		this.#perMs = options.budgetBurst / 1000;
		this.#max = Math.max(options.budgetBurst * SAVED_S, options.budgetRatio > 0 ? 1 : 0);
		this.#tokens = Math.min(this.#max, options.budgetBurst);
		this.#atMs = nowMs;
	}

	/** A request was accepted. */
	earn(): void {
		this.#tokens = Math.min(this.#max, this.#tokens + this.#ratio);
	}

	/** Takes one retry; false when none is left. */
	take(nowMs: number): boolean {
		this.#tokens = Math.min(this.#max, this.#tokens + Math.max(0, nowMs - this.#atMs) * this.#perMs);
		this.#atMs = nowMs;
		if (this.#tokens < 1 - ROUNDING) return false;
		this.#tokens -= 1;
		return true;
	}
}
