// Owns learning, in the agent, how many requests each target is given at once, by this router and by all: one step with each report of its runtime, written where workers read it.
// Rows that stand for other cells are not limited here: their routers have queues of their own.
import { COLUMN_MAX_SEQUENCES, COLUMN_QUEUE_DEPTH, COLUMN_RUNNING } from '@infermesh/sdk';
import { type LimitOptions, nextLimit, type TargetLimits } from '../router/admission/target-limits.js';
import { type InflightReader, REQUESTS } from './inflight.js';
import type { TargetRecord } from './registry.js';
import type { FleetTableWriter } from './table.js';

export class LimitLearner {
	readonly #options: LimitOptions;
	readonly #table: FleetTableWriter;
	readonly #counters: InflightReader;
	readonly #limits: TargetLimits;
	/** Whose limit stands at a row: another target's says nothing of the one that has it now. */
	readonly #generations: Uint32Array;

	constructor(options: LimitOptions, table: FleetTableWriter, counters: InflightReader, limits: TargetLimits) {
		this.#options = options;
		this.#table = table;
		this.#counters = counters;
		this.#limits = limits;
		this.#generations = new Uint32Array(table.rowsMax);
	}

	/** A target has been added: nothing is known of it, or what the operator says, which is for all routers together. */
	added({ row, generation, spec }: TargetRecord): void {
		this.#generations[row] = generation;
		const limit = spec.cell === undefined ? this.#options.requestsMax : 0;
		this.#limits.set(row, limit);
		this.#limits.setOfMesh(row, limit);
	}

	/** What the runtime has reported is in the table. */
	reported({ row, generation, spec }: TargetRecord): void {
		if (spec.cell !== undefined || this.#options.requestsMax > 0 || this.#generations[row] !== generation) return;
		const report = {
			waiting: this.#table.getF32(COLUMN_QUEUE_DEPTH, row),
			running: this.#table.getF32(COLUMN_RUNNING, row),
			sequencesMax: this.#table.getF32(COLUMN_MAX_SEQUENCES, row),
			own: this.#counters.own(REQUESTS, row),
		};
		this.#limits.set(row, nextLimit(this.#limits.limit(row), report, this.#options));
		const all = { ...report, own: this.#counters.total(REQUESTS, row) };
		this.#limits.setOfMesh(row, nextLimit(this.#limits.ofMesh(row), all, this.#options));
	}
}
