// Owns drawing one chart as SVG: axes, grid, lines, stacked areas, markers, and the data its hover readout uses.
// Leaves colours and fonts to the page's style sheet (classes s0..s9), so that light and dark need no redrawing.
import { escapeHtml } from './escape.js';
import { type Axis, position } from './scale.js';

export interface Series {
	readonly name: string;
	/** Ascending x; a null y is a gap that the line spans. */
	readonly points: readonly (readonly [number, number | null])[];
	/** Index of its colour, 0..9. Default: its place in the chart. */
	readonly colour?: number | undefined;
}

export interface Chart {
	readonly title: string;
	/** How x and y are read out: a unit of the page's script. */
	readonly xUnit: 's' | 'ms' | 'n';
	readonly yUnit: 'ms' | 'n' | '%' | 'points';
	readonly xLabel: string;
	readonly x: Axis;
	readonly y: Axis;
	readonly xTick: (value: number) => string;
	readonly yTick: (value: number) => string;
	/** Stacked areas add up in order, as steps from each x to the next; lines stand alone. */
	readonly kind: 'line' | 'stack';
	readonly series: readonly Series[];
	/** Vertical lines, numbered in the chart and named in its caption. */
	readonly markers?: readonly { readonly x: number; readonly label: string }[];
}

const WIDTH = 640;
const HEIGHT = 250;
const LEFT = 58;
const RIGHT = 14;
const TOP = 14;
const BOTTOM = 38;
const COLOURS = 10;

/** A figure with caption, legend and drawing. */
export function renderChart(chart: Chart): string {
	const markers = chart.markers ?? [];
	const body =
		chart.kind === 'stack'
			? stackPaths(chart)
			: chart.series.map((series, index) => linePath(chart, series, index)).join('');
	const legend = chart.series.map(
		(series, index) => `<span class="key ${lineClass(series, index)}">${escapeHtml(series.name)}</span>`,
	);
	const named = markers.map((marker, index) => `<span class="mark">${index + 1} ${escapeHtml(marker.label)}</span>`);
	return [
		`<figure class="chart"><figcaption><b>${escapeHtml(chart.title)}</b><span class="keys">${legend.join('')}</span></figcaption>`,
		`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(chart.title)}" data-chart="${escapeHtml(hoverData(chart))}">`,
		grid(chart),
		body,
		markers.map((marker, index) => markerLine(chart, marker.x, index)).join(''),
		`<line class="cursor" x1="0" x2="0" y1="${TOP}" y2="${HEIGHT - BOTTOM}" visibility="hidden"/>`,
		'</svg>',
		named.length === 0 ? '' : `<p class="marks">${named.join('')}</p>`,
		'</figure>',
	].join('');
}

function colourClass(series: Series, index: number): string {
	return `s${(series.colour ?? index) % COLOURS}`;
}

/** Beyond the colours there are, lines are dashed, in the legend too. */
function lineClass(series: Series, index: number): string {
	return `${colourClass(series, index)}${(series.colour ?? index) >= COLOURS ? ' dashed' : ''}`;
}

function xAt(chart: Chart, value: number): number {
	return round(LEFT + position(chart.x, value) * (WIDTH - LEFT - RIGHT));
}

function yAt(chart: Chart, value: number): number {
	return round(HEIGHT - BOTTOM - position(chart.y, value) * (HEIGHT - TOP - BOTTOM));
}

function round(value: number): number {
	return Math.round(value * 10) / 10;
}

function grid(chart: Chart): string {
	const rows = chart.y.ticks.map((tick) => {
		const y = yAt(chart, tick);
		return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/><text class="tick" x="${LEFT - 7}" y="${y + 4}" text-anchor="end">${escapeHtml(chart.yTick(tick))}</text>`;
	});
	const columns = chart.x.ticks.map((tick) => {
		const x = xAt(chart, tick);
		return `<line class="grid" x1="${x}" x2="${x}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text class="tick" x="${x}" y="${HEIGHT - BOTTOM + 15}" text-anchor="middle">${escapeHtml(chart.xTick(tick))}</text>`;
	});
	const label = `<text class="tick" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 5}" text-anchor="middle">${escapeHtml(chart.xLabel)}</text>`;
	return `${rows.join('')}${columns.join('')}${label}`;
}

function linePath(chart: Chart, series: Series, index: number): string {
	const drawn = series.points.filter((point): point is readonly [number, number] => point[1] !== null);
	const path = drawn.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${xAt(chart, x)} ${yAt(chart, y)}`).join('');
	const colour = lineClass(series, index);
	// A single point draws no line: show it as a dot.
	const [only] = drawn;
	if (drawn.length === 1 && only !== undefined)
		return `<circle class="dot ${colour}" cx="${xAt(chart, only[0])}" cy="${yAt(chart, only[1])}" r="3"/>`;
	return `<path class="line ${colour}" d="${path}"/>`;
}

function stackPaths(chart: Chart): string {
	const length = chart.series[0]?.points.length ?? 0;
	let base: number[] = Array.from({ length }, () => 0);
	const paths: string[] = [];
	for (const [index, series] of chart.series.entries()) {
		const top = base.map((value, at) => value + (series.points[at]?.[1] ?? 0));
		const edge = (values: readonly number[]): string[] =>
			values.flatMap((value, at) => {
				const next = series.points[at + 1]?.[0] ?? chart.x.max;
				return [series.points[at]?.[0] ?? 0, next].map((x) => `${xAt(chart, x)} ${yAt(chart, value)}`);
			});
		paths.push(
			`<path class="area ${colourClass(series, index)}" d="M${edge(top).join('L')}L${edge(base).reverse().join('L')}Z"/>`,
		);
		base = top;
	}
	return paths.join('');
}

function markerLine(chart: Chart, value: number, index: number): string {
	const x = xAt(chart, value);
	return `<line class="marker" x1="${x}" x2="${x}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text class="marker" x="${x}" y="${TOP - 3}" text-anchor="middle">${index + 1}</text>`;
}

/** What the page's script needs to find the values under the pointer. */
function hoverData(chart: Chart): string {
	return JSON.stringify({
		left: LEFT,
		right: WIDTH - RIGHT,
		log: chart.x.kind === 'log',
		nearest: chart.kind === 'line' && chart.x.kind === 'linear',
		min: chart.x.min,
		max: chart.x.max,
		xUnit: chart.xUnit,
		yUnit: chart.yUnit,
		series: chart.series.map((series) => ({
			name: series.name,
			points: series.points.map(([x, y]) => [Number(x.toPrecision(5)), y === null ? null : Number(y.toPrecision(4))]),
		})),
	});
}
