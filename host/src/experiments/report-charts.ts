// Owns the plots of an experiment's report: what ended it first, then how the evidence went, then what each block or window was like. Pure.
import type { Chart, Series } from '../load/report/chart.js';
import { formatMsTick, formatNumber } from '../load/report/format.js';
import { type Axis, linearAxis, logAxis, timeAxis } from '../load/report/scale.js';
import { BettingSequence } from '../statistics/betting.js';
import { RateProcess } from '../statistics/rate-process.js';
import { ShareProcess } from '../statistics/share-process.js';
import { arms } from './cohorts/cohort.js';
import { isClustered } from './design/safety-trial.js';
import type { ExperimentDocument } from './views.js';

/** Evidence beyond it is drawn at the edge: only that it is past the alarm matters. */
const EVIDENCE_MAX = 1e6;
const EVIDENCE_MIN = 1e-2;

/** What ended it, then the evidence, then the blocks. Of a canary no block is drawn: what its windows were like would be an effect. */
export function chartsOf(document: ExperimentDocument): Chart[] {
	const { points: closed, switchback, design } = document;
	const trip = tripChart(document);
	const first = trip === undefined ? [] : [trip];
	if (design.kind === 'canary' || design.kind === 'request-ab') {
		const evidence = evidenceChart(document);
		if (evidence !== undefined) first.push(evidence);
	}
	if (closed.length === 0 || design.kind === 'canary') return first;
	const blocks = blockCharts(document);
	const sequence =
		switchback === undefined || switchback.pairs.length === 0 ? [] : [sequenceChart(document, markersOf(document))];
	// Where blocks have ended it they come first.
	return document.guardrails.value.trip?.rule === 'attainment'
		? [...first, ...blocks, ...sequence]
		: [...first, ...sequence, ...blocks];
}

const secondsOf =
	({ startedAtMs }: ExperimentDocument) =>
	(ms: number): number =>
		(ms - startedAtMs) / 1000;

const alongTime = {
	xUnit: 's' as const,
	xLabel: 'seconds since the start',
	xTick: formatNumber,
	kind: 'line' as const,
};

/** Where rule and end stand in time. */
function markersOf(document: ExperimentDocument): { x: number; label: string }[] {
	const seconds = secondsOf(document);
	const { trip } = document.guardrails.value;
	const { end } = document;
	if (end === null) return trip === undefined ? [] : [{ x: seconds(trip.atMs), label: `guardrail ${trip.rule}` }];
	const last = { x: seconds(end.atMs), label: end.how };
	if (trip === undefined) return [last];
	// Numbers on one line could not be told apart.
	if (seconds(trip.atMs) > 0.98 * last.x) return [{ ...last, label: `guardrail ${trip.rule}, ${end.how}` }];
	return [{ x: seconds(trip.atMs), label: `guardrail ${trip.rule}` }, last];
}

/** The figure that the broken rule watched, with its limit. */
function tripChart(document: ExperimentDocument): Chart | undefined {
	const { trip } = document.guardrails.value;
	if (trip?.course === undefined || trip.course.points.length === 0) return undefined;
	const { title, limit, points } = trip.course;
	const seconds = secondsOf(document);
	const at = points.map(([atMs, value]): [number, number] => [seconds(atMs), value]);
	const from = at[0]?.[0] ?? 0;
	const to = Math.max(from + 1, seconds(trip.atMs), document.end === null ? 0 : seconds(document.end.atMs));
	return {
		...alongTime,
		title: `What ended it, ${trip.rule}: ${title}`,
		x: timeAxis(to),
		yUnit: 'n',
		y: linearAxis(Math.max(limit, ...at.map(([, value]) => value)) * 1.1),
		yTick: formatNumber,
		series: [{ name: 'seen', points: at }, limitLine(limit, from, to)],
		markers: markersOf(document),
	};
}

