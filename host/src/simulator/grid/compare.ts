// Owns what a grid says about strategies: their means, and each against the baseline over paired replications. The replications are all there
// are in the grid, so shares of them are facts about the grid and carry no interval; the one thing drawn is the seed, and the interval given is
// over seeds with everything else of the grid held fixed.
import { BettingSequence } from '../../statistics/betting.js';
import type { Interval } from '../../statistics/interval.js';
import { fallbacksOf } from './metrics.js';
import type { CellOutcome } from './outcome.js';
import type { Replication } from './plan.js';
import type { CellRecord } from './run.js';

/** A difference in goodput up to this is a tie: half a percentage point. */
export const TIE_MARGIN = 0.005;

/** Means over cells; times in milliseconds, shares of 1. */
export interface StrategyMeans {
	readonly cells: number;
	readonly ttftMeanMs: number;
	readonly ttftP50Ms: number;
	readonly ttftP99Ms: number;
	readonly tpotP99Ms: number;
	readonly e2eMeanMs: number;
	readonly hitRatio: number;
	readonly goodput: number;
	readonly imbalance: number;
	/** Requests that did not finish, of all. */
	readonly failRatio: number;
	readonly preemptions: number;
	readonly retries: number;
	readonly hedges: number;
	readonly hedgeWaste: number;
	readonly fetches: number;
	/** Over those held. */
	readonly heldMeanMs: number;
	readonly regretMs: number;
	/** Null of a native library, like the next: it is not metered. */
	readonly fuelMean: number | null;
	readonly fuelMax: number | null;
	/** Sum over cells. */
	readonly fallbacks: number;
	/** Of the first that trapped. */
	readonly trap: string | null;
	readonly goodputs: Readonly<Record<string, number>>;
}

export interface Paired {
	readonly replication: Replication;
	/** Candidate − baseline. */
	readonly goodput: number;
	/** Candidate / baseline; above 1 is slower. */
	readonly ttftRatio: number;
}

export interface Comparison {
	/** Replications in which both were run to the end. */
	readonly replications: number;
	readonly wins: number;
	readonly ties: number;
	readonly losses: number;
	/** wins / replications. */
	readonly winRate: number;
	/** Mean difference in goodput, candidate − baseline. */
	readonly margin: number;
	/** Geometric mean of the ratios of mean TTFT. */
	readonly ttftRatio: number;
	/** Of the margin, over seeds, anytime-valid at 95 %; null with fewer than two seeds that are complete. */
	readonly marginOverSeeds: (Interval & { readonly seeds: number }) | null;
	/** Least difference in goodput; among equals the largest ratio of mean TTFT. */
	readonly worst: Paired | null;
}

/** Orders pairs by how much was lost: goodput, and time to first token among those that lost the same, as where every request was good. */
export function worseFirst(a: Paired, b: Paired): number {
	return a.goodput - b.goodput || b.ttftRatio - a.ttftRatio;
}

type Done = CellRecord & { readonly state: 'done' };

/** Ran to its end: what was stopped on the way is compared with nothing. */
export function isDone(record: CellRecord): record is Done {
	return record.state === 'done' && record.outcome.partial === undefined;
}

