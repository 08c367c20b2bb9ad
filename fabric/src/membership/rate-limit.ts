// Owns a bound on how often something costly may be done: a bucket of tokens that fills with time.

export class RateLimit {
	readonly #perSecond: number;
	readonly #burst: number;
	#tokens: number;
	#atMs = Number.NEGATIVE_INFINITY;

	constructor(perSecond: number, burst: number) {
		this.#perSecond = perSecond;
		this.#burst = burst;
		this.#tokens = burst;
	}

	/** `nowMs` is monotonic. False when this second's share is used up. */
	take(nowMs: number): boolean {
		if (nowMs > this.#atMs) {
			const passedMs = this.#atMs === Number.NEGATIVE_INFINITY ? 0 : nowMs - this.#atMs;
			this.#tokens = Math.min(this.#burst, this.#tokens + (passedMs / 1_000) * this.#perSecond);
			this.#atMs = nowMs;
		}
		if (this.#tokens < 1) return false;
		this.#tokens--;
		return true;
	}
}