/** How evidence of harm grew, window by window; undefined where the oldest windows are not kept any more. */
function evidenceChart(document: ExperimentDocument): Chart | undefined {
	const { design, points, safety } = document;
	const { alpha, share } = design;
	const process = isClustered(design) ? new ShareProcess({ alpha, share }) : new RateProcess({ alpha });
	const seconds = secondsOf(document);
	const seen: [number, number][] = [[0, 1]];
	for (let at = 0; at + 1 < points.length; at += 2) {
		const window = points.slice(at, at + 2);
		const [control, candidate] = arms.map((arm) => window.find((point) => point.arm === arm));
		if (control === undefined || candidate === undefined) return undefined;
		process.observe({
			candidate: candidate.requests,
			candidateBad: candidate.requests - candidate.good,
			control: control.requests,
			controlBad: control.requests - control.good,
		});
		seen.push([seconds(candidate.toMs), Math.min(EVIDENCE_MAX, Math.max(EVIDENCE_MIN, process.evidence))]);
	}
	const { counts } = safety ?? {};
	const isWhole = counts?.candidate === process.totals.candidate && counts.control === process.totals.control;
	if (!isWhole || seen.length === 1) return undefined;
	const alarm = 1 / alpha;
	const to = seen.at(-1)?.[0] ?? 1;
	return {
		...alongTime,
		title: 'Evidence of harm: how many times a stake of 1 has grown',
		x: timeAxis(to),
		yUnit: 'n',
		y: logAxis(Math.min(...seen.map(([, value]) => value)) / 2, Math.max(alarm, ...seen.map(([, value]) => value)) * 2),
		yTick: formatNumber,
		series: [
			{ name: 'evidence', points: seen },
			{
				name: `alarm at ${formatNumber(alarm)}`,
				points: [
					[0, alarm],
					[to, alarm],
				],
				colour: 7,
			},
		],
		markers: markersOf(document),
	};
}

/** Of each block, how many requests were good, then how late the latest hundredth of first tokens was. */
export function blockCharts(document: ExperimentDocument): Chart[] {
	const { points: closed, end, guardrails } = document;
	const { trip } = guardrails.value;
	const limit = trip?.rule === 'attainment' ? trip.course?.limit : undefined;
	const seconds = secondsOf(document);
	const last = Math.max(...closed.map(({ toMs }) => toMs), end?.atMs ?? 0);
	const common = { ...alongTime, x: timeAxis(seconds(last)), markers: markersOf(document) };
	const byArm = (value: (point: (typeof closed)[number]) => number | null) =>
		arms.map((arm) => ({
			name: arm,
			points: closed
				.filter((point) => point.arm === arm && point.dropped === undefined)
				.map((point): [number, number | null] => [seconds((point.fromMs + point.toMs) / 2), value(point)]),
		}));
	return [
		{
			...common,
			title: `${limit === undefined ? '' : 'What ended it, attainment: '}Requests within their objectives, by block`,
			yUnit: '%',
			y: { kind: 'linear', min: 0, max: 100, ticks: [0, 25, 50, 75, 100] },
			yTick: (value) => `${value}%`,
			series: [
				...byArm(({ good, requests }) => (requests === 0 ? null : (good / requests) * 100)),
				...(limit === undefined ? [] : [limitLine(limit * 100, 0, seconds(last), '%')]),
			],
		},
		{
			...common,
			title: 'TTFT p99, by block',
			yUnit: 'ms',
			y: linearAxis(Math.max(1, ...closed.map(({ ttftP99Ms = 0 }) => ttftP99Ms))),
			yTick: formatMsTick,
			series: byArm(({ ttftP99Ms = null }) => ttftP99Ms),
		},
	];
}

/** How the interval closed in, pair by pair: what whoever looked at that moment would have read. */
export function sequenceChart(
	{ design, switchback }: Pick<ExperimentDocument, 'design' | 'switchback'>,
	markers: NonNullable<Chart['markers']>,
): Chart {
	const { alpha, clip, truncation, blockMs } = design;
	const sequence = new BettingSequence({ range: { lower: -clip, upper: clip }, alpha, truncation });
	const seen = (switchback?.pairs ?? []).map(({ pair, difference }) => {
		sequence.observe(difference);
		const { lower, upper } = sequence.interval;
		return { s: ((pair + 1) * 2 * blockMs) / 1000, mean: sequence.mean, lower, upper };
	});
	const series = (['upper', 'mean', 'lower'] as const).map((name) => ({
		name,
		points: seen.map((at): [number, number] => [at.s, at[name] * 100]),
	}));
	const most = clip * 100;
	const y: Axis = { kind: 'linear', min: -most, max: most, ticks: [-most, -most / 2, 0, most / 2, most] };
	return {
		...alongTime,
		title: 'Attainment, candidate − baseline, in points: confidence sequence',
		x: timeAxis(Math.max(...seen.map(({ s }) => s), ...markers.map(({ x }) => x))),
		yUnit: 'points',
		y,
		yTick: (value) => `${value > 0 ? '+' : ''}${value}`,
		series,
		markers,
	};
}

function limitLine(limit: number, from: number, to: number, unit = ''): Series {
	return {
		name: `limit ${formatNumber(limit)}${unit}`,
		points: [
			[from, limit],
			[to, limit],
		],
		colour: 7,
	};
}
