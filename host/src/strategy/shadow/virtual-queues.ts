// Owns the virtual queues of one pool: what its targets would have in flight and waiting if one policy's choices were followed. Prompts are served one after
// another at each target's learned rate, answers decode beside each other at its learned time per token. The same model for whoever is looked at, so that
// what it leaves out (batching, evictions) is left out for all.
import { Histogram, type HistogramCounts } from '../../load/histogram.js';
import { CompletionHeap } from './completion-heap.js';

/** Requests in service at once, over all rows of a pool; beyond it the one that ends next is taken to have ended. */
const IN_SERVICE_MAX = 16_384;
/** With less than this in flight at a target on average, it says nothing that one has more than others. */
const BUSY_MEAN_MIN = 0.5;
/** Arrivals of a window over which work is compared: enough that chance alone makes no target look full, few enough that a herd which moves on is seen. */
const WINDOW_MIN = 32;
const WINDOW_PER_ROW = 8;
const HISTOGRAM_BITS = 5;

export interface QueueCounts {
	readonly arrivals: number;
	/** Milliseconds that arriving requests found waiting before them. */
	readonly waitMs: HistogramCounts;
	/** In windows of arrivals: work of the target that got most, over the mean; summed over the windows in which the pool was busy. */
	readonly imbalanceSum: number;
	readonly imbalanceCount: number;
	readonly imbalanceMax: number;
	/** Requests by row. */
	readonly shares: Float64Array;
}

export class VirtualQueues {
	/** Requests in flight by row. */
	readonly inflight: Float64Array;
	/** Milliseconds of prompts waiting by row. */
	readonly workMs: Float64Array;
	readonly #shares: Float64Array;
	readonly #completions = new CompletionHeap(IN_SERVICE_MAX);
	readonly #waits = new Histogram({ bits: HISTOGRAM_BITS });
	/** Work given to each row in the present window, milliseconds in service. */
	readonly #windowMs: Float64Array;
	#windowArrivals = 0;
	#windowFromMs = 0;
	#nowMs = 0;
	#arrivals = 0;
	#imbalanceSum = 0;
	#imbalanceCount = 0;
	#imbalanceMax = 0;

	constructor(rows: number) {
		this.inflight = new Float64Array(rows);
		this.workMs = new Float64Array(rows);
		this.#shares = new Float64Array(rows);
		this.#windowMs = new Float64Array(rows);
	}

	/** Time passes: prompts are worked off, and what is due ends. */
	advance(nowMs: number): void {
		const passedMs = nowMs - this.#nowMs;
		this.#nowMs = nowMs;
		if (passedMs > 0)
			for (let row = 0; row < this.workMs.length; row++)
				this.workMs[row] = Math.max(0, (this.workMs[row] as number) - passedMs);
		while (this.#completions.nextMs <= nowMs) this.#end();
	}

	/**
	 * `weight` requests go to `row`: each takes `prefillMs` of its prompts' server and then `decodeMs`. `open` = rows that can be chosen. Call `advance`
	 * first.
	 */
	arrive(row: number, prefillMs: number, decodeMs: number, weight: number, open: number): void {
		const waitMs = this.workMs[row] as number;
		this.#arrivals++;
		this.#waits.record(waitMs);
		this.workMs[row] = waitMs + weight * prefillMs;
		this.inflight[row] = (this.inflight[row] as number) + weight;
		this.#shares[row] = (this.#shares[row] as number) + weight;
		if (this.#completions.full) this.#end();
		this.#completions.push(this.#nowMs + waitMs + weight * prefillMs + decodeMs, row, weight);
		this.#windowMs[row] = (this.#windowMs[row] as number) + weight * (prefillMs + decodeMs);
		if (this.#windowArrivals++ === 0) this.#windowFromMs = this.#nowMs;
		if (this.#windowArrivals >= Math.max(WINDOW_MIN, WINDOW_PER_ROW * open)) this.#closeWindow(open);
	}

	counts(): QueueCounts {
		return {
			arrivals: this.#arrivals,
			waitMs: this.#waits.counts(),
			imbalanceSum: this.#imbalanceSum,
			imbalanceCount: this.#imbalanceCount,
			imbalanceMax: this.#imbalanceMax,
			shares: this.#shares.slice(),
		};
	}

	#end(): void {
		const { row, weight } = this.#completions;
		this.#completions.pop();
		this.inflight[row] = Math.max(0, (this.inflight[row] as number) - weight);
	}

	#closeWindow(open: number): void {
		let total = 0;
		let most = 0;
		for (const work of this.#windowMs) {
			total += work;
			most = Math.max(most, work);
		}
		// Little's law: work given a millisecond is requests in flight.
		const passedMs = this.#nowMs - this.#windowFromMs;
		const inflight = passedMs > 0 && open > 0 ? total / passedMs / open : 0;
		if (inflight >= BUSY_MEAN_MIN) {
			const imbalance = (most * open) / total;
			this.#imbalanceSum += imbalance;
			this.#imbalanceCount++;
			this.#imbalanceMax = Math.max(this.#imbalanceMax, imbalance);
		}
		this.#windowMs.fill(0);
		this.#windowArrivals = 0;
	}
}
