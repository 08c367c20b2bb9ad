// Owns what the mesh learns of one target from its own traffic: smoothed and p95 TTFT and TPOT, error ratio, prefill and decode rates.
// Bounded memory per target; the caller gives the clock.

/** Values kept for percentiles. */
const WINDOW = 128;
/** Observations a rate needs before it replaces the initial value. */
const RATE_OBSERVATIONS_MIN = 8;
/** Shorter prompts say little of the prefill rate: fixed costs dominate them. */
const RATE_TOKENS_MIN = 64;
/** Percentile of observed per-request prefill rates: queueing only lowers a rate, so a high one is nearest to the engine's own. */
const PREFILL_RATE_QUANTILE = 0.9;

/** A smaller error ratio is none. */
const ERROR_RATIO_MIN = 0.001;

const none = new Float32Array(0);

/** The last so many values, kept in order of size too: quantiles are read with every report, values come once a request. */
class Window {
	/** Made with the first value: most of a large fleet's targets are seldom used. */
	#values = none;
	#sorted = none;
	#count = 0;
	#next = 0;

	add(value: number): void {
		if (this.#values === none) {
			this.#values = new Float32Array(WINDOW);
			this.#sorted = new Float32Array(WINDOW);
		}
		if (this.#count === WINDOW) this.#drop(this.#values[this.#next] as number);
		this.#values[this.#next] = value;
		this.#insert(this.#values[this.#next] as number);
		this.#next = (this.#next + 1) % WINDOW;
	}

	get count(): number {
		return this.#count;
	}

	/** Nearest-rank quantile; 0 when empty. */
	quantile(q: number): number {
		if (this.#count === 0) return 0;
		return this.#sorted[Math.min(this.#count - 1, Math.ceil(q * this.#count) - 1)] as number;
	}

	#insert(value: number): void {
		const at = this.#rank(value);
		this.#sorted.copyWithin(at + 1, at, this.#count++);
		this.#sorted[at] = value;
	}

	#drop(value: number): void {
		const at = this.#rank(value);
		this.#sorted.copyWithin(at, at + 1, this.#count--);
	}

	/** How many are smaller. */
	#rank(value: number): number {
		let low = 0;
		let high = this.#count;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.#sorted[middle] as number) < value) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

/** Exponential smoothing with a time constant, so that its memory is a duration and not a number of requests. */
class Smoothed {
	#value = 0;
	#atMs: number | undefined;
	readonly #timeConstantMs: number;

	constructor(timeConstantMs: number) {
		this.#timeConstantMs = timeConstantMs;
	}

	add(value: number, nowMs: number): void {
		if (this.#atMs === undefined) this.#value = value;
		else {
			// Several observations in one instant still count: each is given at least a fiftieth of the time constant.
			const elapsedMs = Math.max(nowMs - this.#atMs, this.#timeConstantMs / 50);
			this.#value += (value - this.#value) * (1 - Math.exp(-elapsedMs / this.#timeConstantMs));
		}
		this.#atMs = nowMs;
	}

	get value(): number {
		return this.#value;
	}
}

/** One ended attempt, as far as learning needs it. */
export interface Observation {
	readonly ok: boolean;
	/** 0 = no token came. */
	readonly ttftMs: number;
	readonly tpotMs: number;
	readonly uncachedTokens: number;
	/** Requests decoding on the target beside this one, itself included. */
	readonly concurrent: number;
}

export class LearnedSignals {
	readonly #ttft: Smoothed;
	readonly #tpot: Smoothed;
	#errors: Smoothed;
	readonly #ttftWindow = new Window();
	readonly #tpotWindow = new Window();
	readonly #prefillRates = new Window();
	readonly #decodeRates = new Window();
	readonly #timeConstantMs: number;
	observedMs = 0;

	constructor(timeConstantMs: number) {
		this.#timeConstantMs = timeConstantMs;
		this.#ttft = new Smoothed(timeConstantMs);
		this.#tpot = new Smoothed(timeConstantMs);
		this.#errors = new Smoothed(timeConstantMs);
	}

	add(observation: Observation, nowMs: number): void {
		this.observedMs = nowMs;
		this.#errors.add(observation.ok ? 0 : 1, nowMs);
		if (!observation.ok) return;
		const { ttftMs, tpotMs, uncachedTokens, concurrent } = observation;
		if (ttftMs > 0) {
			this.#ttft.add(ttftMs, nowMs);
			this.#ttftWindow.add(ttftMs);
			if (uncachedTokens >= RATE_TOKENS_MIN) this.#prefillRates.add((uncachedTokens * 1000) / ttftMs);
		}
		if (tpotMs > 0) {
			this.#tpot.add(tpotMs, nowMs);
			this.#tpotWindow.add(tpotMs);
			this.#decodeRates.add((Math.max(1, concurrent) * 1000) / tpotMs);
		}
	}

	/** The target came back from being out: what it is given now is slow start's to say, not the memory of why it was out. */
	forgetErrors(): void {
		this.#errors = new Smoothed(this.#timeConstantMs);
	}

	get ttftMs(): number {
		return this.#ttft.value;
	}

	get ttftP95Ms(): number {
		return this.#ttftWindow.quantile(0.95);
	}

	get tpotMs(): number {
		return this.#tpot.value;
	}

	get tpotP95Ms(): number {
		return this.#tpotWindow.quantile(0.95);
	}

	/**
	 * Smoothed failed share of its requests, forgotten at the same rate while there are none: a target that is avoided for its errors would
	 * otherwise never be tried again.
	 */
	errorRatioAt(nowMs: number): number {
		if (this.#errors.value === 0) return 0;
		const idleMs = Math.max(0, nowMs - this.observedMs);
		const ratio = this.#errors.value * Math.exp(-idleMs / this.#timeConstantMs);
		return ratio < ERROR_RATIO_MIN ? 0 : ratio;
	}

	/** Prompt tokens a second while busy, or undefined until enough has been seen. */
	get prefillRate(): number | undefined {
		return this.#prefillRates.count < RATE_OBSERVATIONS_MIN
			? undefined
			: this.#prefillRates.quantile(PREFILL_RATE_QUANTILE);
	}

	/** Output tokens a second over all sequences, or undefined until enough has been seen. */
	get decodeRate(): number | undefined {
		return this.#decodeRates.count < RATE_OBSERVATIONS_MIN ? undefined : this.#decodeRates.quantile(0.5);
	}
}
