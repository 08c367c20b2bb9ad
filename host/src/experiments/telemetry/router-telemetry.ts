// Owns what a router has counted of experiments since it started, and the answer to a controller that asks. Bounded: blocks that have been read are forgotten, and
// beyond the bound the cohort heard of longest ago.
import { CohortBook, type CohortDelta } from '../cohorts/book.js';
import { cohortOf } from '../cohorts/cohort.js';
import type { ReadingAsk, RouterReading, TargetReading } from './reading.js';

/** Cohorts of all experiments, of blocks not read yet: about 2.5 KiB each. */
const COHORTS_MAX = 512;

export interface RouterTelemetryPorts {
	/** Of this process. */
	readonly incarnation: string;
	/** Block of a model's experiment that the workers follow. */
	readonly blockOf: (model: string, tag: number) => number | undefined;
	readonly targetsOf: (model: string) => readonly TargetReading[];
}

export class RouterTelemetry {
	readonly #ports: RouterTelemetryPorts;
	readonly #book = new CohortBook(COHORTS_MAX);

	constructor(ports: RouterTelemetryPorts) {
		this.#ports = ports;
	}

	/** From a worker. */
	merge(deltas: readonly CohortDelta[]): void {
		this.#book.merge(deltas);
	}

	read({ tag, model, fromBlock }: ReadingAsk): RouterReading {
		this.#book.retain((cohort) => {
			const place = cohortOf(cohort);
			return place.tag !== tag || place.block >= fromBlock;
		});
		return {
			incarnation: this.#ports.incarnation,
			block: this.#ports.blockOf(model, tag),
			cohorts: [...this.#book.entries()]
				.filter(([cohort]) => cohortOf(cohort).tag === tag)
				.map(([cohort, { cells }]) => ({ cohort, cells: cells.slice() })),
			targets: this.#ports.targetsOf(model),
		};
	}
}
