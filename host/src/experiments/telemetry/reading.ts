// Owns what one router tells of an experiment, and how it crosses between nodes. Counts are totals since the router's process started: a reading that is lost
// costs nothing, and who reads may be another node each time.
import type { ReadReply } from '@infermesh/proto/grpc/experiments/v1/experiments';
import { COUNT_CELLS } from '../cohorts/counts.js';

export interface CohortReading {
	/** See `cohorts/cohort.ts`. */
	readonly cohort: number;
	/** COUNT_CELLS cells. */
	readonly cells: Float64Array;
}

export interface TargetReading {
	readonly id: string;
	/** Requests this router has there now. */
	readonly inFlight: number;
	/** Waiting in the engine at its last report; undefined when it does not say. */
	readonly waiting: number | undefined;
}

export interface RouterReading {
	/** Of the router's process: with another one, counts begin again at nothing. */
	readonly incarnation: string;
	/** Of the experiment, as the router follows it; undefined while it follows none. */
	readonly block: number | undefined;
	readonly cohorts: readonly CohortReading[];
	readonly targets: readonly TargetReading[];
}

/** What a controller asks of a router. */
export interface ReadingAsk {
	readonly tag: number;
	readonly model: string;
	/** Blocks before this one have been read, and may be forgotten. */
	readonly fromBlock: number;
}

export function toReply({ incarnation, block, cohorts, targets }: RouterReading): ReadReply {
	return {
		incarnation,
		block,
		cohorts: cohorts.map(({ cohort, cells }) => ({ cohort, cells: withoutTrailingZeros(cells) })),
		targets: targets.map(({ id, inFlight, waiting }) => ({ id, inFlight, waiting })),
	};
}

/** A later version may count more: what this one does not know is left out. */
export function fromReply({ incarnation, block, cohorts, targets }: ReadReply): RouterReading {
	return {
		incarnation,
		block,
		cohorts: cohorts.map(({ cohort, cells }) => {
			const known = new Float64Array(COUNT_CELLS);
			known.set(cells.slice(0, COUNT_CELLS));
			return { cohort, cells: known };
		}),
		targets: targets.map(({ id, inFlight, waiting }) => ({ id, inFlight, waiting })),
	};
}

function withoutTrailingZeros(cells: Float64Array): number[] {
	let length = cells.length;
	while (length > 0 && cells[length - 1] === 0) length--;
	return Array.from(cells.subarray(0, length));
}
