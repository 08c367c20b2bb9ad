// Owns what a grid keeps of one simulation: its summary, costs and digest, and of the rest as much as a report draws. Bounded whatever the number
// of requests and targets, so that thousands of cells fit in memory and cross threads cheaply.
import { Histogram } from '../../load/histogram.js';
import type { RequestRows, SimulationResult, SimulationSummary, StrategyCosts, TargetTotals } from '../result.js';
import { requestStatuses } from '../result.js';
import type { SloSpec } from '../spec.js';

/** Points of a curve, and targets told apart. */
const CURVE_POINTS = 64;
const TARGETS_SHOWN_MAX = 12;

/** Pairs of milliseconds and the fraction at or below. */
export type Curve = readonly (readonly [ms: number, fraction: number])[];

export interface TargetTimeline {
	readonly id: string;
	readonly inflight: readonly number[];
	readonly waiting: readonly number[];
	readonly kvUsage: readonly number[];
}

export interface CellTimelines {
	readonly binMs: number;
	/** Mean TTFT of the requests that arrived in the bin; null = none did. */
	readonly ttftMs: readonly (number | null)[];
	/** Those with the most requests in flight at their peak. */
	readonly targets: readonly TargetTimeline[];
	/** Targets left out. */
	readonly others: number;
}

export interface CellOutcome {
	readonly summary: SimulationSummary;
	/** One an arm. */
	readonly costs: readonly StrategyCosts[];
	readonly digest: string;
	/** Share of good requests under each further objective. */
	readonly goodputs: Readonly<Record<string, number>>;
	readonly curves: { readonly ttft: Curve; readonly tpot: Curve };
	/** The busiest. */
	readonly targets: readonly TargetTotals[];
	readonly timelines?: CellTimelines;
	readonly simulatedMs: number;
	readonly wallMs: number;
	readonly events: number;
	/** Why the run could not be carried through; the rest is then of its part. */
	readonly partial?: string;
	readonly workload: {
		readonly name: string;
		readonly requests: number;
		/** From the first arrival to the last, as the workload has them. */
		readonly spanMs: number;
		readonly notes: readonly string[];
	};
}

/** Condenses a result. `slos` need its rows. */
export function condense(
	result: SimulationResult,
	slos: Readonly<Record<string, SloSpec>>,
	workload: CellOutcome['workload'],
): CellOutcome {
	const { rows } = result;
	const timelines = timelinesOf(result);
	return {
		summary: result.summary,
		costs: result.strategies,
		digest: result.digest,
		goodputs: Object.fromEntries(
			rows === undefined ? [] : Object.entries(slos).map(([name, slo]) => [name, goodputUnder(rows, slo)]),
		),
		curves: { ttft: curve(rows?.ttftMs), tpot: curve(rows?.tpotMs) },
		targets: result.targets.toSorted((a, b) => b.busyShare - a.busyShare).slice(0, TARGETS_SHOWN_MAX),
		...(timelines === undefined ? {} : { timelines }),
		simulatedMs: result.simulatedMs,
		wallMs: result.wallMs,
		events: result.events,
		...(result.partial === undefined ? {} : { partial: result.partial }),
		workload,
	};
}

const FINISHED = requestStatuses.indexOf('finished');

/** Share of all requests that finished within `slo`; a request of one token has no time per further token to break it. */
export function goodputUnder(rows: RequestRows, slo: SloSpec): number {
	const count = rows.status.length;
	let good = 0;
	for (let i = 0; i < count; i++) {
		const ttftMs = rows.ttftMs[i] ?? -1;
		if (rows.status[i] !== FINISHED || ttftMs < 0) continue;
		const limitMs = slo.ttftMs + slo.ttftPerTokenMs * (rows.inputTokens[i] ?? 0);
		if (ttftMs <= limitMs && (rows.tpotMs[i] ?? 0) <= slo.tpotMs) good++;
	}
	return count === 0 ? 0 : good / count;
}

function curve(values: Float64Array | undefined): Curve {
	const histogram = new Histogram();
	for (const value of values ?? []) if (value >= 0) histogram.record(value);
	return histogram.cdf(CURVE_POINTS).map(({ value, fraction }) => [short(value), short(fraction)]);
}

function timelinesOf({ timelines, targets }: SimulationResult): CellTimelines | undefined {
	if (timelines === undefined || timelines.bins === 0) return undefined;
	const { bins } = timelines;
	const part = (values: Float32Array, target: number): number[] =>
		Array.from(values.subarray(target * bins, (target + 1) * bins), short);
	const peaks = targets.map((_, index) => ({ index, peak: Math.max(...part(timelines.inflight, index)) }));
	const shown = peaks.toSorted((a, b) => b.peak - a.peak).slice(0, TARGETS_SHOWN_MAX);
	return {
		binMs: timelines.binMs,
		ttftMs: Array.from(timelines.ttftMs, (value) => (value < 0 ? null : short(value))),
		targets: shown
			.toSorted((a, b) => a.index - b.index)
			.map(({ index }) => ({
				id: targets[index]?.id ?? '',
				inflight: part(timelines.inflight, index),
				waiting: part(timelines.waiting, index),
				kvUsage: part(timelines.kvUsage, index),
			})),
		others: targets.length - shown.length,
	};
}

/** Enough digits for a drawing. */
function short(value: number): number {
	return Number(value.toPrecision(5));
}