/** Means over the cells of one strategy; null for none. */
export function meansOf(outcomes: readonly CellOutcome[]): StrategyMeans | null {
	if (outcomes.length === 0) return null;
	const count = outcomes.length;
	const mean = (read: (outcome: CellOutcome) => number): number =>
		outcomes.reduce((sum, outcome) => sum + read(outcome), 0) / count;
	const costs = outcomes.map((outcome) => outcome.costs.at(-1));
	const metered = costs.some((cost) => cost !== undefined && cost.fuelMean !== null);
	const slos = Object.keys(outcomes[0]?.goodputs ?? {});
	return {
		cells: count,
		ttftMeanMs: mean(({ summary }) => summary.ttft.mean),
		ttftP50Ms: mean(({ summary }) => summary.ttft.p50),
		ttftP99Ms: mean(({ summary }) => summary.ttft.p99),
		tpotP99Ms: mean(({ summary }) => summary.tpot.p99),
		e2eMeanMs: mean(({ summary }) => summary.e2e.mean),
		hitRatio: mean(({ summary }) => summary.hitRatio),
		goodput: mean(({ summary }) => summary.goodput),
		imbalance: mean(({ summary }) => summary.imbalance),
		failRatio: mean(({ summary }) => (summary.requests - summary.finished) / Math.max(1, summary.requests)),
		preemptions: mean(({ summary }) => summary.preemptions),
		retries: mean(({ summary }) => summary.retries),
		hedges: mean(({ summary }) => summary.hedges),
		hedgeWaste: mean(({ summary }) => summary.hedgeWaste),
		fetches: mean(({ summary }) => summary.fetches),
		heldMeanMs: mean(({ summary }) => summary.held.mean),
		regretMs: mean(({ summary }) => summary.regretMs),
		fuelMean: metered ? costs.reduce((sum, cost) => sum + (cost?.fuelMean ?? 0), 0) / count : null,
		fuelMax: metered ? Math.max(...costs.map((cost) => cost?.fuelMax ?? 0)) : null,
		fallbacks: costs.reduce((sum, cost) => sum + (cost === undefined ? 0 : fallbacksOf(cost)), 0),
		trap: costs.find((cost) => cost?.trap !== undefined)?.trap ?? null,
		goodputs: Object.fromEntries(slos.map((name) => [name, mean((outcome) => outcome.goodputs[name] ?? 0)])),
	};
}

/** Compares `strategy` with `baseline` over the replications that both ran to the end. */
export function compare(records: readonly CellRecord[], strategy: number, baseline: number): Comparison {
	const pairs = pairsOf(records, strategy, baseline);
	const wins = pairs.filter(({ goodput }) => goodput > TIE_MARGIN).length;
	const losses = pairs.filter(({ goodput }) => goodput < -TIE_MARGIN).length;
	const logs = pairs.reduce((sum, { ttftRatio }) => sum + Math.log(ttftRatio), 0);
	return {
		replications: pairs.length,
		wins,
		ties: pairs.length - wins - losses,
		losses,
		winRate: pairs.length === 0 ? 0 : wins / pairs.length,
		margin: pairs.length === 0 ? 0 : pairs.reduce((sum, { goodput }) => sum + goodput, 0) / pairs.length,
		ttftRatio: pairs.length === 0 ? 1 : Math.exp(logs / pairs.length),
		marginOverSeeds: overSeeds(pairs),
		worst: pairs.toSorted(worseFirst)[0] ?? null,
	};
}

function pairsOf(records: readonly CellRecord[], strategy: number, baseline: number): Paired[] {
	const control = new Map<Replication, CellOutcome>();
	for (const record of records)
		if (isDone(record) && record.strategy === baseline) control.set(record.replication, record.outcome);
	return records.flatMap((record) => {
		const other = control.get(record.replication);
		if (!isDone(record) || record.strategy !== strategy || other === undefined) return [];
		const mine = record.outcome.summary;
		return {
			replication: record.replication,
			goodput: mine.goodput - other.summary.goodput,
			ttftRatio: (mine.ttft.mean + RATIO_FLOOR_MS) / (other.summary.ttft.mean + RATIO_FLOOR_MS),
		};
	});
}

/** Keeps a ratio of two times finite: a microsecond. */
const RATIO_FLOOR_MS = 0.001;

/** A seed counts when all its replications are there: its value is then the mean over the same grid as every other's. */
function overSeeds(pairs: readonly Paired[]): Comparison['marginOverSeeds'] {
	const bySeed = Map.groupBy(pairs, ({ replication }) => replication.seed);
	const most = Math.max(0, ...[...bySeed.values()].map((group) => group.length));
	const complete = [...bySeed.values()].filter((group) => group.length === most);
	if (complete.length < 2) return null;
	const sequence = new BettingSequence({ range: { lower: -1, upper: 1 } });
	for (const group of complete) sequence.observe(group.reduce((sum, { goodput }) => sum + goodput, 0) / group.length);
	return { ...sequence.interval, seeds: complete.length };
}
