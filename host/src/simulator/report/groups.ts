// Owns cutting a report by setting and load: replications that differ in nothing but their seed belong together.
import type { StrategyMeans } from '../grid/compare.js';
import { meansOf } from '../grid/compare.js';
import { type Replication, settingName } from '../grid/plan.js';
import { type ReportedCell, type SimulationReport, wholeOutcome } from './document.js';

export interface Group {
	/** Setting and load. */
	readonly name: string;
	readonly setting: string;
	readonly load: number;
	readonly cells: readonly ReportedCell[];
	/** In the order of the strategies; null without cells. */
	readonly means: readonly (StrategyMeans | null)[];
}

/** Positions of strategies, the least mean time to first token first, those without a mean last: so tables read from the best down. */
export function ranked(means: readonly (StrategyMeans | null)[]): number[] {
	const key = (index: number): number => means[index]?.ttftMeanMs ?? Number.MAX_VALUE;
	return means.map((_, index) => index).toSorted((a, b) => key(a) - key(b));
}

export function groupsOf(report: SimulationReport): Group[] {
	const byName = Map.groupBy(report.cells, (cell) => groupName(cell));
	return [...byName].map(([name, cells]) => {
		const [first] = cells;
		return {
			name,
			setting: first === undefined ? '' : settingName(first),
			load: first?.load ?? 1,
			cells,
			means: report.strategies.map(({ label }) =>
				meansOf(cells.flatMap((cell) => (cell.strategy === label ? (wholeOutcome(cell) ?? []) : []))),
			),
		};
	});
}

function groupName(cell: Replication): string {
	const setting = settingName(cell);
	const load = `load ${cell.load}${cell.speed === cell.load ? '' : ` (speed ${cell.speed.toPrecision(3)})`}`;
	return setting === '' ? load : `${setting}, ${load}`;
}

/** A replication as a reader is told of it. */
export function describeReplication(replication: Replication): string {
	return `${groupName(replication)}, seed ${replication.seed}`;
}
