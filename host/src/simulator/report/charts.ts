// Owns which charts a simulation report shows and how they are made: distributions, goodput against load, what happened when on which target.
import type { Chart, Series } from '../../load/report/chart.js';
import { cdfChart } from '../../load/report/charts.js';
import { formatMsTick, formatNumber } from '../../load/report/format.js';
import { linearAxis, timeAxis } from '../../load/report/scale.js';
import type { StrategyMeans } from '../grid/compare.js';
import type { CellOutcome, CellTimelines, Curve } from '../grid/outcome.js';
import { type SimulationReport, wholeOutcome } from './document.js';
import type { Group } from './groups.js';

const CURVE_POINTS = 64;
/** Settings that get charts over load. */
const SETTINGS_SHOWN_MAX = 6;
/** Strategies whose targets are drawn. */
const TARGET_CHARTS_MAX = 8;

/** Distributions of all strategies over the seeds of a group. */
export function distributionCharts(report: SimulationReport, group: Group): Chart[] {
	const curves = (read: (outcome: CellOutcome) => Curve): Record<string, Curve> =>
		Object.fromEntries(
			report.strategies.map(({ label }) => [
				label,
				pooled(
					group.cells.flatMap((cell) => {
						const outcome = cell.strategy === label ? wholeOutcome(cell) : undefined;
						return outcome === undefined ? [] : [read(outcome)];
					}),
				),
			]),
		);
	return [
		cdfChart(
			`Time to first token: ${group.name}`,
			curves((outcome) => outcome.curves.ttft),
		),
		cdfChart(
			`Time per output token: ${group.name}`,
			curves((outcome) => outcome.curves.tpot),
		),
	];
}

/** The distribution of all draws of several curves together, each with the same weight. */
export function pooled(curves: readonly Curve[]): Curve {
	const steps = curves.flatMap((curve) =>
		curve.map(([ms, fraction], index) => ({ ms, weight: (fraction - (curve[index - 1]?.[1] ?? 0)) / curves.length })),
	);
	let fraction = 0;
	const all = steps
		.toSorted((a, b) => a.ms - b.ms)
		.map(({ ms, weight }): [number, number] => {
			fraction += weight;
			return [ms, Math.min(1, fraction)];
		});
	const stride = Math.max(1, Math.ceil(all.length / CURVE_POINTS));
	return all.filter((_, index) => index % stride === 0 || index === all.length - 1);
}

/** Goodput and mean TTFT over load, for every setting that has more than one load. */
export function loadCharts(report: SimulationReport, groups: readonly Group[]): Chart[] {
	const bySetting = [...Map.groupBy(groups, ({ setting }) => setting)].filter(([, them]) => them.length > 1);
	return bySetting.slice(0, SETTINGS_SHOWN_MAX).flatMap(([setting, them]) => {
		const name = setting === '' ? '' : `: ${setting}`;
		const sorted = them.toSorted((a, b) => a.load - b.load);
		const goodput = overLoad(report, sorted, (means) => means.goodput * 100);
		const ttft = overLoad(report, sorted, (means) => means.ttftMeanMs);
		const loads = sorted.map(({ load }) => load);
		const low =
			Math.floor(Math.min(...goodput.flatMap(({ points }) => points.map(([, value]) => value ?? 100))) / 10) * 10;
		const common = {
			xUnit: 'n' as const,
			xLabel: report.scenario.grid.loads.of === 'capacity' ? 'share of the capacity' : 'speed',
			x: { kind: 'linear' as const, min: loads[0] ?? 0, max: loads.at(-1) ?? 1, ticks: loads },
			xTick: (value: number) => String(value),
			kind: 'line' as const,
		};
		const steps = low >= 80 ? 5 : low >= 50 ? 10 : 20;
		const ticks = Array.from({ length: Math.floor((100 - low) / steps) + 1 }, (_, index) => 100 - index * steps);
		return [
			{
				...common,
				title: `Goodput against load${name}`,
				yUnit: '%' as const,
				y: { kind: 'linear' as const, min: Math.min(low, 99), max: 100, ticks },
				yTick: (value: number) => `${value}%`,
				series: goodput,
			},
			{
				...common,
				title: `Mean time to first token against load${name}`,
				yUnit: 'ms' as const,
				y: linearAxis(Math.max(...ttft.flatMap(({ points }) => points.map(([, value]) => value ?? 0)))),
				yTick: formatMsTick,
				series: ttft,
			},
		];
	});
}

function overLoad(
	report: SimulationReport,
	groups: readonly Group[],
	read: (means: StrategyMeans) => number,
): Series[] {
	return report.strategies.map(({ label }, index) => ({
		name: label,
		points: groups.map(({ load, means }): [number, number | null] => {
			const mean = means[index];
			return [load, mean === null || mean === undefined ? null : read(mean)];
		}),
	}));
}

/** TTFT of all strategies over time, then requests in flight by target for each, in one replication. */
export function timelineCharts(report: SimulationReport, group: Group, seed: number): Chart[] {
	const found = report.strategies.flatMap(({ label }) => {
		const cell = group.cells.find((it) => it.strategy === label && it.seed === seed);
		const timelines = cell === undefined ? undefined : wholeOutcome(cell)?.timelines;
		return timelines === undefined ? [] : [{ label, timelines }];
	});
	if (found.length === 0) return [];
	const ttft = found.map(({ label, timelines }) => ({ name: label, points: overTime(timelines, timelines.ttftMs) }));
	const title = `${group.name}, seed ${seed}`;
	const peak = Math.max(1, ...found.flatMap(({ timelines }) => timelines.targets.flatMap(({ inflight }) => inflight)));
	return [
		timeChart(`Time to first token by arrival: ${title}`, found[0]?.timelines, ttft, 'ms'),
		...found.slice(0, TARGET_CHARTS_MAX).map(({ label, timelines }) => {
			const others = timelines.others === 0 ? '' : ` (the busiest; ${timelines.others} more)`;
			const series = timelines.targets.map(({ id, inflight }) => ({ name: id, points: overTime(timelines, inflight) }));
			// One scale for all strategies: herding must be seen at a glance.
			return timeChart(`Requests in flight by target: ${label}${others}`, timelines, series, 'n', peak);
		}),
	];
}

function overTime({ binMs }: CellTimelines, values: readonly (number | null)[]): [number, number | null][] {
	return values.map((value, index) => [((index + 0.5) * binMs) / 1000, value]);
}

function timeChart(
	title: string,
	timelines: CellTimelines | undefined,
	series: readonly Series[],
	yUnit: 'ms' | 'n',
	yMax = Math.max(...series.flatMap(({ points }) => points.map(([, value]) => value ?? 0))),
): Chart {
	const bins = timelines?.ttftMs.length ?? 1;
	return {
		title,
		xUnit: 's',
		yUnit,
		xLabel: 'seconds since the start',
		x: timeAxis((bins * (timelines?.binMs ?? 1)) / 1000),
		y: linearAxis(yMax),
		xTick: formatNumber,
		yTick: yUnit === 'ms' ? formatMsTick : formatNumber,
		kind: 'line',
		series,
	};
}
