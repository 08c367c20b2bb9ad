// Owns the figures of a log's syncs: how many, how long, and the quantiles of the last ones.

export interface SyncFigures {
	readonly count: number;
	readonly totalMicros: number;
	/** Of the last syncs; 0 when there was none. */
	readonly p50Micros: number;
	readonly p99Micros: number;
	readonly maxMicros: number;
}

const REMEMBERED = 1024;

export class SyncTimes {
	readonly #ring = new Float64Array(REMEMBERED);
	#count = 0;
	#totalMicros = 0;

	add(micros: number): void {
		this.#ring[this.#count % REMEMBERED] = micros;
		this.#count++;
		this.#totalMicros += micros;
	}

	figures(): SyncFigures {
		const last = this.#ring.slice(0, Math.min(this.#count, REMEMBERED)).sort();
		// Nearest rank.
		const quantile = (share: number): number => last[Math.max(0, Math.ceil(share * last.length) - 1)] ?? 0;
		return {
			count: this.#count,
			totalMicros: this.#totalMicros,
			p50Micros: quantile(0.5),
			p99Micros: quantile(0.99),
			maxMicros: quantile(1),
		};
	}
}
