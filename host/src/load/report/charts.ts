// Owns which charts a load report shows and how they are made from a result.
import type { LoadResult } from '../result.js';
import type { Chart, Series } from './chart.js';
import { formatMsTick, formatNumber } from './format.js';
import { type Axis, linearAxis, logAxis, timeAxis } from './scale.js';

/** Columns of a chart over time: bins are joined until a column has a few requests, so that rates are not drawn as noise. */
const COLUMNS_MAX = 96;
const COLUMNS_MIN = 20;
const COLUMN_REQUESTS = 5;

/** Colours that mean something: failures red, drops yellow. */
const COLOURS: Readonly<Record<string, number>> = { failed: 7, dropped: 5 };

type Points = Series['points'];

export function loadCharts(result: LoadResult): Chart[] {
	const time = timeline(result);
	const streamed = result.latency.ttftMs !== null;
	const labelled = (title: string, counts: Readonly<Record<string, readonly number[]>>): Chart[] =>
		Object.keys(counts).length === 0 ? [] : [time.stack(title, counts)];
	return [
		cdfChart('Latency to first token and to the end', { TTFT: result.cdf.ttftMs, E2E: result.cdf.e2eMs }),
		...(streamed ? [cdfChart('Latency per token', { TPOT: result.cdf.tpotMs, ITL: result.cdf.itlMs })] : []),
		...(streamed ? [time.latency('TTFT by time due')] : []),
		time.rates('Output tokens a second', { tokens: result.timeline.outputTokens }),
		time.rates('Requests a second', requestCounts(result)),
		time.inFlight('Requests in flight'),
		...labelled('Answers a second by target', result.timeline.targets),
		...labelled('Answers a second by strategy', result.timeline.strategies),
	];
}

function requestCounts(result: LoadResult): Record<string, readonly number[]> {
	const { sent, completed, failed, dropped } = result.timeline;
	const some = (counts: readonly number[]): boolean => counts.some((it) => it > 0);
	return { sent, completed, ...(some(failed) ? { failed } : {}), ...(some(dropped) ? { dropped } : {}) };
}

/** Cumulative distributions of latencies, one line a name; points are milliseconds and the fraction at or below. */
export function cdfChart(
	title: string,
	curves: Readonly<Record<string, readonly (readonly [number, number])[]>>,
): Chart {
	const present = Object.entries(curves).filter(([, points]) => points.length > 0);
	// The lowest hundredth (tokens that came in one read, with gaps near 0) would stretch a logarithmic axis: it counts from the left edge.
	const lows = present.map(([, points]) => points.find(([value, fraction]) => value > 0 && fraction >= 0.01)?.[0] ?? 1);
	const highs = present.map(([, points]) => points.at(-1)?.[0] ?? 10);
	const x = present.length === 0 ? logAxis(1, 10) : logAxis(minimum(lows), maximum(highs));
	return {
		title,
		xUnit: 'ms',
		yUnit: '%',
		xLabel: 'latency, logarithmic',
		x,
		y: { kind: 'linear', min: 0, max: 100, ticks: [0, 25, 50, 75, 90, 100] },
		xTick: formatMsTick,
		yTick: (value) => `${value}%`,
		kind: 'line',
		series: present.map(([name, points]) => ({
			name,
			points: points.map(([value, fraction]): [number, number] => [Math.max(value, x.min), fraction * 100]),
		})),
	};
}

interface TimeCharts {
	latency(title: string): Chart;
	rates(title: string, counts: Readonly<Record<string, readonly number[]>>): Chart;
	stack(title: string, counts: Readonly<Record<string, readonly number[]>>): Chart;
	inFlight(title: string): Chart;
}

/** Charts over the run's time share an axis and the marks of strategy switches. */
function timeline(result: LoadResult): TimeCharts {
	const { widthMs, inFlight, ttftP50Ms, ttftP95Ms, sent } = result.timeline;
	const wanted = Math.max(COLUMNS_MIN, Math.min(COLUMNS_MAX, Math.round(result.requests.sent / COLUMN_REQUESTS)));
	const join = Math.max(1, Math.ceil(sent.length / wanted));
	const width = (widthMs * join) / 1000;
	const columns = Math.ceil(sent.length / join);
	const axis: Axis = timeAxis(columns * width);
	const common = {
		xUnit: 's' as const,
		xLabel: 'seconds since the start',
		x: axis,
		xTick: formatNumber,
		markers: result.switches.map((it) => ({ x: it.atMs / 1000, label: `${it.from} → ${it.to}` })),
	};
	const joined = (values: readonly number[], combine: (part: readonly number[]) => number): [number, number][] =>
		Array.from({ length: columns }, (_, index) => [
			index * width,
			combine(values.slice(index * join, (index + 1) * join)),
		]);
	/** Lines go through the middle of a bin; areas are steps from its start. */
	const centred = (points: [number, number][]): [number, number][] => points.map(([x, y]) => [x + width / 2, y]);
	const rate = (values: readonly number[]): [number, number][] =>
		joined(values, (part) => part.reduce((total, value) => total + value, 0) / width);
	const curve = (values: readonly (number | null)[]): Points =>
		values.map((value, index): [number, number | null] => [((index + 0.5) * widthMs) / 1000, value]);

	const lines = (title: string, series: Series[], yUnit: 'n' | 'ms', yTick: (value: number) => string): Chart => ({
		...common,
		title,
		yUnit,
		y: linearAxis(maximum(series.flatMap((it) => it.points.map(([, value]) => value ?? 0)))),
		yTick,
		kind: 'line',
		series,
	});

	return {
		latency: (title) =>
			lines(
				title,
				[
					{ name: 'p50', points: curve(ttftP50Ms) },
					{ name: 'p95', points: curve(ttftP95Ms) },
				],
				'ms',
				formatMsTick,
			),
		rates: (title, counts) => {
			const series = Object.entries(counts).map(([name, values]) => ({
				name,
				points: centred(rate(values)),
				colour: COLOURS[name],
			}));
			return lines(title, series, 'n', formatNumber);
		},
		inFlight: (title) =>
			lines(title, [{ name: 'in flight', points: centred(joined(inFlight, maximum)) }], 'n', formatNumber),
		stack: (title, counts) => {
			const series = Object.entries(counts).map(([name, values]) => ({ name, points: rate(values) }));
			const totals = Array.from({ length: columns }, (_, at) =>
				series.reduce((total, it) => total + (it.points[at]?.[1] ?? 0), 0),
			);
			return {
				...common,
				title,
				yUnit: 'n',
				y: linearAxis(maximum(totals)),
				yTick: formatNumber,
				kind: 'stack',
				series,
			};
		},
	};
}

function maximum(values: readonly number[]): number {
	return values.reduce((most, value) => Math.max(most, value), 0);
}

function minimum(values: readonly number[]): number {
	return values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
}
