// Owns the answers the host gives when no strategy can: least_queue in plain TypeScript, and baseline_rr as the last resort. They read
// the pool's own view, never an instance's memory, so a faulty strategy cannot mislead them.
import type { PoolRows } from '../../fleet/pool-rows.js';
import type { Decision } from './decision.js';

export const LEAST_QUEUE_NAME = 'least_queue@builtin';
export const ROUND_ROBIN_NAME = 'baseline_rr@builtin';

/** Rows the fallback ranks, so that a retry need not decide again. */
const FALLBACK_RANKED = 2;

/** Which rows an answer may name. */
export type RowTest = (row: number) => boolean;

/**
 * Ranks the two rows with the least load that `mayTake` lets through (waiting + running, in-flight corrected). Equal loads go to the row that comes first
 * when counting from `ticket`, so that ties rotate. `out.count` is 0 when none may be taken.
 */
export function leastQueue(view: PoolRows, ticket: number, mayTake: RowTest, out: Decision): void {
	const rows = view.rowCount;
	let best = -1;
	let second = -1;
	let bestLoad = Number.POSITIVE_INFINITY;
	let secondLoad = Number.POSITIVE_INFINITY;
	const start = rows === 0 ? 0 : ticket % rows;
	for (let step = 0; step < rows; step++) {
		const row = start + step < rows ? start + step : start + step - rows;
		if (!mayTake(row)) continue;
		const load = view.load[row] as number;
		if (load < bestLoad) {
			second = best;
			secondLoad = bestLoad;
			best = row;
			bestLoad = load;
		} else if (load < secondLoad) {
			second = row;
			secondLoad = load;
		}
	}
	out.strategy = LEAST_QUEUE_NAME;
	out.count = best < 0 ? 0 : second < 0 ? 1 : FALLBACK_RANKED;
	if (best >= 0) {
		out.rows[0] = best;
		out.scores[0] = bestLoad;
	}
	if (second >= 0) {
		out.rows[1] = second;
		out.scores[1] = secondLoad;
	}
}

/** The last resort: the next row after `ticket` that `mayTake` lets through, looking at no signal at all. */
export function roundRobin(view: PoolRows, ticket: number, mayTake: RowTest, out: Decision): void {
	out.strategy = ROUND_ROBIN_NAME;
	out.count = 0;
	const rows = view.rowCount;
	for (let step = 0; step < rows; step++) {
		const row = (ticket + step) % rows;
		if (!mayTake(row)) continue;
		out.rows[0] = row;
		out.scores[0] = 0;
		out.count = 1;
		return;
	}
}
