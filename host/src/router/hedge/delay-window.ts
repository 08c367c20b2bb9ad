// Owns the adaptive delay of one model in one worker: a quantile of its recent times to first token. Values are kept in a ring and sorted
// once in a while, not per request.

const VALUES = 256;
/** Values before a quantile says anything. */
const VALUES_MIN = 32;
/** New values after which the quantile is computed again. */
const REFRESH = 32;

export class DelayWindow {
	readonly #values = new Float32Array(VALUES);
	readonly #quantile: number;
	#count = 0;
	#next = 0;
	#sinceRefresh = 0;
	#delayMs: number | undefined;

	constructor(quantile: number) {
		this.#quantile = quantile;
	}

	/** Undefined until enough has been seen. */
	get delayMs(): number | undefined {
		return this.#delayMs;
	}

	/** A time to first token; that of an attempt given up counts as what it had waited, or slow ones would never be in it. */
	add(ttftMs: number): void {
		this.#values[this.#next] = ttftMs;
		this.#next = (this.#next + 1) % VALUES;
		if (this.#count < VALUES) this.#count++;
		this.#sinceRefresh++;
		if (this.#count < VALUES_MIN || (this.#delayMs !== undefined && this.#sinceRefresh < REFRESH)) return;
		this.#sinceRefresh = 0;
		const sorted = this.#values.slice(0, this.#count).sort();
		this.#delayMs = sorted[Math.min(this.#count - 1, Math.ceil(this.#quantile * this.#count) - 1)] as number;
	}
}
