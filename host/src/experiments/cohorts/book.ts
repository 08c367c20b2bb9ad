// Owns the counts of the cohorts that are being heard of, in one thread. Bounded: the cohort heard of longest ago makes room. A worker's book is drained a few
// times a second into that of its agent, which keeps the last blocks until the experiment's controller has read them.
import { CohortCounts } from './counts.js';

/** What a worker hands over. */
export interface CohortDelta {
	readonly cohort: number;
	readonly cells: Float64Array;
}

export class CohortBook {
	readonly #cohortsMax: number;
	/** In the order in which they were last new. */
	readonly #cohorts = new Map<number, CohortCounts>();

	constructor(cohortsMax: number) {
		this.#cohortsMax = cohortsMax;
	}

	/** The counts of a cohort, made when it is heard of for the first time. */
	of(cohort: number): CohortCounts {
		return this.#cohorts.get(cohort) ?? this.#open(cohort);
	}

	get(cohort: number): CohortCounts | undefined {
		return this.#cohorts.get(cohort);
	}

	get size(): number {
		return this.#cohorts.size;
	}

	entries(): IterableIterator<[number, CohortCounts]> {
		return this.#cohorts.entries();
	}

	merge(deltas: readonly CohortDelta[]): void {
		for (const { cohort, cells } of deltas) this.of(cohort).merge(new CohortCounts(cells));
	}

	/** Hands over what there is, and begins anew. */
	drain(): CohortDelta[] {
		const deltas = [...this.#cohorts].map(([cohort, { cells }]) => ({ cohort, cells }));
		this.#cohorts.clear();
		return deltas;
	}

	/** Forgets what `wanted` does not hold of. */
	retain(wanted: (cohort: number) => boolean): void {
		for (const cohort of this.#cohorts.keys()) if (!wanted(cohort)) this.#cohorts.delete(cohort);
	}

	#open(cohort: number): CohortCounts {
		for (const oldest of this.#cohorts.keys()) {
			if (this.#cohorts.size < this.#cohortsMax) break;
			this.#cohorts.delete(oldest);
		}
		const counts = new CohortCounts();
		this.#cohorts.set(cohort, counts);
		return counts;
	}
}
