// Owns the sums of an experiment's counts as they stand in its record, and the figures that reports are made of.
import { COUNT_CELLS, CohortCounts } from '../cohorts/counts.js';
import type { ArmFigures } from '../design/report.js';
import { faultsOf, timeoutCauses, trapCauses } from './watch.js';

/** Without trailing zeros. */
export function compact({ cells }: CohortCounts): number[] {
	let length = cells.length;
	while (length > 0 && cells[length - 1] === 0) length--;
	return Array.from(cells.subarray(0, length));
}

export function expand(cells: readonly number[]): CohortCounts {
	const counts = new CohortCounts();
	counts.cells.set(cells.slice(0, COUNT_CELLS));
	return counts;
}

/** What was counted since `before`, of totals that only grow; maxima stay as they are. */
export function since(now: CohortCounts, before: CohortCounts): CohortCounts {
	const difference = new CohortCounts(now.cells.slice());
	difference.subtract(before);
	return difference;
}

export function added(cells: readonly number[], more: CohortCounts): number[] {
	const sum = expand(cells);
	sum.merge(more);
	return compact(sum);
}

export function armFigures(cells: readonly number[]): ArmFigures {
	const counts = expand(cells);
	return {
		requests: counts.get('begun'),
		decisions: counts.get('decisions'),
		decisionTimeouts: faultsOf(counts, timeoutCauses),
		traps: faultsOf(counts, trapCauses),
		decisionP50Us: counts.decisionQuantileUs(0.5),
		decisionP99Us: counts.decisionQuantileUs(0.99),
		hedged: counts.get('hedged'),
		hedgesWon: counts.get('hedgesWon'),
		tokensWasted: counts.get('tokensWasted'),
		tokensComputed: counts.get('tokensComputed'),
	};
}
