// Owns the hedging budget of one model in one worker: a bucket of tokens that served tokens fill by a share and copies empty. A copy is charged
// what it may cost when it is sent, and what it did cost when it has lost, so that over time no more than the share is spent. The bucket
// starts empty: nothing is spent before something was served.

export class TokenBudget {
	readonly #ratio: number;
	readonly #tokensMax: number;
	#tokens = 0;

	constructor(ratio: number, tokensMax: number) {
		this.#ratio = ratio;
		this.#tokensMax = tokensMax;
	}

	get tokens(): number {
		return this.#tokens;
	}

	/** Tokens were served. */
	earn(tokens: number): void {
		this.#tokens = Math.min(this.#tokensMax, this.#tokens + tokens * this.#ratio);
	}

	/** Takes what a copy may cost; false when that is not there. */
	take(tokens: number): boolean {
		if (tokens > this.#tokens) return false;
		this.#tokens -= tokens;
		return true;
	}

	/** What was taken turned out to be more or less. Debt is paid off before the next copy. */
	settle(taken: number, spent: number): void {
		this.#tokens = Math.min(this.#tokensMax, this.#tokens + taken - spent);
	}
}
